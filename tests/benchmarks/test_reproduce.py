"""Repeating the run of a record: the same bits, or a score within the spread of the seeds."""

import dataclasses
import signal
import subprocess

import pytest
import yaml

from benchmarks import reproduce
from benchmarks.comparison import Comparison
from benchmarks.protocol import ROOT
from benchmarks.protocols import PROTOCOLS
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
    said = capfd.readouterr().out
    assert said.index("equal bits are expected") < said.index("update 0:")
    assert "different" not in said
    assert said.endswith("identical to the last bit\n")
    other_seed = ["--options", "seed_everything=1"]
    with pytest.raises(SystemExit, match="1"):
        reproduce.main([str(recorded), "--work", str(tmp_path / "again"), *other_seed])
    said = capfd.readouterr().out
    assert "different (record -> here): seed_everything as recorded -> 1" in said
    assert "equal bits cannot be expected: changed: seed_everything" in said
    assert "there are no other seeds to compare with" in said
    record = read_record(recorded)
    other = dataclasses.replace(record, last=record.last | {DISTANCE: record.last[DISTANCE] + 1e-9})
    write_record(other, recorded.parents[2])
    with pytest.raises(SystemExit) as stop:
        reproduce.main([str(recorded), "--work", str(tmp_path / "again")])
    assert stop.value.code == 1
    assert "not identical, though nothing differs that moves bits" in capfd.readouterr().out
    assert list((tmp_path / "again").iterdir()) == []


#: What launchers tell the second of two ranks.
LAUNCHED = {
    "SLURM": {
        "SLURM_JOB_ID": "77",
        "SLURM_JOB_NAME": "gan",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": "1",
        "SLURM_LOCALID": "1",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "127.0.0.1",
    },
    "torchrun": {
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0",
        "ROLE_RANK": "1",
        "ROLE_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29512",
        "TORCHELASTIC_RUN_ID": "none",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHED)
def test_a_repeated_run_is_no_rank_of_the_launcher(
    recorded, tmp_path, monkeypatch, capfd, launcher
):
    for name, value in LAUNCHED[launcher].items():
        monkeypatch.setenv(name, value)
    reproduce.main([str(recorded), "--work", str(tmp_path / "again")])
    assert capfd.readouterr().out.endswith("identical to the last bit\n")


@pytest.fixture
def long_record(recorded):
    """The path of a record whose run would take hours."""
    record = read_record(recorded)
    trainer = record.config["trainer"] | {"max_steps": 10_000_000, "val_check_interval": 1_000_000}
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    config = record.config | {"trainer": trainer}
    longer = dataclasses.replace(record, config=config, commit=head)
    return write_record(longer, recorded.parents[2])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGINT, []),
        (signal.SIGTERM, []),
        (signal.SIGTERM, ["--options", "trainer.log_every_n_steps=7"]),
        (signal.SIGKILL, ["--options", "trainer.log_every_n_steps=7"]),
    ],
    ids=["SIGINT", "SIGTERM", "SIGTERM-options", "SIGKILL-options"],
)
def test_a_signal_ends_the_training_and_leaves_nothing(
    long_record, tmp_path, start, number, options
):
    work, temporary = tmp_path / "again", tmp_path / "temporary"
    temporary.mkdir()
    program = start(
        *("-m", "benchmarks.reproduce", long_record, "--work", work, *options),
        PYTHONPATH=str(ROOT),
        TMPDIR=str(temporary),
        anew=True,
    )
    program.until(lambda: "update 0:" in program.said.read_text())
    assert len(program.left()) > 1  # the training, and what it starts
    program.process.send_signal(number)  # the training itself does not get it
    code, said = program.ended(within=30)
    program.assert_all_ended()
    if number == signal.SIGKILL:
        assert code == -number
        return
    assert (code, said.splitlines()[-1]) == (130, "interrupted")
    assert [*work.iterdir(), *temporary.iterdir()] == []
    worktrees = subprocess.check_output(["git", "worktree", "list"], cwd=ROOT, text=True)
    assert str(temporary) not in worktrees


DIFFERENT = Comparison(on_cpu=True, different={"torch": "0 -> 1", "processor model": "1 -> 17"})


@pytest.fixture
def seeds(record):
    """The records of three seeds, with distances 9, 10 and 11."""
    return [
        dataclasses.replace(
            record, seed=seed, last={DISTANCE: 9.0 + seed, "is1797_digits_cnn": 7.0}
        )
        for seed in range(3)
    ]


@pytest.mark.parametrize(
    ("found", "same", "message"),
    [
        (9.0, True, "identical to the last bit"),
        (11.9, True, "within 2 standard deviations of the 3 seeds"),
        (12.1, False, "outside of 2 standard deviations"),
        (7.9, False, "changed: torch, processor model"),
    ],
)
def test_where_something_differs_the_score_must_be_within_the_spread(seeds, found, same, message):
    verdict = reproduce.verdict(seeds[0], seeds, found, DIFFERENT)
    assert verdict[0] == same
    assert message in verdict[1]


def test_where_nothing_differs_the_bits_must_be_equal(seeds):
    exact = Comparison(on_cpu=True)
    assert reproduce.verdict(seeds[0], seeds, 9.0, exact) == (True, "identical to the last bit")
    same, message = reproduce.verdict(seeds[0], seeds, 9.0 + 1e-12, exact)
    assert not same
    assert message == "not identical, though nothing differs that moves bits"


@pytest.mark.parametrize(
    ("comparison", "message"),
    [
        (Comparison(on_cpu=False), "not identical: on a GPU"),
        (Comparison(on_cpu=True, unknown=["numpy"]), "not say whether the machine is the same"),
    ],
)
def test_where_bits_may_differ_the_score_must_be_within_the_spread(seeds, comparison, message):
    same, said = reproduce.verdict(seeds[0], seeds, 9.5, comparison)
    assert same
    assert message in said
    assert not reproduce.verdict(seeds[0], seeds, 15.0, comparison)[0]


def test_one_seed_has_no_spread(seeds):
    assert reproduce.verdict(seeds[0], seeds[:1], 9.1, DIFFERENT)[0] is False


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
