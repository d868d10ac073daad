"""Who makes which run, where several workers, on one machine or many, share a folder.

A claim is a file that its holder touches again and again. One that has not been touched for the
time of a lease belongs to nobody: the next one of its number may be created, which the file system
lets only one worker do. Nothing is locked, so that it works on a shared folder of any kind, and a
worker that is killed leaves nothing to clear away.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

#: Seconds without a sign of life after which a worker counts as dead.
LEASE = 60.0


class Claim:
    """What this worker alone may do, until ``release``.

    Args:
        path: of the claim's file.
        lease: seconds without a touch after which another worker may take over.
        lost: called, by another thread, where one has, because this process was suspended.
    """

    def __init__(self, path: Path, lease: float, lost: Callable[[], None]) -> None:
        self.path = path
        self.lease = lease
        self._lost = lost
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        touched = time.monotonic()
        while not self._done.wait(self.lease / 5):
            try:
                held = _latest(self.path) == self.path
                if held:
                    self.path.touch()
                    touched = time.monotonic()
            except OSError:
                # A shared folder may be away for a moment.
                held = time.monotonic() - touched < self.lease
            if not held:
                self._lost()
                return

    def release(self) -> None:
        """Let go: the next one who claims it is given it."""
        self._done.set()
        self._thread.join()
        for path in _generations(self.path):
            if path <= self.path:  # a later one is another worker's
                path.unlink(missing_ok=True)


def claim(folder: Path, name: str, lost: Callable[[], None], lease: float = LEASE) -> Claim | None:
    """The claim of ``name``; None while another worker holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / f"{name}.claim.000001"
    latest = _latest(first)
    if latest is None:
        path = first
    elif _is_alive(latest, lease):
        return None
    else:
        path = latest.with_suffix(f".{int(latest.suffix[1:]) + 1:06d}")
    try:
        with path.open("x") as file:
            json.dump({"machine": _machine(), "pid": os.getpid()}, file)
    except FileExistsError:
        return None
    return Claim(path, lease, lost)


def _generations(path: Path) -> list[Path]:
    """All files of the same claim, in their order."""
    return sorted(path.parent.glob(f"{path.stem}.*"))


def _latest(path: Path) -> Path | None:
    return next(reversed(_generations(path)), None)


def _is_alive(path: Path, lease: float) -> bool:
    """Whether the holder has shown itself within the lease, by the clock of the file system."""
    try:
        holder = json.loads(path.read_text())
        if holder["machine"] == _machine() and not _is_running(holder["pid"]):
            return False
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        pass  # not written yet, or already gone: its age decides
    clock = path.parent / f".{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}.clock"
    try:
        clock.touch()
        return clock.stat().st_mtime - path.stat().st_mtime < lease
    except FileNotFoundError:
        return True  # released a moment ago; the next look finds nothing
    finally:
        clock.unlink(missing_ok=True)


def _machine() -> str:
    """Where a process number means a process: a running system, and a container in it."""
    parts = [socket.gethostname()]
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.is_file():
        parts += [boot.read_text().strip(), os.readlink(space)]
    return " ".join(parts)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
