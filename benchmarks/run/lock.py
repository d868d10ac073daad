"""Locks: one command at a time on a folder of results, one process at a time on a run.

A lock is a file that the kernel locks for a process, so that a killed process leaves nothing to
clean up; where the kernel cannot, there is no lock, rather than one that outlives its process. Who
holds the lock of a folder is written in a note beside it.
"""

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks.command_line import PREFIX
from gan_lightning.utils.errors import UserError

LOCK, NOTE = ".run.lock", ".run.holder"
#: The errors of file systems without locks.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


class LockedError(UserError):
    """Another command holds the folder of results."""

    #: EX_TEMPFAIL of sysexits.h: the same command may succeed later.
    exit_code = 75


@dataclass(frozen=True)
class Holder:
    """The process that holds a folder of results.

    Args:
        host: the name of its machine.
        pid: its process ID there.
        since: when it took the lock, in ISO 8601.
        command: the arguments of its command line.
    """

    host: str
    pid: int
    since: str
    command: str

    def __str__(self) -> str:
        """Who holds it, for a message."""
        return (
            f"process {self.pid} on {self.host}, since {self.since}: "
            f"{PREFIX}run {self.command}".strip()
        )


@contextmanager
def held_results(results: Path, command: str) -> Iterator[Holder]:
    """Hold a folder of results; one line says where its file system has no locks.

    Raises:
        LockedError: another command holds it; the message says which.
    """
    results.mkdir(parents=True, exist_ok=True)
    lock = FileLock(results / LOCK, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        holder = _living_holder(results)
        raise LockedError(f"{results} is in use by {holder or 'another command'}") from None
    except (OSError, NotImplementedError) as error:
        print(f"{_without_locks(results, error)}: start no second command on it", flush=True)
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    holder = Holder(socket.gethostname(), os.getpid(), now, command)
    note = results / NOTE
    try:
        # One file, written in place: another machine may remember for a while that there was none,
        # or which file had this name.
        note.write_text(json.dumps(asdict(holder)) + "\n")
        yield holder
    finally:
        with suppress(OSError):  # the folder has been deleted
            note.write_text("")
        lock.release()


def read_holder(results: Path) -> Holder | None:
    """The process that last held a folder and did not release it; None if it left no note."""
    try:
        return Holder(**json.loads((results / NOTE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _living_holder(results: Path) -> Holder | None:
    """The holder of a locked folder; None if its note cannot be read."""
    for _ in range(10):
        holder = read_holder(results)
        if holder is not None and not _is_dead(holder):
            return holder
        # The note is an earlier command's that was killed: the new holder is about to write its
        # own.
        time.sleep(0.1)
    return None


def _is_dead(holder: Holder) -> bool:
    """Whether the process was on this machine, where no process has its ID any more."""
    if holder.host != socket.gethostname():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # another user's
    return False


@contextmanager
def held_run(
    path: Path, name: str, stopped: threading.Event, say: Callable[[str], None]
) -> Iterator[bool]:
    """Hold a run, as soon as no other process does; False if ``stopped`` while it waited.

    Args:
        path: the path of the lock's file.
        name: the name of the run in messages.
        stopped: set to stop waiting.
        say: called with a message if another process holds it, or if there are no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say(f"{name} waits for another process that still trains it")
        while not (stopped.is_set() or lock.is_locked):
            try:
                lock.acquire(timeout=1, poll_interval=0.5)
            except Timeout:
                continue
    except (OSError, NotImplementedError) as error:
        say(f"{_without_locks(path.parent, error)}: another process could train {name} too")
    try:
        yield not stopped.is_set()
    finally:
        lock.release()


def _without_locks(folder: Path, error: OSError | NotImplementedError) -> str:
    """A message for a file system without locks; raises any other error."""
    if isinstance(error, OSError) and error.errno not in NO_LOCKS:
        raise error
    return f"{folder} cannot be locked ({getattr(error, 'strerror', None) or error})"
