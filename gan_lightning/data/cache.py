"""Decoded images on disk: one file that is mapped into memory, built once."""

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

from gan_lightning.data.pixels import ImageTransform, UnreadableImageError, accept_dark
from gan_lightning.data.sources import Source
from gan_lightning.data.workers import read_ahead
from gan_lightning.utils.errors import (
    CacheError,
    SourceChangedError,
    UserError,
    WorkerError,
    WrongFileError,
)

#: Version of the files below and of how images are decoded; other versions are not read.
VERSION = 3
IMAGES, CHUNKS, META = "images.u8", "chunks.jsonl", "meta.json"
#: Errors that parsing an invalid line of ``CHUNKS`` raises.
CHUNK_LINE_ERRORS = (ValueError, TypeError, OverflowError, RecursionError)
#: Number of images that are decoded, written and summed together.
CHUNK = 256
#: When opening a cache, all checksums are compared up to this size, and some in a larger one.
CHECKED_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Cache:
    """Images ``(N, C, size, size)``, uint8, mapped from a file that must not be written to.

    ``labels`` ``(N,)`` come from the source; ``skipped`` maps the index in the source of each
    image that cannot be read to the reason; ``key`` is a checksum of the content and the transform.
    """

    images: Tensor
    labels: Tensor | None
    skipped: dict[int, str]
    key: str


def open_cache(
    source: Source, transform: ImageTransform, parent: Path, title: str, *, strict: bool = False
) -> Cache:
    """The transformed images of ``source``, from a folder in ``parent`` that is built if missing.

    The folder's name contains a checksum of the content and the transform. One process builds the
    cache in a temporary folder while others wait, and resumes a build that was interrupted. A cache
    that is damaged or of another version is rebuilt.

    Raises:
        WrongFileError: no image can be read or, if ``strict``, at least one cannot.
        SourceChangedError: the content moved or changed during the build; the images decoded so
            far are kept if the content may come back.
        CacheError: ``parent`` cannot be written to, or is full; the images decoded so far are kept.
    """
    content = source.fingerprint()
    identity = json.dumps([VERSION, asdict(transform), content])
    key = hashlib.sha256(identity.encode()).hexdigest()
    folder = parent / f"{title}-{transform.size}px-{key[:16]}"
    with _report_cache_errors(parent):
        if _find_damage(folder, transform, len(source)):
            parent.mkdir(parents=True, exist_ok=True)
            with _build_lock(folder):
                # Another process may have built it while this one waited.
                if damage := _find_damage(folder, transform, len(source)):
                    if folder.exists():
                        rank_zero_warn(f"the cache {folder} is damaged ({damage}): rebuilding it")
                        shutil.rmtree(folder)
                    _build(source, transform, folder, content, strict)
        cache = _open(folder, transform, source, key)
    if cache.skipped:
        if strict:
            raise _strict_error(source, cache.skipped)
        i, reason = next(iter(cache.skipped.items()))
        more = f", and {len(cache.skipped) - 1} more" if len(cache.skipped) > 1 else ""
        rank_zero_warn(
            f"{len(cache.skipped)} of {len(source)} images cannot be read: "
            f"{source.name(i)} ({reason}){more}; skipped"
        )
    return cache


@dataclass(frozen=True)
class _Chunk:
    """A line of ``CHUNKS``: of ``read`` consecutive images, ``decoded`` are in ``IMAGES``.

    Among these, ``dark`` ones are unreadable if no chunk of the cache is ``bright``.
    """

    read: int
    decoded: int
    crc32: int
    skipped: dict[int, str]
    dark: dict[int, str]
    bright: bool

    @classmethod
    def of(
        cls, pixels: bytes, read: int, skipped: dict[int, str], dark: dict[int, str], bright: bool
    ) -> "_Chunk":
        """The chunk of these decoded images."""
        crc32 = _checksum(pixels, skipped, dark, bright)
        return cls(read, read - len(skipped), crc32, skipped, dark, bright)

    def to_line(self) -> str:
        lists = list(self.skipped.items()), list(self.dark.items())
        return json.dumps([self.read, self.decoded, self.crc32, *lists, self.bright]) + "\n"

    @classmethod
    def from_line(cls, line: str) -> "_Chunk":
        """Raises one of CHUNK_LINE_ERRORS if the line is not a chunk."""
        read, decoded, crc32, skipped, dark, bright = json.loads(line)
        chunk = cls(read, decoded, crc32, dict(skipped), dict(dark), bright)
        numbers = read, decoded, crc32, *chunk.skipped, *chunk.dark
        if {int} != {type(number) for number in numbers}:
            raise TypeError("the numbers of a chunk must be integers")
        if (
            chunk.decoded < 0
            or chunk.read != chunk.decoded + len(chunk.skipped)
            or chunk.read > CHUNK
        ):
            raise ValueError(
                f"{chunk.read} images are not {chunk.decoded} decoded and "
                f"{len(chunk.skipped)} skipped"
            )
        # Truncating CHUNKS computes the length of a line from its parsed content.
        if chunk.to_line() != line:
            raise ValueError("the line differs from the one that was written")
        return chunk


def _open(folder: Path, transform: ImageTransform, source: Source, key: str) -> Cache:
    chunks = _read_chunks(folder, len(source))
    skipped = {i: reason for chunk in chunks for i, reason in chunk.skipped.items()}
    rows = np.memmap(folder / IMAGES, np.uint8, mode="r").reshape(-1, *transform.shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*NumPy array is not writable.*")
        images = torch.from_numpy(rows)
    labels = None
    if source.labels is not None:
        labels = torch.tensor([y for i, y in enumerate(source.labels) if i not in skipped])
    return Cache(images, labels, skipped, key)


def _strict_error(source: Source, skipped: Mapping[int, str]) -> WrongFileError:
    i, reason = next(iter(skipped.items()))
    return WrongFileError(f"{source.name(i)} cannot be read ({reason}), and --data.strict is true")


def _find_damage(folder: Path, transform: ImageTransform, total: int) -> str | None:
    """The reason why the cache of ``total`` images cannot be used, or None if it can."""
    try:
        meta = json.loads((folder / META).read_text())
        chunks = _read_chunks(folder, total)
        count = sum(chunk.decoded for chunk in chunks)
        if not count or sum(chunk.read for chunk in chunks) != total:
            return f"{CHUNKS} does not describe {total:,} images"
        if meta != {"version": VERSION, "images": count, "chunks": len(chunks)}:
            return f"{META} and {CHUNKS} do not match"
        size, expected = (folder / IMAGES).stat().st_size, count * transform.nbytes
        if size != expected:
            return f"{IMAGES} has {size:,} bytes, not {expected:,}"
        every = max(1, -(-size // CHECKED_BYTES))
        if _count_intact(folder / IMAGES, chunks, transform, every) < len(chunks):
            return f"a checksum of {IMAGES} differs from the one in {CHUNKS}"
    except (FileNotFoundError, ValueError, RecursionError) as error:
        return str(error)
    return None


def _build(
    source: Source, transform: ImageTransform, folder: Path, content: str, strict: bool
) -> None:
    part = folder.with_name(folder.name + ".part")
    for path in (part, *(part / name for name in (IMAGES, CHUNKS, META))):
        if path.is_symlink():
            path.unlink()  # never write through a link
    part.mkdir(parents=True, exist_ok=True)
    chunks = _resume_build(part, transform, len(source))
    start = sum(chunk.read for chunk in chunks)
    needed, free = (len(source) - start) * transform.nbytes, shutil.disk_usage(part).free
    if needed > free:
        raise CacheError(
            f"the decoded images need {needed / 1e9:.1f} GB in {folder.parent}, which has "
            f"{free / 1e9:.1f} GB left: choose another folder with --data.cache_dir"
        )
    source.prepare()
    rank_zero_info(f"decoding {len(source) - start:,} images into {folder}")
    with (
        (part / IMAGES).open("ab", buffering=0) as images,
        (part / CHUNKS).open("a") as journal,
        _progress(len(source), start) as advance,
    ):
        for chunk, pixels in _decode_chunks(source, transform, start):
            if strict and chunk.skipped:
                shutil.rmtree(part)  # repairing the image changes the content
                raise _strict_error(source, chunk.skipped)
            _write_all(images, pixels)
            journal.write(chunk.to_line())
            journal.flush()
            chunks.append(chunk)
            advance(chunk.read)
        os.fsync(images.fileno())
        os.fsync(journal.fileno())
    if source.fingerprint() != content:
        shutil.rmtree(part)  # a mix of the old and the new content
        raise SourceChangedError(
            "the images changed while they were being read: run the command again"
        )
    if not any(chunk.bright for chunk in chunks) and any(chunk.dark for chunk in chunks):
        chunks = _skip_dark(part, transform, chunks)
    count = sum(chunk.decoded for chunk in chunks)
    if not count:
        shutil.rmtree(part)
        reason = chunks[0].skipped[0]
        raise WrongFileError(
            f"none of the {len(source)} images can be read: the first is {source.name(0)} "
            f"({reason})"
        )
    with (part / META).open("w") as meta:
        json.dump({"version": VERSION, "images": count, "chunks": len(chunks)}, meta)
        meta.flush()
        os.fsync(meta.fileno())
    part.rename(folder)


def _skip_dark(part: Path, transform: ImageTransform, chunks: list[_Chunk]) -> list[_Chunk]:
    """Remove the dark images from the files, in place: if it is stopped, checksums differ."""
    kept: list[_Chunk] = []
    begin = read_until = written_until = 0
    with (part / IMAGES).open("r+b") as images:
        for chunk in chunks:
            images.seek(read_until)
            pixels = images.read(chunk.decoded * transform.nbytes)
            read_until += len(pixels)
            decoded = [i for i in range(begin, begin + chunk.read) if i not in chunk.skipped]
            begin += chunk.read
            rows = np.frombuffer(pixels, np.uint8).reshape(len(decoded), transform.nbytes)
            pixels = rows[[i not in chunk.dark for i in decoded]].tobytes()
            skipped = dict(sorted((chunk.skipped | chunk.dark).items()))
            kept.append(_Chunk.of(pixels, chunk.read, skipped, {}, False))
            images.seek(written_until)
            written_until += images.write(pixels)
        images.truncate(written_until)
        images.flush()
        os.fsync(images.fileno())
    with (part / CHUNKS).open("w") as journal:
        journal.writelines(chunk.to_line() for chunk in kept)
        journal.flush()
        os.fsync(journal.fileno())
    return kept


@dataclass(frozen=True)
class _Decoder(Dataset[tuple[_Chunk, bytes] | UserError]):
    """The task of the worker processes: decode images into bytes, one chunk at a time."""

    source: Source
    transform: ImageTransform
    start: int

    def __len__(self) -> int:
        return -(-(len(self.source) - self.start) // CHUNK)

    def __getitem__(self, number: int) -> tuple[_Chunk, bytes] | UserError:
        begin = self.start + number * CHUNK
        indices = range(begin, min(begin + CHUNK, len(self.source)))
        images, bright = [], False
        skipped: dict[int, str] = {}
        dark: dict[int, str] = {}
        for i in indices:
            try:
                with accept_dark() as levels:
                    images.append(self.transform(self.source[i]).numpy().tobytes())
            except UnreadableImageError as error:
                skipped[i] = " ".join(str(error).split())
                continue
            except UserError as error:
                return error
            bright |= levels.bright
            if levels.dark is not None:
                dark[i] = levels.dark
        pixels = b"".join(images)
        return _Chunk.of(pixels, len(indices), skipped, dark, bright), pixels


def _decode_chunks(
    source: Source, transform: ImageTransform, start: int
) -> Iterator[tuple[_Chunk, bytes]]:
    try:
        yield from read_ahead(_Decoder(source, transform, start), per_worker=4)
    except WorkerError as error:
        raise CacheError(f"{error}; the images decoded so far are kept") from error


def _resume_build(part: Path, transform: ImageTransform, total: int) -> list[_Chunk]:
    """The intact chunks of an earlier process; the files are truncated after them."""
    for name in (IMAGES, CHUNKS):
        (part / name).touch()
    chunks = _read_chunks(part, total)
    chunks = chunks[: _count_intact(part / IMAGES, chunks, transform)]
    os.truncate(part / IMAGES, sum(chunk.decoded for chunk in chunks) * transform.nbytes)
    os.truncate(part / CHUNKS, sum(len(chunk.to_line()) for chunk in chunks))
    return chunks


def _read_chunks(folder: Path, total: int) -> list[_Chunk]:
    """The lines of ``CHUNKS``, up to the first that is incomplete or damaged.

    A line is also damaged if it names an image of another chunk, or exceeds ``total`` images.
    """
    chunks: list[_Chunk] = []
    begin = 0
    for line in (folder / CHUNKS).read_text(errors="replace").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        try:
            chunk = _Chunk.from_line(line)
        except CHUNK_LINE_ERRORS:
            break
        indices = range(begin, begin + chunk.read)
        begin = indices.stop
        if begin > total or not all(i in indices for i in (*chunk.skipped, *chunk.dark)):
            break
        chunks.append(chunk)
    return chunks


def _checksum(
    pixels: bytes, skipped: Mapping[int, str], dark: Mapping[int, str], bright: bool
) -> int:
    """CRC-32 of the decoded images, and of what decides which images and labels are used."""
    found = json.dumps([list(skipped.items()), list(dark.items()), bright])
    return zlib.crc32(pixels, zlib.crc32(found.encode()))


def _count_intact(
    path: Path, chunks: list[_Chunk], transform: ImageTransform, every: int = 1
) -> int:
    """The number of chunks before the first damaged one; checks each ``every``-th and the last."""
    with path.open("rb") as file:
        for number, chunk in enumerate(chunks):
            size = chunk.decoded * transform.nbytes
            if number % every and number < len(chunks) - 1:
                file.seek(size, os.SEEK_CUR)
                continue
            pixels = file.read(size)
            crc32 = _checksum(pixels, chunk.skipped, chunk.dark, chunk.bright)
            if len(pixels) < size or crc32 != chunk.crc32:
                return number
    return len(chunks)


def _write_all(file: RawIOBase, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def _build_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time build a cache; the lock of a killed process is released."""
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
def _report_cache_errors(parent: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise CacheError(
            f"the decoded images cannot be saved in {parent} ({error.strerror or error}); what is "
            "already there is kept. Free some space, or choose another folder with "
            "--data.cache_dir"
        ) from error


@contextmanager
def _progress(total: int, done: int) -> Iterator[Callable[[int], None]]:
    columns = [TextColumn("decoding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda count: bar.advance(task, count)
