"""Paths as users write them, and files that are written at once or not at all."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from gan_lightning.utils.errors import StorageError

#: Seconds after which nobody writes to a file any more.
ABANDONED = 3600


def user_path(text: str | os.PathLike[str]) -> Path:
    """The path, with ``~`` and ``~user`` as a shell has them: of nobody, as it stands."""
    return Path(os.path.expanduser(text))


def real_path(path: Path) -> Path:
    """Where links lead; Path's own ``resolve`` raises where they lead to each other."""
    return Path(os.path.realpath(path))


@contextmanager
def whole_file(
    path: Path, mode: str = "wb", *, flushed: bool = True, **options: Any
) -> Iterator[IO[Any]]:
    """A file to write to, which takes its place when it is whole.

    A process that is killed, or a disk that is full, leaves what was there before; so does a
    machine that loses its power, where the file is ``flushed`` to the disk first. ``options`` are
    those of ``open``.

    Raises:
        StorageError: it cannot be written; what was there before stays.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with _told(path, "what was there before stays"):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        try:
            # One of its own: not through a link that lies in its place.
            with part.open(mode.replace("w", "x"), **options) as file:
                yield file
                if flushed:
                    file.flush()
                    os.fsync(file.fileno())
            part.replace(path)
            if flushed:
                _sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


def remove_abandoned(folder: Path, kind: str = "") -> None:
    """Remove the unfinished files, of names that end with ``kind``, of killed processes."""
    for part in folder.glob(f"*{kind}.*.part"):
        if not re.search(rf"{re.escape(kind)}\.\d+\.part$", part.name):
            continue  # not one of ``whole_file``
        with suppress(OSError):  # another process was faster
            if time.time() - part.stat().st_mtime > ABANDONED:
                part.unlink()


@contextmanager
def appending(path: Path, **options: Any) -> Iterator[IO[Any]]:
    """A text file to add lines to; ``options`` are those of ``open``.

    Raises:
        StorageError: they cannot be written; the last one may be there in part.
    """
    with _told(path, "its last line may be there in part"), path.open("a", **options) as file:
        yield file


@contextmanager
def _told(path: Path, left: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch tells of a full disk as of a fault of its own.
        cause = next((e for e in _chain(error) if isinstance(e, OSError)), None)
        if cause is None or isinstance(cause, StorageError):
            raise
        raise StorageError(
            f"{path} cannot be written ({cause.strerror or cause}); {left}"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Have the renaming, too, outlive a machine that loses its power, where the system can."""
    # Some open no folders, or flush none; the file itself is in its place.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
