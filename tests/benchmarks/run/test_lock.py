"""Locks: one command on a folder of results, one process on a run."""

import errno
import fcntl
import os
import socket
import threading

import pytest
from filelock import FileLock

from benchmarks.run import lock
from benchmarks.run.lock import LockedError, held_results, held_run, read_holder


def test_a_second_command_is_told_who_holds_the_folder(tmp_path):
    with held_results(tmp_path, "--protocol digits") as holder:
        assert read_holder(tmp_path) == holder
        with pytest.raises(LockedError) as refused, held_results(tmp_path, "--retry"):
            pass
    assert str(refused.value) == (
        f"{tmp_path} is in use by process {os.getpid()} on {socket.gethostname()}, since "
        f"{holder.since}: python -m benchmarks.run --protocol digits"
    )
    assert refused.value.exit_code == 75
    assert read_holder(tmp_path) is None
    with held_results(tmp_path, "--retry"):
        pass


@pytest.mark.parametrize("note", ["", "{", "3", '{"pid": 1}'])
def test_a_note_that_cannot_be_read_names_nobody(tmp_path, note):
    with held_results(tmp_path, ""):
        (tmp_path / lock.NOTE).write_text(note)
        with pytest.raises(LockedError, match="is in use by another command"):
            held_results(tmp_path, "").__enter__()


def test_the_note_of_a_dead_process_is_not_believed(tmp_path, monkeypatch):
    def no_such_process(pid, number):
        raise ProcessLookupError

    with held_results(tmp_path, "--protocol digits"):
        monkeypatch.setattr(os, "kill", no_such_process)
        with pytest.raises(LockedError, match="is in use by another command"):
            held_results(tmp_path, "").__enter__()
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
        with pytest.raises(LockedError, match="--protocol digits"):
            held_results(tmp_path, "").__enter__()


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS])
def without_locks(request, monkeypatch):
    def fail(file, operation):
        raise OSError(request.param, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)


@pytest.mark.usefixtures("without_locks")
def test_a_folder_without_locks_is_used_and_said_to_be_so(tmp_path, capsys):
    with held_results(tmp_path, "") as holder:
        assert read_holder(tmp_path) == holder
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{tmp_path} cannot be locked (")
    assert line.endswith("): start no second command on it")
    # A killed command leaves nothing that keeps the next one out.
    held_results(tmp_path, "killed").__enter__()
    with held_results(tmp_path, ""):
        pass


@pytest.mark.usefixtures("without_locks")
def test_a_run_without_locks_is_trained_and_said_to_be_so(tmp_path):
    said = []
    with held_run(tmp_path / "run.lock", "dcgan seed 0", threading.Event(), said.append) as held:
        assert held
    (line,) = said
    assert line.endswith("another process could train dcgan seed 0 too")


def test_any_other_error_of_a_lock_is_raised(tmp_path, monkeypatch):
    def fail(file, operation):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output error"):
        held_results(tmp_path, "").__enter__()


@pytest.mark.parametrize("stops", [False, True])
def test_a_run_waits_for_another_process_or_until_it_is_stopped(tmp_path, stops):
    path, stopped, waiting, got = tmp_path / "run.lock", threading.Event(), threading.Event(), []

    def train():
        with held_run(path, "dcgan seed 0", stopped, lambda message: waiting.set()) as held:
            got.append(held)

    other, thread = FileLock(path), threading.Thread(target=train)
    with other:
        thread.start()
        assert waiting.wait(10)
        assert got == []
        if stops:
            stopped.set()
            thread.join(10)
    thread.join(10)
    assert got == [not stops]
    with FileLock(path, timeout=0):  # released
        pass
