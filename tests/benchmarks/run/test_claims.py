"""Claims: one holder at a time, and never a dead one."""

import json
import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.run.claims import _machine, claim

LEASE = 0.5


@pytest.fixture
def lost():
    return []


@pytest.fixture
def take(tmp_path, lost):
    """``take(name)`` claims it, and releases it after the test."""
    held = []

    def take_one(name="run", lease=LEASE):
        held.append(claim(tmp_path, name, lambda: lost.append(name), lease))
        return held[-1]

    yield take_one
    for each in held:
        if each is not None:
            each.release()


def test_a_claim_belongs_to_one_worker_until_it_is_released(take):
    first = take()
    assert first is not None
    assert take() is None
    assert take("other") is not None
    first.release()
    assert take() is not None


def test_a_claim_outlives_its_lease_while_its_holder_lives(take, lost):
    assert take() is not None
    time.sleep(2 * LEASE)
    assert take() is None
    assert lost == []


def test_a_released_claim_leaves_no_file(take, tmp_path):
    take().release()
    assert list(tmp_path.iterdir()) == []


def _holder(path, age, host, pid):
    path.write_text(json.dumps({"machine": host, "pid": pid}))
    then = time.time() - age
    os.utime(path, (then, then))


def dead_process():
    """The ID of a process that has ended."""
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()
    return process.pid


@pytest.mark.parametrize("age", [0, 100])
def test_a_dead_process_of_this_machine_holds_no_claim(take, tmp_path, age):
    _holder(tmp_path / "run.claim.000001", age, _machine(), dead_process())
    assert take() is not None


def test_a_worker_on_another_machine_counts_as_dead_when_its_lease_expires(take, tmp_path):
    _holder(tmp_path / "run.claim.000001", LEASE / 4, "elsewhere", 1)
    assert take() is None
    time.sleep(LEASE)
    held = take()
    assert held is not None
    assert held.path.name == "run.claim.000002"


@pytest.mark.parametrize("text", ["", "{", "3", '{"host": 1}'])
def test_an_incomplete_claim_is_valid_until_its_lease_expires(take, tmp_path, text):
    path = tmp_path / "run.claim.000001"
    path.write_text(text)
    assert take() is None
    os.utime(path, (0, 0))
    assert take() is not None


def test_only_one_of_many_simultaneous_workers_takes_over(tmp_path):
    _holder(tmp_path / "run.claim.000001", 100, "elsewhere", 1)
    with ThreadPoolExecutor(16) as pool:
        held = list(pool.map(lambda _: claim(tmp_path, "run", lambda: None, 30), range(64)))
    (one,) = (each for each in held if each is not None)
    one.release()


def test_a_claim_survives_a_folder_that_is_briefly_unavailable(take, tmp_path, monkeypatch, lost):
    calls = []

    def fail(self, *arguments, **options):
        calls.append(self)
        raise OSError(116, "Stale file handle")

    assert take() is not None
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.touch", fail)
        time.sleep(LEASE / 2)
    assert calls
    time.sleep(LEASE)
    assert lost == []
    assert take() is None


def test_a_claim_is_lost_when_its_folder_stays_unavailable(take, monkeypatch, lost):
    def fail(self, *arguments, **options):
        raise OSError(116, "Stale file handle")

    assert take() is not None
    monkeypatch.setattr("pathlib.Path.touch", fail)
    time.sleep(2 * LEASE)
    assert lost == ["run"]


def test_a_holder_presumed_dead_is_notified_and_keeps_the_new_claim_intact(take, tmp_path, lost):
    first = take()
    (tmp_path / "run.claim.000002").write_text("{}")  # another worker's, meanwhile
    deadline = time.monotonic() + 10
    while not lost and time.monotonic() < deadline:
        time.sleep(0.02)
    assert lost == ["run"]
    first.release()
    assert [path.name for path in tmp_path.iterdir()] == ["run.claim.000002"]
