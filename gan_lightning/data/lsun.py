"""LSUN, with millions of images of scenes and objects."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from gan_lightning.data.base import Split
from gan_lightning.data.images import CachedDataModule
from gan_lightning.data.pixels import decode
from gan_lightning.data.sources import WHITE, Source, file_fingerprint, open_image
from gan_lightning.utils.errors import (
    MissingFileError,
    MissingPackageError,
    SourceChangedError,
    WrongFileError,
)


class LSUN(CachedDataModule):
    """One category of LSUN: 3,033,042 bedrooms, or another scene or object.

    Yu et al. 2015, arXiv:1506.03365. The test split is LSUN's validation set of 300 images;
    objects have none and use the training images for testing.

    Args:
        data_dir: the folder of CATEGORY_train_lmdb and CATEGORY_val_lmdb or, for objects, CATEGORY.
        category: a scene or an object, such as ``bedroom``, ``church_outdoor`` or ``cat``.
        size: side of the images in pixels.

    Raises:
        MissingPackageError: the package lmdb is not installed.
    """

    data_dir: str | Path = field(default="data", kw_only=False)
    category: str = "bedroom"
    size: int = 64

    instructions: ClassVar[str] = (
        "It is too large for an automatic download: unpack {category}_train_lmdb.zip and "
        "{category}_val_lmdb.zip (github.com/fyu/lsun has the program that downloads them) in "
        "{folder}."
    )

    def download(self) -> None:
        """Download nothing, but check that the training split exists."""
        self._folder("train")

    def source(self, split: Split) -> Source:
        """The database of the split."""
        return _DatabaseSource(self._folder(split))

    def _folder(self, split: Split) -> Path:
        name = "train" if split == "train" else "val"
        for folder in (f"{self.category}_{name}_lmdb", self.category):
            if (self.folder / folder / "data.mdb").is_file():
                return self.folder / folder
        raise MissingFileError(
            f"LSUN's {self.category} is not in {self.folder}. "
            + self.instructions.format(folder=self.folder, category=self.category)
        )


class _DatabaseSource(Source):
    """The values of an LMDB database, which are image files, in the order of their keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keys: list[bytes] = []
        self._opened: tuple[int, Any] | None = None
        # Closed again: LMDB cannot open a database that is open already, even in a parent process.
        with _open_database(folder) as database:
            info, stat = database.info(), database.stat()
        expected = (info["last_pgno"] + 1) * stat["psize"]
        if (folder / "data.mdb").stat().st_size < expected:
            raise WrongFileError(
                f"{folder} is incomplete: its data.mdb must have {expected:,} bytes"
            )
        self._count = stat["entries"]
        if not self._count:
            raise WrongFileError(f"{folder} holds no images")

    def __len__(self) -> int:
        return self._count

    def prepare(self) -> None:
        """List the keys, since a database has no indices."""
        with (
            _open_database(self.folder) as database,
            _read_transaction(database, self.folder) as transaction,
        ):
            self._keys = list(transaction.cursor().iternext(keys=True, values=False))

    def __getitem__(self, i: int) -> Tensor:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), _open_database(self.folder)
        with _read_transaction(self._opened[1], self.folder) as transaction:
            value = transaction.get(self._keys[i])
        if value is None:
            raise SourceChangedError(f"{self.folder} changed while it was being read")
        with open_image(io.BytesIO(value)) as image:
            return decode(image, WHITE)

    def name(self, i: int) -> str:
        return f"image {i} of {self.folder}"

    def fingerprint(self) -> str:
        return file_fingerprint(self.folder, ["data.mdb"])

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_opened": None}


def _open_database(folder: Path) -> Any:  # noqa: ANN401  (lmdb has no types)
    try:
        import lmdb
    except ImportError as error:
        raise MissingPackageError(
            "LSUN needs the package lmdb: pip install 'gan-lightning[lsun]'"
        ) from error
    try:
        return lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False)
    except lmdb.Error as error:
        raise WrongFileError(f"{folder} is not an LMDB database ({error})") from error


@contextmanager
def _read_transaction(database: Any, folder: Path) -> Iterator[Any]:  # noqa: ANN401
    import lmdb

    try:
        with database.begin() as transaction:
            yield transaction
    except lmdb.Error as error:
        raise WrongFileError(f"{folder} cannot be read ({error})") from error
