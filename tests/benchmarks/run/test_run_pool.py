"""The pool: so many trainings at a time, each on its own devices."""

import threading

import pytest

from benchmarks.protocols import PROTOCOLS
from benchmarks.run import pool
from benchmarks.run.grid import Grid
from benchmarks.run.plan import Options, Run
from benchmarks.variants import Variant


@pytest.fixture
def grid(tmp_path):
    """``grid(count, **options)``: so many runs without a record."""

    def build(count, **options):
        runs = [Run(PROTOCOLS["digits"], Variant("dcgan"), seed) for seed in range(count)]
        return Grid(runs, Options(tmp_path / "results", tmp_path / "work", **options), retry=False)

    return build


@pytest.fixture
def trained(monkeypatch, record):
    """What was trained, on which GPUs; ``trained.hook`` is called with each attempt."""

    class Attempt:
        start_update = 0

        def __init__(self, run, options, gpus):
            self.run, self.gpus, self.stopped = run, gpus, threading.Event()

        def execute_alone(self, previous, on_evaluation):
            trained.append((self.run.seed, self.gpus))
            return trained.hook(self)

        def stop(self):
            self.stopped.set()

    class Trained(list):
        def hook(self, attempt):
            return record

    trained = Trained()
    monkeypatch.setattr(pool, "Attempt", Attempt)
    return trained


def test_runs_are_trained_in_their_order(grid, trained, capsys):
    five = grid(5)
    pool.train(five, 1, [])
    assert trained == [(seed, None) for seed in range(5)]
    assert five.finished
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "digits: 0 of 5 runs have a record, 5 to go, 1 at a time"
    assert lines[-1].endswith("(5 of 5 runs done)")
    assert len(lines) == 6


@pytest.fixture
def together(trained, record):
    """``together(count)``: no run ends before so many are trained at the same time."""

    def set_hook(count):
        barrier = threading.Barrier(count, timeout=10)

        def hook(attempt):
            barrier.wait()
            return record

        trained.hook = hook

    return set_hook


def test_runs_at_the_same_time_have_their_own_devices(grid, trained, together):
    together(2)
    pool.train(grid(4, devices=2), 2, ["0", "GPU-1", "2", "3"])
    assert sorted(seed for seed, _ in trained) == [0, 1, 2, 3]
    for first, second in (trained[:2], trained[2:]):
        assert sorted([first[1], second[1]]) == [["0", "GPU-1"], ["2", "3"]]


def test_runs_share_gpus_where_there_are_more_of_them(grid, trained, together):
    together(4)
    pool.train(grid(4, per_gpu=2), 4, ["0", "1"])
    assert sorted(gpus for _, gpus in trained) == [["0"], ["0"], ["1"], ["1"]]


def test_a_run_whose_process_a_signal_has_stopped_resumes(grid, trained, record):
    trained.hook = lambda attempt: record if len(trained) == 3 else None
    pool.train(grid(1), 1, [])
    assert len(trained) == 3


def test_an_error_stops_the_other_runs_and_is_raised(grid, trained):
    started = threading.Event()

    def hook(attempt):
        if attempt.run.seed:
            assert started.wait(10)
            raise OSError("disk is full")
        started.set()
        assert attempt.stopped.wait(10)
        return None

    trained.hook = hook
    three = grid(3)
    with pytest.raises(OSError, match="disk is full"):
        pool.train(three, 2, [])
    assert [seed for seed, _ in sorted(trained)] == [0, 1]
    assert not three.finished
