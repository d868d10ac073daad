"""Pictures of any kind and size, read one by one."""

import hashlib
import os
import posixpath
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

from gan_lightning.data.pixels import (
    MAX_PIXELS,
    Colour,
    UnreadableImageError,
    decode,
    unreadable,
)
from gan_lightning.utils.errors import (
    MissingFileError,
    SourceChangedError,
    WrongFileError,
    one_line,
)

#: Formats that Pillow hands to another program, or knows by name alone.
NOT_READ = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"}
#: What a member of an archive may unpack to: more than any picture that is decoded.
MAX_BYTES = 4 * MAX_PIXELS
#: What opening an archive raises: ValueError for a name that is not text.
BROKEN_ARCHIVE = (zipfile.BadZipFile, OSError, ValueError, NotImplementedError)
#: The sub-folders that are splits, where there are no others.
SPLITS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
WHITE: Colour = (255, 255, 255)


class Source(ABC):
    """Pictures by number. It goes to other processes: what it opens does not go with it."""

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
            UserError: there is no reading on.
        """

    @abstractmethod
    def name(self, i: int) -> str:
        """What a message calls a picture."""

    def prepare(self) -> None:  # noqa: B027  (most have nothing to do)
        """Called once before pictures are read, by this process and those that it starts."""

    @abstractmethod
    def fingerprint(self) -> str:
        """What differs when the pictures that come out do; of the content as it is now.

        Raises:
            SourceChangedError: the content is not there any more.
        """


class FilesSource(Source):
    """Pictures that are files, in the order of their names.

    Files are taken for pictures by their ending or, where none of them has a picture's, for having
    none; hidden ones are passed over. Where all pictures lie in sub-folders that are splits, among
    them ``train``, those of the other split are left out. Where all pictures lie in sub-folders,
    the first level of them are the classes.

    Args:
        place: what holds the files, for messages.
        files: their names, with slashes.
        background: what transparent ones are laid on.
        split: which to take, ``train`` or ``test``; None for all.
        classes: the names to number; by default those that are found.

    Raises:
        WrongFileError: there is no picture among the files, or one of a class that is not known.
    """

    def __init__(
        self,
        place: Path,
        files: Iterable[str],
        background: Colour,
        split: str | None,
        classes: Sequence[str] | None,
    ) -> None:
        self.place, self.background = place, background
        found = [file for file in sorted(files) if not _is_hidden(file)]
        pictures = [file for file in found if _ending(file) in _endings()]
        pictures = pictures or [file for file in found if not _ending(file)]
        below = _split_folder(pictures, split)
        self.files = [file for file in pictures if file.startswith(below)]
        if not self.files:
            raise WrongFileError(f"there are no images in {place}{_kinds(found)}")
        names = [file.removeprefix(below) for file in self.files]
        #: One that lies above all folders, so that there are no classes.
        self.without_class = next((name for name in names if "/" not in name), None)
        self.classes: list[str] = []
        if self.without_class is None:
            tops = [name.split("/", 1)[0] for name in names]
            self.classes = sorted(set(tops)) if classes is None else list(classes)
            numbers = {name: i for i, name in enumerate(self.classes)}
            if unknown := sorted(set(tops) - set(numbers)):
                raise WrongFileError(
                    f"{place} has the class {unknown[0]}, which the training images do not have"
                )
            self.labels = [numbers[top] for top in tops]

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return one_line(self.files[i])


class FolderSource(FilesSource):
    """The pictures below a folder; links are followed, each folder once.

    Raises:
        MissingFileError: there is no such folder.
        WrongFileError: it cannot be listed; the base's errors.
    """

    def __init__(
        self,
        root: Path,
        background: Colour = WHITE,
        split: str | None = "train",
        classes: Sequence[str] | None = None,
    ) -> None:
        if not root.is_dir():
            raise MissingFileError(f"there is no folder {root}")
        try:
            files = list(_files_below(root))
        except OSError as error:
            raise WrongFileError(f"{root} cannot be listed ({error})") from error
        super().__init__(root, files, background, split, classes)

    def __getitem__(self, i: int) -> Tensor:
        path = self.place / self.files[i]
        try:
            with open_image(path) as image:
                return decode(image, self.background)
        except OSError as error:
            raise SourceChangedError(
                f"{path} went away while the images were read ({error.strerror})"
            ) from error

    def fingerprint(self) -> str:
        """Of the names, sizes and times of change, and the background."""
        return f"{stat_fingerprint(self.place, self.files)} {self.background}"


class ZipSource(FilesSource):
    """The pictures in a zip archive, which is read where it is.

    A folder that holds all of them is passed over.

    Raises:
        MissingFileError: there is no such file.
        WrongFileError: it is not a zip archive; the base's errors.
    """

    def __init__(
        self,
        path: Path,
        background: Colour = WHITE,
        split: str | None = "train",
        classes: Sequence[str] | None = None,
    ) -> None:
        if not path.is_file():
            raise MissingFileError(f"there is no file {path}")
        try:
            members = _members(path)
        except BROKEN_ARCHIVE as error:
            raise WrongFileError(f"{path} is not a zip archive ({error})") from error
        top = _only_folder(members)
        self.members = {name.removeprefix(top): member for name, member in members.items()}
        super().__init__(path, self.members, background, split, classes)
        self._opened: tuple[int, zipfile.ZipFile] | None = None

    def __getitem__(self, i: int) -> Tensor:
        member = self.members[self.files[i]]
        if member.file_size > MAX_BYTES:
            raise UnreadableImageError(f"it unpacks to {member.file_size:,} bytes")
        try:
            archive = self._archive()
        except BROKEN_ARCHIVE as error:
            raise SourceChangedError(f"{self.place} went away while it was read") from error
        try:
            with archive.open(member) as file, open_image(file) as image:
                return decode(image, self.background)
        except OSError as error:
            raise SourceChangedError(f"{self.place} went away while it was read") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            # Torn, encrypted, or packed in a way that Python does not unpack.
            raise UnreadableImageError(str(error)) from error

    def fingerprint(self) -> str:
        """Of the names and their checksums, and the background."""
        try:
            members = _members(self.place)
        except BROKEN_ARCHIVE as error:
            raise SourceChangedError(f"{self.place} changed while it was read") from error
        sums = sorted((name, member.CRC) for name, member in members.items())
        return hashlib.sha256(repr((sums, self.files, self.background)).encode()).hexdigest()

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

    def prepare(self) -> None:
        self.source.prepare()

    def fingerprint(self) -> str:
        """Of the source and the choice."""
        chosen = hashlib.sha256(repr(list(self.chosen)).encode()).hexdigest()
        return f"{self.source.fingerprint()} {chosen}"


def open_image(file: Path | IO[bytes]) -> Image.Image:
    """A picture whose head is read.

    Raises:
        UnreadableImageError: it is something else.
        OSError: the disk does not hand it out.
    """
    try:
        return Image.open(file, formats=_formats())
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image") from error
    except Exception as error:
        # The readers of formats raise what they please on a broken head.
        raise unreadable(error) from error


def stat_fingerprint(folder: Path, files: Iterable[str]) -> str:
    """Of the names of files below ``folder``, their sizes and times of change.

    Raises:
        SourceChangedError: one of them is not there.
    """
    found = hashlib.sha256()
    try:
        for file in files:
            stat = os.stat(os.path.join(folder, file))
            found.update(os.fsencode(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\0"))
    except OSError as error:
        raise SourceChangedError(f"{folder} changed while it was read ({error})") from error
    return found.hexdigest()


def _files_below(root: Path) -> Iterator[str]:
    """Every file's path from ``root``, with slashes; OSError where a folder cannot be listed."""
    waiting, seen = [""], set()
    while waiting:
        above = waiting.pop()
        folder = os.path.join(root, above)
        stat = os.stat(folder)
        if (stat.st_dev, stat.st_ino) in seen:
            continue
        seen.add((stat.st_dev, stat.st_ino))
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True):
            if entry.is_dir():
                waiting.append(f"{above}{entry.name}/")
            elif entry.is_file():  # not a link to nowhere, nor a pipe
                yield above + entry.name


def _members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by their names, those that lead out of it left out."""
    with zipfile.ZipFile(path) as archive:
        members = {
            posixpath.normpath(member.filename): member
            for member in archive.infolist()
            if not member.is_dir()
        }
    return {name: member for name, member in members.items() if not name.startswith(("..", "/"))}


def _only_folder(files: Iterable[str]) -> str:
    """The folder, with its slash, that all files lie in; "" where there is none."""
    tops = {file.split("/", 1)[0] + "/" if "/" in file else "" for file in files}
    visible = {top for top in tops if not _is_hidden(top)}
    return visible.pop() if len(visible) == 1 else ""


def _split_folder(files: Iterable[str], split: str | None) -> str:
    """The folder, with its slash, of the split; "" where the sub-folders are not splits."""
    folders = {file.split("/", 1)[0] if "/" in file else "" for file in files}
    known = {name for names in SPLITS.values() for name in names}
    if split is None or "train" not in folders or not folders <= known:
        return ""
    return next((name for name in SPLITS[split] if name in folders), "train") + "/"


def _is_hidden(file: str) -> bool:
    return f"/{file}".find("/.") >= 0 or f"/{file}".find("/__MACOSX") >= 0


def _ending(file: str) -> str:
    return os.path.splitext(file)[1].lower()


@cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.ID if name not in NOT_READ]


@cache
def _endings() -> set[str]:
    formats = set(_formats())
    return {end for end, name in Image.registered_extensions().items() if name in formats}


def _kinds(files: Iterable[str]) -> str:
    counts = Counter(_ending(file) or "no ending" for file in files)
    found = ", ".join(f"{count} {kind}" for kind, count in counts.most_common(5))
    return f" (found: {found})" if found else ": it is empty"
