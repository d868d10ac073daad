"""Decoded pictures on disk: one file that is mapped into memory, built once."""

import hashlib
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import RawIOBase
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import Dataset

from gan_lightning.data.pixels import Form, UnreadableImageError
from gan_lightning.data.sources import Source
from gan_lightning.data.workers import read_ahead
from gan_lightning.utils.errors import (
    CacheError,
    SourceChangedError,
    UserError,
    WorkerError,
    WrongFileError,
)

#: Of the files below; others are not read.
VERSION = 1
IMAGES, CHUNKS, META = "images.u8", "chunks.jsonl", "meta.json"
#: What reading a line of ``CHUNKS`` raises where it is none.
NOT_ONE = (ValueError, TypeError, OverflowError, RecursionError)
#: Pictures that are decoded, written and summed together.
CHUNK = 256
#: Up to these many bytes all checksums are compared when a cache is opened; of a larger one, some.
CHECKED_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Cache:
    """Pictures ``(N, C, size, size)``, uint8, mapped from a file that is not to be written to.

    ``labels`` ``(N,)`` are those of the source; ``skipped`` are the numbers in it of the pictures
    that could not be read, with the reason; ``key`` is a checksum of the content and the form.
    """

    images: Tensor
    labels: Tensor | None
    skipped: dict[int, str]
    key: str


def open_cache(
    source: Source, form: Form, parent: Path, title: str, *, strict: bool = False
) -> Cache:
    """The pictures of ``source`` in their ``form``, from a folder in ``parent``, built if missing.

    The folder's name holds a checksum of the content and the form. It is built beside its place by
    one process, while others wait, and goes on where an earlier one was stopped; what is torn or
    of another version is built again.

    Raises:
        WrongFileError: no picture can be read or, if ``strict``, one cannot.
        SourceChangedError: the content moved or changed meanwhile; what was decoded is kept where
            the content may come back.
        CacheError: ``parent`` cannot be written to, or is full; what was decoded is kept.
    """
    content = source.fingerprint()
    identity = json.dumps([VERSION, asdict(form), content])
    key = hashlib.sha256(identity.encode()).hexdigest()
    folder = parent / f"{title}-{form.size}px-{key[:16]}"
    with _keeping(parent):
        if _fault(folder, form, len(source)):
            parent.mkdir(parents=True, exist_ok=True)
            with _alone(folder):
                # Another process may have built it while this one waited.
                if fault := _fault(folder, form, len(source)):
                    if folder.exists():
                        rank_zero_warn(f"the cache {folder} is damaged ({fault}): it is made again")
                        shutil.rmtree(folder)
                    _build(source, form, folder, content, strict)
        cache = _open(folder, form, source, key)
    if cache.skipped:
        if strict:
            raise _refused(source, cache.skipped)
        i, why = next(iter(cache.skipped.items()))
        more = f", and {len(cache.skipped) - 1} more" if len(cache.skipped) > 1 else ""
        rank_zero_warn(
            f"{len(cache.skipped)} of {len(source)} images cannot be read: "
            f"{source.name(i)} ({why}){more}; skipped"
        )
    return cache


@dataclass(frozen=True)
class _Chunk:
    """A line of ``CHUNKS``: of ``read`` pictures in a row, ``kept`` are in ``IMAGES``."""

    read: int
    kept: int
    crc32: int
    skipped: dict[int, str]

    def line(self) -> str:
        return json.dumps([self.read, self.kept, self.crc32, list(self.skipped.items())]) + "\n"

    @classmethod
    def of(cls, line: str) -> "_Chunk":
        """Raises one of NOT_ONE where the line holds something else."""
        read, kept, crc32, skipped = json.loads(line)
        chunk = cls(read, kept, crc32, dict(skipped))
        if {int} != {type(number) for number in (read, kept, crc32, *chunk.skipped)}:
            raise TypeError("pictures are counted in whole numbers")
        if chunk.kept < 0 or chunk.read != chunk.kept + len(chunk.skipped) or chunk.read > CHUNK:
            raise ValueError(f"{chunk.read} pictures are not {chunk.kept} and those skipped")
        # Where one is cut off, its length is counted from what it holds.
        if chunk.line() != line:
            raise ValueError("the line is not as it was written")
        return chunk


def _open(folder: Path, form: Form, source: Source, key: str) -> Cache:
    chunks = _read_chunks(folder, len(source))
    skipped = {i: why for chunk in chunks for i, why in chunk.skipped.items()}
    rows = np.memmap(folder / IMAGES, np.uint8, mode="r").reshape(-1, *form.shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*NumPy array is not writable.*")
        images = torch.from_numpy(rows)
    labels = None
    if source.labels is not None:
        labels = torch.tensor([y for i, y in enumerate(source.labels) if i not in skipped])
    return Cache(images, labels, skipped, key)


def _refused(source: Source, skipped: Mapping[int, str]) -> WrongFileError:
    i, why = next(iter(skipped.items()))
    return WrongFileError(f"{source.name(i)} cannot be read ({why}), and --data.strict is true")


def _fault(folder: Path, form: Form, total: int) -> str | None:
    """What keeps the cache of ``total`` pictures from being used."""
    try:
        meta = json.loads((folder / META).read_text())
        chunks = _read_chunks(folder, total)
        count = sum(chunk.kept for chunk in chunks)
        if not count or sum(chunk.read for chunk in chunks) != total:
            return f"{CHUNKS} is not of {total:,} pictures"
        if meta != {"version": VERSION, "images": count, "chunks": len(chunks)}:
            return f"{META} and {CHUNKS} do not belong together"
        size, expected = (folder / IMAGES).stat().st_size, count * form.nbytes
        if size != expected:
            return f"{IMAGES} has {size:,} bytes, not {expected:,}"
        every = max(1, -(-size // CHECKED_BYTES))
        if _count_intact(folder / IMAGES, chunks, form, every) < len(chunks):
            return f"a checksum of {IMAGES} is not the one in {CHUNKS}"
    except (FileNotFoundError, ValueError, RecursionError) as error:
        return str(error)
    return None


def _build(source: Source, form: Form, folder: Path, content: str, strict: bool) -> None:
    part = folder.with_name(folder.name + ".part")
    for path in (part, *(part / name for name in (IMAGES, CHUNKS, META))):
        if path.is_symlink():
            path.unlink()  # what is written stays here
    part.mkdir(parents=True, exist_ok=True)
    chunks = _resumed(part, form, len(source))
    start = sum(chunk.read for chunk in chunks)
    needed, free = (len(source) - start) * form.nbytes, shutil.disk_usage(part).free
    if needed > free:
        raise CacheError(
            f"the decoded images need {needed / 1e9:.1f} GB in {folder.parent}, which has "
            f"{free / 1e9:.1f} GB left: name another folder with --data.cache_dir"
        )
    source.prepare()
    rank_zero_info(f"decoding {len(source) - start:,} images into {folder}")
    with (
        (part / IMAGES).open("ab", buffering=0) as images,
        (part / CHUNKS).open("a") as journal,
        _progress(len(source), start) as advance,
    ):
        for chunk, pixels in _decoded(source, form, start):
            if strict and chunk.skipped:
                shutil.rmtree(part)  # mended, the content is another
                raise _refused(source, chunk.skipped)
            _write_all(images, pixels)
            journal.write(chunk.line())
            journal.flush()
            chunks.append(chunk)
            advance(chunk.read)
        os.fsync(images.fileno())
        os.fsync(journal.fileno())
    if source.fingerprint() != content:
        shutil.rmtree(part)  # of two contents, neither of which it is
        raise SourceChangedError("the images changed while they were read: run it again")
    count = sum(chunk.kept for chunk in chunks)
    if not count:
        shutil.rmtree(part)
        why = chunks[0].skipped[0]
        raise WrongFileError(
            f"none of the {len(source)} images can be read: the first is {source.name(0)} ({why})"
        )
    with (part / META).open("w") as meta:
        json.dump({"version": VERSION, "images": count, "chunks": len(chunks)}, meta)
        meta.flush()
        os.fsync(meta.fileno())
    part.rename(folder)


@dataclass(frozen=True)
class _Decoder(Dataset[tuple[_Chunk, bytes] | UserError]):
    """What worker processes do: pictures decoded, as bytes, a chunk at a time."""

    source: Source
    form: Form
    start: int

    def __len__(self) -> int:
        return -(-(len(self.source) - self.start) // CHUNK)

    def __getitem__(self, number: int) -> tuple[_Chunk, bytes] | UserError:
        begin = self.start + number * CHUNK
        numbers = range(begin, min(begin + CHUNK, len(self.source)))
        pixels, skipped = [], {}
        for i in numbers:
            try:
                pixels.append(self.form(self.source[i]).numpy().tobytes())
            except UnreadableImageError as error:
                skipped[i] = " ".join(str(error).split())
            except UserError as error:
                return error
        together = b"".join(pixels)
        return _Chunk(len(numbers), len(pixels), _checksum(together, skipped), skipped), together


def _decoded(source: Source, form: Form, start: int) -> Iterator[tuple[_Chunk, bytes]]:
    try:
        yield from read_ahead(_Decoder(source, form, start), each=4)
    except WorkerError as error:
        raise CacheError(f"{error}; what was decoded is kept") from error


def _resumed(part: Path, form: Form, total: int) -> list[_Chunk]:
    """The chunks of an earlier process that are intact; what follows them is cut off."""
    for name in (IMAGES, CHUNKS):
        (part / name).touch()
    chunks = _read_chunks(part, total)
    chunks = chunks[: _count_intact(part / IMAGES, chunks, form)]
    os.truncate(part / IMAGES, sum(chunk.kept for chunk in chunks) * form.nbytes)
    os.truncate(part / CHUNKS, sum(len(chunk.line()) for chunk in chunks))
    return chunks


def _read_chunks(folder: Path, total: int) -> list[_Chunk]:
    """The lines of ``CHUNKS``, up to one that was not written to its end, or is damaged.

    One is that skips a picture of another, or goes on after the last of ``total``.
    """
    chunks: list[_Chunk] = []
    begin = 0
    for line in (folder / CHUNKS).read_text(errors="replace").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        try:
            chunk = _Chunk.of(line)
        except NOT_ONE:
            break
        numbers = range(begin, begin + chunk.read)
        begin = numbers.stop
        if begin > total or not all(i in numbers for i in chunk.skipped):
            break
        chunks.append(chunk)
    return chunks


def _checksum(pixels: bytes, skipped: Mapping[int, str]) -> int:
    """Of pictures, and of those that are not among them: labels are told by what is skipped."""
    names = json.dumps(list(skipped.items())) if skipped else ""
    return zlib.crc32(pixels, zlib.crc32(names.encode()))


def _count_intact(path: Path, chunks: list[_Chunk], form: Form, every: int = 1) -> int:
    """How many chunks come before one whose checksum differs, of those that are looked at."""
    with path.open("rb") as file:
        for number, chunk in enumerate(chunks):
            size = chunk.kept * form.nbytes
            if number % every and number < len(chunks) - 1:
                file.seek(size, os.SEEK_CUR)
                continue
            pixels = file.read(size)
            if len(pixels) < size or _checksum(pixels, chunk.skipped) != chunk.crc32:
                return number
    return len(chunks)


def _write_all(file: RawIOBase, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While no other process builds the same cache; a killed one leaves no lock behind."""
    lock = FileLock(folder.with_name(folder.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        rank_zero_info(f"another process is building {folder}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _keeping(parent: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise CacheError(
            f"the decoded images cannot be kept in {parent} ({error.strerror or error}); what is "
            "there already stays. Make room, or name another folder with --data.cache_dir"
        ) from error


@contextmanager
def _progress(total: int, done: int) -> Iterator[Callable[[int], None]]:
    columns = [TextColumn("decoding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    shown = Console(stderr=True)
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda count: bar.advance(task, count)
