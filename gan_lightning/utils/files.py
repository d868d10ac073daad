"""Paths as users write them, and files that are written whole or not at all."""

import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from gan_lightning.utils.errors import StorageError

#: Seconds after which an unfinished file has no writer any more.
ABANDONED = 3600


def user_path(text: str | os.PathLike[str]) -> Path:
    """The path, with ``~`` and ``~user`` expanded; an unknown user's name stays as it is."""
    return Path(os.path.expanduser(text))


def real_path(path: Path) -> Path:
    """The path with links resolved; unlike ``Path.resolve``, it does not raise on a loop."""
    return Path(os.path.realpath(path))


@contextmanager
def whole_file(
    path: Path, mode: str = "wb", *, flushed: bool = True, **options: Any
) -> Iterator[IO[Any]]:
    """A file to write to, which replaces the one at ``path`` when it is whole.

    Where the process is killed or the disk is full, the old file stays; where the file is
    ``flushed`` to the disk first, also where the machine loses power. ``options`` are those of
    ``open``.

    Raises:
        StorageError: it cannot be written; the old file stays.
    """
    # Process numbers repeat: each container may have its own.
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    with _storage_errors(path, "what was there before stays"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # A new file: a link in its place is not followed.
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
    """Remove what killed processes left of files whose names end in ``kind``."""
    # Names that ``whole_file`` gives, and that it gave in version 0.1.
    name = re.compile(rf"{re.escape(kind)}\.([0-9a-f]{{16}}|\d+)\.part$")
    parts = [part for part in folder.glob(f"*{kind}.*.part") if name.search(part.name)]
    if not parts:
        return
    with suppress(OSError):  # the folder cannot be written to
        now = file_system_time(folder)
        for part in parts:
            with suppress(OSError):  # another process has removed it
                if now - part.stat().st_mtime > ABANDONED:
                    part.unlink()


def file_system_time(folder: Path) -> float:
    """The time of the file system's clock, which may be another machine's.

    Raises:
        OSError: the folder does not exist or cannot be written to.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


@contextmanager
def appending(path: Path, **options: Any) -> Iterator[IO[Any]]:
    """A text file to add lines to; ``options`` are those of ``open``.

    Raises:
        StorageError: they cannot be written; the last line may be incomplete.
    """
    with (
        _storage_errors(path, "its last line may be incomplete"),
        path.open("a", **options) as file,
    ):
        yield file


@contextmanager
def _storage_errors(path: Path, consequence: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch raises a RuntimeError of its own where a disk is full.
        cause = next((e for e in _chain(error) if isinstance(e, OSError)), None)
        if cause is None or isinstance(cause, StorageError):
            raise
        raise StorageError(
            f"{path} cannot be written ({cause.strerror or cause}); {consequence}"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make the renaming survive a loss of power, where the file system can."""
    # Some cannot open or flush folders; the file itself is in place.
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
