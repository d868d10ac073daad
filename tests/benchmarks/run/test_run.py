import csv
import dataclasses
import os
import signal
from pathlib import Path

import pytest
import yaml
from processes import SERVER
from program import running

from benchmarks.protocols import PROTOCOLS
from benchmarks.records import read_record, record_path, write_record
from benchmarks.run import command as run
from benchmarks.run.attempt import Attempt
from benchmarks.run.plan import Options, Run
from benchmarks.variants import Variant

pytestmark = pytest.mark.usefixtures("forked")

TINY = {
    "model": {
        "class_path": "WGAN",
        "init_args": {"generator_width": 4, "critic_width": 4},
    },
    "data": {"class_path": "Digits", "init_args": {"batch_size": 8}},
    "trainer": {"max_steps": 4, "val_check_interval": 2},
}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The digits protocol with configs that train for a moment."""
    configs = tmp_path / "configs"
    configs.mkdir()
    protocol = dataclasses.replace(PROTOCOLS["digits"], configs=configs)
    monkeypatch.setitem(run.PROTOCOLS, "digits", protocol)
    (configs / "wgan.yaml").write_text(yaml.safe_dump(TINY))
    return protocol


def _run(tmp_path, *arguments):
    results = tmp_path / "results"
    run.main(["--results", str(results), "--work", str(tmp_path / "work"), *arguments])
    return results


@pytest.mark.slow
def test_a_run_writes_a_record_and_is_not_repeated(tiny, tmp_path, capfd):
    results = _run(tmp_path, "--techniques", "wgan", "--seeds", "5")
    path = record_path(results, "digits", "wgan", 5)
    record = read_record(path)
    assert record.status == "finished"
    assert record.budget == {"generator_updates": 4, "critic_updates": 20, "images": 160}
    assert [point["update"] for point in record.curve] == [0, 2, 4]
    assert [point["images"] for point in record.curve] == [0, 80, 160]
    assert record.config["seed_everything"] == 5
    assert record.config["model"]["init_args"]["clip"] == 0.01
    assert str(tmp_path) not in path.read_text()
    assert record.untrained["fd1797_digits_cnn"] > 0
    assert record.peak_memory_bytes > 50_000_000
    assert path.with_suffix(".png").is_file()
    # The record holds what the run logged.
    logged = tmp_path / "work" / "digits" / "wgan" / "seed5" / "metrics.csv"
    last = {}
    with logged.open() as file:
        for row in csv.DictReader(file):
            last |= {name: float(value) for name, value in row.items() if value}
    names = ("fd1797_digits_cnn", "is1797_digits_cnn", "diversity/fake", "diversity/real")
    assert record.last == {name: last[name] for name in names}
    assert record.last.items() <= record.curve[-1].items()
    assert record.curve[0]["diversity/real"] == record.last["diversity/real"] > 0

    before = path.stat().st_mtime_ns
    _run(tmp_path, "--techniques", "wgan", "--seeds", "5")
    assert path.stat().st_mtime_ns == before
    assert "1 of 1 runs have a record" in capfd.readouterr().out


@pytest.mark.slow
def test_a_run_on_two_devices_has_the_same_total_batch_size(tiny, tmp_path):
    results = _run(tmp_path, "--techniques", "wgan", "--seeds", "5", "--devices", "2")
    record = read_record(record_path(results, "digits", "wgan", 5))
    assert record.status == "finished"
    assert record.device["count"] == int(record.config["trainer"]["devices"]) == 2
    assert record.config["data"]["init_args"]["batch_size"] == 4
    assert record.budget == {"generator_updates": 4, "critic_updates": 20, "images": 160}
    assert [point["update"] for point in record.curve] == [0, 2, 4]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are NOT FOLLOWED: no /proc here")
def test_the_second_process_ends_when_the_first_is_killed(tiny, tmp_path):
    tiny.config("wgan").write_text(yaml.safe_dump(TINY | {"trainer": {"max_steps": 10**6}}))
    options = Options(tmp_path / "results", tmp_path / "work", devices=2)
    attempt = Attempt(Run(tiny, Variant("wgan"), 0), options)
    others = []

    def kill_the_first(update, scores):
        first = attempt._training._process.pid
        children = (each for each in running() if each.parent == first)
        others.extend(each.number for each in children if each.name != SERVER)
        os.kill(first, signal.SIGKILL)

    record = attempt.execute(kill_the_first)
    assert record.status == "failed"
    assert record.message.startswith("killed by signal 9")
    assert len(others) == 1
    assert others[0] not in [each.number for each in running()]


def test_a_failing_run_is_recorded_and_sets_the_exit_code(tiny, tmp_path):
    broken = TINY | {"data": {"class_path": "Digits", "init_args": {"batch_size": 5000}}}
    tiny.config("wgan").write_text(yaml.safe_dump(broken))
    with pytest.raises(SystemExit) as stop:
        _run(tmp_path, "--techniques", "wgan", "--seeds", "0")
    assert stop.value.code == 1
    record = read_record(record_path(tmp_path / "results", "digits", "wgan", 0))
    assert record.status == "failed"
    assert "1797 samples do not fill one batch" in record.message
    assert record.last == {}


@pytest.mark.slow
def test_a_run_with_non_finite_scores_is_recorded_as_diverged(tiny, tmp_path):
    wild = {"class_path": "DCGAN", "init_args": {"generator_lr": 1e30, "critic_lr": 1e30}}
    tiny.config("wgan").write_text(yaml.safe_dump(TINY | {"model": wild}))
    with pytest.raises(SystemExit):
        _run(tmp_path, "--techniques", "wgan", "--seeds", "0")
    record = read_record(record_path(tmp_path / "results", "digits", "wgan", 0))
    assert record.status == "diverged"
    assert "DCGAN diverged at update" in record.message
    assert str(tmp_path) not in record.message
    assert record.untrained["fd1797_digits_cnn"] > 0


def test_a_failed_run_is_only_repeated_with_retry(tiny, tmp_path, record):
    results = tmp_path / "results"
    failed = dataclasses.replace(record, technique="wgan", status="failed", message="no luck")
    write_record(failed, results)
    arguments = ("--techniques", "wgan", "--seeds", "0")
    with pytest.raises(SystemExit):
        _run(tmp_path, *arguments)
    assert read_record(record_path(results, "digits", "wgan", 0)) == failed
    _run(tmp_path, *arguments, "--retry")
    assert read_record(record_path(results, "digits", "wgan", 0)).status == "finished"


@pytest.mark.slow
def test_a_run_of_an_older_version_is_repeated(tiny, tmp_path, record):
    write_record(
        dataclasses.replace(record, technique="wgan", protocol_version=0), tmp_path / "results"
    )
    results = _run(tmp_path, "--techniques", "wgan", "--seeds", "0")
    assert read_record(record_path(results, "digits", "wgan", 0)).protocol_version == tiny.version


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parallel", "0"], "must be at least 1"),
        (["--devices", "0"], "must be at least 1"),
        (
            ["--protocol", "cifar10-fair", "--parallel", "2", "--devices", "2"],
            "need more than the 3 GPU",
        ),
        (["--protocol", "cifar10-fair", "--parallel", "4"], "--per-gpu lets runs share them"),
        (["--protocol", "cifar10-fair", "--per-gpu", "2", "--parallel", "7"], "need more than"),
        (["--protocol", "digits", "--per-gpu", "2"], "there is no GPU here that runs could share"),
        (["--ray", "auto", "--per-gpu", "2"], "are for one machine"),
        (
            ["--protocol", "cifar10-fair", "--devices", "3"],
            "dcgan's batch of 64 cannot be divided among 3 devices",
        ),
        (["--protocol", "nothing"], "there is no protocol nothing"),
    ],
)
def test_invalid_arguments_are_reported_before_anything_runs(
    monkeypatch, capsys, arguments, message
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    monkeypatch.setattr(run.torch.cuda, "device_count", lambda: 3)
    with pytest.raises(SystemExit) as stop:
        run.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "parallel", "threads"),
    [([], 3, 5), (["--per-gpu", "4"], 12, 1), (["--devices", "2"], 1, 8)],
)
def test_runs_take_all_gpus_and_share_the_cores(
    monkeypatch, tmp_path, arguments, parallel, threads
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    monkeypatch.setattr(run.torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(run.os, "cpu_count", lambda: 16)
    planned = []
    monkeypatch.setattr(run.pool, "train", lambda *given: planned.append(given))
    with pytest.raises(SystemExit):  # nothing has finished
        _run(tmp_path, "--protocol", "cifar10-fair", *arguments)
    ((grid, slots, gpus),) = planned
    assert (slots, gpus, grid.options.gpu_threads) == (parallel, ["4", "5", "6"], threads)


def test_gpus_that_are_named_but_absent_are_reported(monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    monkeypatch.setattr(run.torch.cuda, "device_count", lambda: 1)
    with pytest.raises(SystemExit) as stop:
        run.main(["--protocol", "cifar10-fair"])
    assert stop.value.code == 2
    assert "CUDA_VISIBLE_DEVICES names 3 GPUs, of which 1 are present" in capsys.readouterr().err


def test_a_protocol_reports_a_missing_path(tiny, monkeypatch, capsys):
    needy = dataclasses.replace(tiny, needs={"data.data_dir": "a folder of pictures"})
    monkeypatch.setitem(run.PROTOCOLS, "digits", needy)
    with pytest.raises(SystemExit) as stop:
        run.main([])
    assert stop.value.code == 2
    assert "digits needs --data-dir: a folder of pictures" in capsys.readouterr().err


@pytest.mark.parametrize("protocol", ["digits", "ring-stabilizers"])
def test_a_folder_for_data_that_lies_in_none_is_reported(protocol, capsys):
    with pytest.raises(SystemExit) as stop:
        run.main(["--protocol", protocol, "--data-dir", "folder"])
    assert stop.value.code == 2
    message = f"the data of {protocol} is in no folder: leave out --data-dir"
    assert message in capsys.readouterr().err
