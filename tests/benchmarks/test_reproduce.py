"""Repeating the run of a record: the same bits, or a score within the spread of the seeds."""

import dataclasses

import pytest
import yaml

from benchmarks import reproduce
from benchmarks.environment import processor, versions
from benchmarks.protocol import PROTOCOLS
from benchmarks.records import read_record, record_path, write_record
from benchmarks.run import command as run

pytestmark = pytest.mark.usefixtures("forked")

TINY = {
    "model": {"class_path": "WGAN", "init_args": {"generator_width": 4, "critic_width": 4}},
    "data": {"class_path": "Digits", "init_args": {"batch_size": 8}},
    "trainer": {"max_steps": 2, "val_check_interval": 1},
}
DISTANCE = "fd1797_digits_cnn"


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """The path of a record from this machine, and from what appears to be this commit."""
    (tmp_path / "wgan.yaml").write_text(yaml.safe_dump(TINY))
    small = dataclasses.replace(PROTOCOLS["digits"], configs=tmp_path)
    monkeypatch.setitem(run.PROTOCOLS, "digits", small)
    results = tmp_path / "results"
    arguments = ["--techniques", "wgan", "--seeds", "4", "--results", str(results)]
    run.main([*arguments, "--work", str(tmp_path / "work")])
    path = record_path(results, "digits", "wgan", 4)
    write_record(dataclasses.replace(read_record(path), commit="0" * 40), results)
    monkeypatch.setattr(reproduce, "commit", lambda: "0" * 40)
    return path


@pytest.mark.slow
def test_a_repeated_run_has_the_same_bits(recorded, tmp_path, capfd):
    reproduce.main([str(recorded), "--work", str(tmp_path / "again")])
    assert "identical to the last bit" in capfd.readouterr().out
    other_seed = ["--options", "seed_everything=1"]
    with pytest.raises(SystemExit, match="1"):
        reproduce.main([str(recorded), "--work", str(tmp_path / "again"), *other_seed])
    assert "there are no other seeds to compare with" in capfd.readouterr().out
    record = read_record(recorded)
    other = dataclasses.replace(record, last=record.last | {DISTANCE: record.last[DISTANCE] + 1e-9})
    write_record(other, recorded.parents[2])
    with pytest.raises(SystemExit) as stop:
        reproduce.main([str(recorded), "--work", str(tmp_path / "again")])
    assert stop.value.code == 1
    assert "not identical, on the same processor and versions" in capfd.readouterr().out
    assert list((tmp_path / "again").iterdir()) == []


@pytest.fixture
def foreign(record):
    """Three seeds from another machine and other versions, with distances 9, 10 and 11."""
    device = {"name": "another", "threads": 1}
    there = dataclasses.replace(record, versions={"torch": "0"}, device=device)
    return [
        dataclasses.replace(there, seed=seed, last={DISTANCE: 9.0 + seed, "is1797_digits_cnn": 7.0})
        for seed in range(3)
    ]


@pytest.mark.parametrize(
    ("found", "same", "message"),
    [
        (9.0, True, "identical to the last bit"),
        (11.9, True, "within 2 standard deviations of the 3 seeds"),
        (12.1, False, "outside of 2 standard deviations"),
        (7.9, False, "changed: torch, processor"),
    ],
)
def test_on_another_machine_the_score_must_be_within_the_spread(foreign, found, same, message):
    verdict = reproduce.verdict(foreign[0], foreign, found)
    assert verdict[0] == same
    assert message in verdict[1]


def test_on_a_gpu_the_bits_may_differ(foreign, monkeypatch):
    device = {"name": "a GPU", "count": 1}
    runs = [dataclasses.replace(run, versions=versions(), device=device) for run in foreign]
    assert "changed: GPU" in reproduce.verdict(runs[0], runs, 9.5)[1]
    monkeypatch.setattr(reproduce, "device_names", lambda: {"a processor", "a GPU"})
    same, message = reproduce.verdict(runs[0], runs, 9.5)
    assert same
    assert "not identical, on a GPU" in message


def test_options_that_change_the_score_are_reported(record):
    device = {"name": processor(), "threads": 1}
    runs = [
        dataclasses.replace(
            record, seed=seed, versions=versions(), device=device, last={DISTANCE: 9.0 + seed}
        )
        for seed in range(3)
    ]
    same, message = reproduce.verdict(runs[0], runs, 9.5, ["model.compile=true"])
    assert same
    assert "changed: model.compile=true" in message
    assert not reproduce.verdict(runs[0], runs, 15.0, ["model.compile=true"])[0]


def test_one_seed_has_no_spread(foreign):
    assert reproduce.verdict(foreign[0], foreign[:1], 9.1)[0] is False


def test_a_record_of_this_machine_has_no_differences(record):
    device = {"name": processor(), "threads": 1}
    here = dataclasses.replace(record, versions=versions(), device=device)
    assert reproduce.differences(here) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"status": "failed", "message": "out of luck"}, "failed: out of luck"),
        ({"commit": "0" * 40 + "-dirty"}, "comes from uncommitted changes"),
        ({"commit": "f" * 40}, "there is no commit f"),
    ],
)
def test_a_record_that_cannot_be_reproduced_is_reported(tmp_path, record, changed, message):
    path = write_record(dataclasses.replace(record, **changed), tmp_path)
    with pytest.raises(SystemExit, match=message):
        reproduce.main([str(path), "--work", str(tmp_path)])
