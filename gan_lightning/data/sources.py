"""Sources of images of any kind and size, which are read one by one."""

import errno
import hashlib
import os
import posixpath
import stat
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
    convert_decoder_error,
    decode,
    pixel_limit,
)
from gan_lightning.utils.errors import (
    MissingFileError,
    SourceChangedError,
    WrongFileError,
    one_line,
)

#: Formats that Pillow passes to another program, may contain those, or can only identify.
UNSUPPORTED_FORMATS = {"EPS", "WMF", "IPTC", "BUFR", "GRIB", "HDF5", "MPEG"}
#: Limit for an unpacked member of an archive: more than any image that is decoded.
MAX_BYTES = 8 * MAX_PIXELS
#: Errors of links that lead nowhere: to themselves, to paths through a file, to names too long.
NOWHERE = {errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG}
#: Errors that opening an archive raises; ValueError means that a name is not text.
ARCHIVE_ERRORS = (zipfile.BadZipFile, OSError, ValueError, NotImplementedError)
#: The number of files of a source whose first bytes are part of its fingerprint.
SAMPLED_FILES, SAMPLED_BYTES = 64, 2**16
#: Sub-folders that are splits, if there are no other sub-folders.
SPLITS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
WHITE: Colour = (255, 255, 255)


class Source(ABC):
    """Images by index. It is sent to worker processes, without the files that it has opened."""

    #: The class of each image, if there are classes.
    labels: Sequence[int] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """The number of images, including unreadable ones."""

    @abstractmethod
    def __getitem__(self, i: int) -> Tensor:
        """One image, uint8 ``(1 or 3, H, W)``.

        Raises:
            UnreadableImageError: this image cannot be read.
            UserError: no further image can be read.
        """

    @abstractmethod
    def name(self, i: int) -> str:
        """The name of an image in messages."""

    def prepare(self) -> None:  # noqa: B027  (most sources need no preparation)
        """Called once before this process and its workers read images."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A string that changes whenever the images do, for the content as it is now.

        Raises:
            SourceChangedError: the content does not exist any more.
        """


class FilesSource(Source):
    """Image files, in the order of their names.

    Files with the extension of an image format are images; if there are none, files without an
    extension are. Hidden files are skipped. If all images are in sub-folders that are splits,
    including ``train``, those of the other split are left out. If all images are in sub-folders,
    the first-level sub-folders are the classes.

    Args:
        path: the folder or archive of the files.
        files: their names, with slashes.
        background: the colour behind transparent images.
        split: ``train``, ``test``, or None for all images.
        classes: the class names in the order of their labels; by default the sorted names.

    Raises:
        WrongFileError: none of the files is an image, or an image has an unknown class.
    """

    def __init__(
        self,
        path: Path,
        files: Iterable[str],
        background: Colour,
        split: str | None,
        classes: Sequence[str] | None,
    ) -> None:
        self.path, self.background = path, background
        visible = [file for file in sorted(files) if not _is_hidden(file)]
        images = [file for file in visible if _extension(file) in _image_extensions()]
        images = images or [file for file in visible if not _extension(file)]
        prefix = _split_folder(images, split)
        self.files = [file for file in images if file.startswith(prefix)]
        if not self.files:
            raise WrongFileError(f"there are no images in {path}{_describe_files(visible)}")
        names = [file.removeprefix(prefix) for file in self.files]
        #: A file outside all sub-folders; if there is one, there are no classes.
        self.unlabelled_file = next((name for name in names if "/" not in name), None)
        self.classes: list[str] = []
        if self.unlabelled_file is None:
            folders = [name.split("/", 1)[0] for name in names]
            self.classes = sorted(set(folders)) if classes is None else list(classes)
            indices = {name: i for i, name in enumerate(self.classes)}
            if unknown := sorted(set(folders) - set(indices)):
                raise WrongFileError(
                    f"{path} has the class {unknown[0]}, which the training images do not have"
                )
            self.labels = [indices[folder] for folder in folders]

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return one_line(self.files[i])


class FolderSource(FilesSource):
    """The images in a folder and its sub-folders; links are followed, each folder once.

    Raises:
        MissingFileError: the folder does not exist.
        WrongFileError: the folder cannot be listed; the errors of the base class.
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
            files = list(_walk_files(root))
        except OSError as error:
            raise WrongFileError(f"{root} cannot be listed ({error})") from error
        super().__init__(root, files, background, split, classes)

    def __getitem__(self, i: int) -> Tensor:
        path = self.path / self.files[i]
        try:
            with open_image(path) as image:
                return decode(image, self.background)
        except OSError as error:
            raise SourceChangedError(
                f"{path} disappeared while the images were being read ({error.strerror})"
            ) from error

    def fingerprint(self) -> str:
        """The fingerprint of the files, and the background."""
        return f"{file_fingerprint(self.path, self.files)} {self.background}"


class ZipSource(FilesSource):
    """The images in a zip archive, which is read without unpacking it.

    A folder that contains all files is left out of their names.

    Raises:
        MissingFileError: the file does not exist.
        WrongFileError: the file is not a zip archive; the errors of the base class.
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
            members = _list_members(path)
        except ARCHIVE_ERRORS as error:
            raise WrongFileError(f"{path} is not a zip archive ({error})") from error
        prefix = _common_folder(members)
        self.members = {name.removeprefix(prefix): member for name, member in members.items()}
        super().__init__(path, self.members, background, split, classes)
        self._opened: tuple[int, zipfile.ZipFile] | None = None

    def __getitem__(self, i: int) -> Tensor:
        member = self.members[self.files[i]]
        if member.file_size > MAX_BYTES:
            raise UnreadableImageError(f"it unpacks to {member.file_size:,} bytes")
        try:
            archive = self._archive()
        except ARCHIVE_ERRORS as error:
            raise SourceChangedError(f"{self.path} disappeared while it was being read") from error
        try:
            with archive.open(member) as file, open_image(file) as image:
                return decode(image, self.background)
        except OSError as error:
            raise SourceChangedError(f"{self.path} disappeared while it was being read") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            # Damaged, encrypted, or compressed with a method that Python does not support.
            raise UnreadableImageError(str(error)) from error

    def fingerprint(self) -> str:
        """Checksum of the names and checksums of the members, and the background."""
        try:
            members = _list_members(self.path)
        except ARCHIVE_ERRORS as error:
            raise SourceChangedError(f"{self.path} changed while it was being read") from error
        checksums = sorted((name, member.CRC) for name, member in members.items())
        return hashlib.sha256(repr((checksums, self.files, self.background)).encode()).hexdigest()

    def _archive(self) -> zipfile.ZipFile:
        # Processes must not share an open file.
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), zipfile.ZipFile(self.path)
        return self._opened[1]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_opened": None}


class Selection(Source):
    """Some images of a source, with separate labels."""

    def __init__(
        self, source: Source, indices: Sequence[int], labels: Sequence[int] | None
    ) -> None:
        self.source, self.indices, self.labels = source, indices, labels

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> Tensor:
        return self.source[self.indices[i]]

    def name(self, i: int) -> str:
        return self.source.name(self.indices[i])

    def prepare(self) -> None:
        self.source.prepare()

    def fingerprint(self) -> str:
        """The fingerprint of the source, and a checksum of the indices."""
        checksum = hashlib.sha256(repr(list(self.indices)).encode()).hexdigest()
        return f"{self.source.fingerprint()} {checksum}"


def open_image(file: Path | IO[bytes]) -> Image.Image:
    """Open an image and read its header.

    Raises:
        UnreadableImageError: the file is not an image, has more than ``MAX_PIXELS``, or is not a
            regular file, which might never end.
        OSError: the file cannot be read from the disk.
    """
    try:
        if isinstance(file, Path) and not stat.S_ISREG(os.stat(file).st_mode):
            raise UnreadableImageError("a folder, a pipe, a socket or a device")
        with pixel_limit():
            return Image.open(file, formats=_image_formats())
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image") from error
    except Exception as error:
        # The format plugins raise any kind of error for a broken header.
        raise convert_decoder_error(error) from error


def file_fingerprint(folder: Path, files: Sequence[str]) -> str:
    """Checksum of the names, sizes and times of files in ``folder``, and of the content of some.

    No program can set the change time, so a replaced file has another one. Files of another folder
    that were written at the same time differ in content. Inodes are not used: some network file
    systems assign them anew.

    Raises:
        SourceChangedError: a file is missing.
    """
    digest = hashlib.sha256()
    step = max(1, -(-len(files) // SAMPLED_FILES))
    try:
        for i, file in enumerate(files):
            path = os.path.join(folder, file)
            found = os.stat(path)
            times = f"{found.st_mtime_ns}\0{found.st_ctime_ns}"
            digest.update(os.fsencode(f"{file}\0{found.st_size}\0{times}\0"))
            if i % step == 0 and stat.S_ISREG(found.st_mode):
                digest.update(_read_start(path))
    except OSError as error:
        raise SourceChangedError(f"{folder} changed while it was being read ({error})") from error
    return digest.hexdigest()


def _read_start(path: str) -> bytes:
    """The first bytes of a file; none if it must not be read, which decoding reports."""
    try:
        with open(path, "rb") as file:
            return file.read(SAMPLED_BYTES)
    except PermissionError:
        return b""


def _walk_files(root: Path) -> Iterator[str]:
    """The path of every file from ``root``, with slashes; raises OSError if listing fails."""
    pending, seen = [""], set()
    while pending:
        prefix = pending.pop()
        folder = os.path.join(root, prefix)
        found = os.stat(folder)
        if (found.st_dev, found.st_ino) in seen:
            continue
        seen.add((found.st_dev, found.st_ino))
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True):
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError as error:
                if error.errno not in NOWHERE:
                    raise
                continue
            if is_folder:
                pending.append(f"{prefix}{entry.name}/")
            elif is_file:  # not a pipe, a socket or a device
                yield prefix + entry.name


def _list_members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by name, without those whose path leads out of it."""
    with zipfile.ZipFile(path) as archive:
        members = {
            posixpath.normpath(member.filename): member
            for member in archive.infolist()
            if not member.is_dir()
        }
    return {name: member for name, member in members.items() if not name.startswith(("..", "/"))}


def _common_folder(files: Iterable[str]) -> str:
    """The top-level folder, with its slash, that contains all files, or ""."""
    folders = {file.split("/", 1)[0] + "/" if "/" in file else "" for file in files}
    visible = {folder for folder in folders if not _is_hidden(folder)}
    return visible.pop() if len(visible) == 1 else ""


def _split_folder(files: Iterable[str], split: str | None) -> str:
    """The folder of the split, with its slash, or "" if the sub-folders are not splits."""
    folders = {file.split("/", 1)[0] if "/" in file else "" for file in files}
    known = {name for names in SPLITS.values() for name in names}
    if split is None or "train" not in folders or not folders <= known:
        return ""
    return next((name for name in SPLITS[split] if name in folders), "train") + "/"


def _is_hidden(file: str) -> bool:
    return f"/{file}".find("/.") >= 0 or f"/{file}".find("/__MACOSX") >= 0


def _extension(file: str) -> str:
    return os.path.splitext(file)[1].lower()


@cache
def _image_formats() -> list[str]:
    Image.init()
    return [name for name in Image.ID if name not in UNSUPPORTED_FORMATS]


@cache
def _image_extensions() -> set[str]:
    formats = set(_image_formats())
    return {
        extension for extension, name in Image.registered_extensions().items() if name in formats
    }


def _describe_files(files: Iterable[str]) -> str:
    counts = Counter(_extension(file) or "no extension" for file in files)
    found = ", ".join(f"{count} {kind}" for kind, count in counts.most_common(5))
    return f" (found: {found})" if found else ": it is empty"
