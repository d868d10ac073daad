"""Claims assign runs to workers, on one machine or many, that share a folder.

A claim is a file that its holder touches regularly. If it is not touched for the duration of a
lease, another worker may create the file with the next number, which the file system allows only
one worker to do. Nothing is locked, so that claims work on any kind of shared folder, and a killed
worker leaves nothing to clean up.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gan_lightning.utils.files import file_system_time

#: Seconds without a touch of its claim after which a worker counts as dead.
LEASE = 60.0


class Claim:
    """The exclusive right to one run, until ``release``.

    Args:
        path: the path of the claim's file.
        lease: seconds without a touch after which another worker may take over.
        on_lost: called in another thread if another worker took over, because this process was
            suspended.
    """

    def __init__(self, path: Path, lease: float, on_lost: Callable[[], None]) -> None:
        self.path = path
        self.lease = lease
        self._on_lost = on_lost
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        touched = time.monotonic()
        while not self._released.wait(self.lease / 5):
            try:
                held = _latest(self.path) == self.path
                if held:
                    self.path.touch()
                    touched = time.monotonic()
            except OSError:
                # A shared folder may be unavailable for a moment.
                held = time.monotonic() - touched < self.lease
            if not held:
                self._on_lost()
                return

    def release(self) -> None:
        """Release the claim, so that another worker can take it."""
        self._released.set()
        self._thread.join()
        for path in _generations(self.path):
            if path <= self.path:  # later files belong to another worker
                path.unlink(missing_ok=True)


def claim(
    folder: Path, name: str, on_lost: Callable[[], None], lease: float = LEASE
) -> Claim | None:
    """Claim ``name``; None if another worker holds it."""
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
    return Claim(path, lease, on_lost)


def _generations(path: Path) -> list[Path]:
    """All files of the same claim, in order."""
    return sorted(path.parent.glob(f"{path.stem}.*"))


def _latest(path: Path) -> Path | None:
    return next(reversed(_generations(path)), None)


def _is_alive(path: Path, lease: float) -> bool:
    """Whether the holder touched its claim within the lease, by the file system's clock."""
    try:
        holder = json.loads(path.read_text())
        if holder["machine"] == _machine() and not _is_running(holder["pid"]):
            return False
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        pass  # not written yet, or already gone: its age decides
    try:
        return file_system_time(path.parent) - path.stat().st_mtime < lease
    except FileNotFoundError:
        return True  # released a moment ago; the next attempt finds no claim


def _machine() -> str:
    """The scope of a process id: a booted system, and the PID namespace of a container in it."""
    parts = [socket.gethostname()]
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.is_file():
        parts += [boot.read_text().strip(), os.readlink(namespace)]
    return " ".join(parts)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
