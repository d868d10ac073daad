"""Pictures of any kind and size, read one by one."""

import hashlib
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError
from torch import Tensor

from gan_lightning.data.pixels import Colour, UnreadableImageError, decode
from gan_lightning.errors import MissingFileError, SourceChangedError, WrongFileError

#: Formats that Pillow hands to another program to read.
NOT_READ = {"EPS", "WMF"}
#: How the names begin of what systems keep for themselves.
HIDDEN = (".", "__MACOSX")
WHITE: Colour = (255, 255, 255)


class Source(ABC):
    """Pictures by number. It goes to other processes, so it holds nothing that is open."""

    #: Their classes, where they have any.
    labels: Sequence[int] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """How many there are, unreadable ones included."""

    @abstractmethod
    def __getitem__(self, i: int) -> Tensor:
        """One picture, uint8 ``(1 or 3, H, W)``.

        Raises:
            UnreadableImageError: this one cannot be read.
            SourceChangedError: there is no reading on.
        """

    @abstractmethod
    def name(self, i: int) -> str:
        """What a message calls a picture."""

    def open(self) -> None:  # noqa: B027  (most have nothing to do)
        """Called once before pictures are read, by this process and those that it starts."""

    @abstractmethod
    def fingerprint(self) -> str:
        """What differs when the content does, as it is now."""


class FilesSource(Source):
    """Pictures that are files, by their names; those of the first folder's level are classes.

    Where a file lies above all folders there are no classes.

    Raises:
        WrongFileError: there is no picture among the files.
    """

    def __init__(self, place: Path, files: Iterable[str], background: Colour) -> None:
        files = sorted(files)
        self.place, self.background = place, background
        self.files = [file for file in files if _is_picture(file)]
        if not self.files:
            raise WrongFileError(f"there are no images in {place}{_kinds(files)}")
        self.classes: list[str] = []
        if all("/" in file for file in self.files):
            tops = [file.split("/", 1)[0] for file in self.files]
            self.classes = sorted(set(tops))
            numbers = {name: i for i, name in enumerate(self.classes)}
            self.labels = [numbers[top] for top in tops]

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return self.files[i]


class FolderSource(FilesSource):
    """The pictures below a folder, in the order of their names.

    Files are taken for pictures by their ending, or where they have none; hidden ones are passed
    over.

    Raises:
        MissingFileError: there is no such folder.
        WrongFileError: there is no picture below it.
    """

    def __init__(self, root: Path, background: Colour = WHITE) -> None:
        if not root.is_dir():
            raise MissingFileError(f"there is no folder {root}: name one with --data.data_dir")
        super().__init__(root, _files_below(root), background)

    def __getitem__(self, i: int) -> Tensor:
        path = self.place / self.files[i]
        try:
            with open_image(path) as image:
                return decode(image, self.background)
        except PermissionError as error:
            raise UnreadableImageError("permission denied") from error
        except OSError as error:
            raise SourceChangedError(f"{path} went away while it was read ({error})") from error

    def fingerprint(self) -> str:
        """Of the names, sizes and times of change."""
        return stat_fingerprint(self.place, self.files)


class ZipSource(FilesSource):
    """The pictures in a zip archive, which is read where it is.

    Raises:
        MissingFileError: there is no such file.
        WrongFileError: it is not a zip archive, or there is no picture in it.
    """

    def __init__(self, path: Path, background: Colour = WHITE) -> None:
        if not path.is_file():
            raise MissingFileError(f"there is no file {path}: name one with --data.data_dir")
        try:
            with zipfile.ZipFile(path) as archive:
                self.sums = {info.filename: info.CRC for info in archive.infolist()}
        except (zipfile.BadZipFile, OSError) as error:
            raise WrongFileError(f"{path} is not a zip archive ({error})") from error
        super().__init__(path, (file for file in self.sums if file[-1:] != "/"), background)
        self._opened: tuple[int, zipfile.ZipFile] | None = None

    def __getitem__(self, i: int) -> Tensor:
        try:
            with self._archive().open(self.files[i]) as file, open_image(file) as image:
                return decode(image, self.background)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, KeyError) as error:
            # Torn, encrypted, or packed in a way that Python does not unpack.
            raise UnreadableImageError(str(error)) from error
        except OSError as error:
            raise SourceChangedError(f"{self.place} went away while it was read") from error

    def fingerprint(self) -> str:
        """Of the names and their checksums."""
        return hashlib.sha256(repr(sorted(self.sums.items())).encode()).hexdigest()

    def _archive(self) -> zipfile.ZipFile:
        # A file that is open may not be shared with another process.
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), zipfile.ZipFile(self.place)
        return self._opened[1]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_opened": None}


class Selection(Source):
    """Some pictures of a source, with labels of their own."""

    def __init__(self, source: Source, chosen: Sequence[int], labels: Sequence[int] | None) -> None:
        self.source, self.chosen, self.labels = source, chosen, labels

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, i: int) -> Tensor:
        return self.source[self.chosen[i]]

    def name(self, i: int) -> str:
        return self.source.name(self.chosen[i])

    def fingerprint(self) -> str:
        """Of the source and the choice."""
        chosen = hashlib.sha256(repr(list(self.chosen)).encode()).hexdigest()
        return f"{self.source.fingerprint()} {chosen}"


def stat_fingerprint(folder: Path, files: Iterable[str]) -> str:
    """Of the names of files below ``folder``, their sizes and times of change.

    Raises:
        SourceChangedError: one of them is not there.
    """
    found = hashlib.sha256()
    try:
        for file in files:
            stat = os.stat(os.path.join(folder, file))
            found.update(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    except OSError as error:
        raise SourceChangedError(f"{folder} changed while it was read ({error})") from error
    return found.hexdigest()


def open_image(file: Path | IO[bytes]) -> Image.Image:
    """A picture whose head is read; UnreadableImageError for anything else."""
    try:
        return Image.open(file, formats=_formats())
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise UnreadableImageError(str(error)) from error
    except Exception as error:
        # The readers of formats raise what they please on a broken head.
        raise UnreadableImageError(str(error) or type(error).__name__) from error


def _is_picture(file: str) -> bool:
    """Whether a path ends as a picture's does, or has no ending."""
    if file.startswith(HIDDEN) or "/." in file or "/__MACOSX" in file:
        return False
    ending = os.path.splitext(file)[1].lower()
    return not ending or ending in _endings()


@cache
def _endings() -> set[str]:
    formats = set(_formats())
    return {end for end, name in Image.registered_extensions().items() if name in formats}


@cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.ID if name not in NOT_READ]


def _files_below(root: Path) -> Iterator[str]:
    """Every file's path from ``root``, with slashes; each folder once, whatever links to it."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        stat = os.stat(folder)
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        above = Path(folder).relative_to(root).as_posix()
        yield from files if above == "." else (f"{above}/{file}" for file in files)


def _kinds(files: Iterable[str]) -> str:
    counts = Counter(os.path.splitext(file)[1].lower() or "no ending" for file in files)
    found = ", ".join(f"{count} {kind}" for kind, count in counts.most_common(5))
    return f" (found: {found})" if found else ": it is empty"
