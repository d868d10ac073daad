"""Scenes and objects by the million."""

import io
import os
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_lightning.data.base import Split
from gan_lightning.data.images import CachedDataModule
from gan_lightning.data.pixels import decode
from gan_lightning.data.sources import WHITE, Source, open_image, stat_fingerprint
from gan_lightning.errors import (
    MissingFileError,
    MissingPackageError,
    SourceChangedError,
    WrongFileError,
)


class LSUN(CachedDataModule):
    """One category of LSUN: 3,033,042 bedrooms, or another scene or object.

    Yu et al. 2015, arXiv:1506.03365. The test split is LSUN's validation set of 300 images;
    objects, which have none, are tested on what they are trained on.

    Args:
        data_dir: where CATEGORY_train_lmdb and CATEGORY_val_lmdb are or, for an object, CATEGORY.
        category: such as ``bedroom``, ``church_outdoor``, ``cat``.
        size: pixels of the images' side.
        options: of ``CachedDataModule``.

    Raises:
        MissingPackageError: the package lmdb is not installed.
    """

    by_hand = (
        "It is not downloaded of itself, being large: unpack {category}_train_lmdb.zip and "
        "{category}_val_lmdb.zip (github.com/fyu/lsun has the program that downloads them) in "
        "{data_dir}."
    )

    def __init__(
        self,
        data_dir: str = "data",
        category: str = "bedroom",
        size: int = 64,
        **options: Any,
    ) -> None:
        super().__init__(size=size, **options)
        self.data_dir = Path(data_dir).expanduser()
        self.category = category

    def download(self) -> None:
        """Nothing is downloaded."""
        self._folder("train")

    def source(self, split: Split) -> Source:
        """The database of the split."""
        return _Database(self._folder(split))

    def _folder(self, split: Split) -> Path:
        name = "train" if split == "train" else "val"
        for folder in (f"{self.category}_{name}_lmdb", self.category):
            if (self.data_dir / folder / "data.mdb").is_file():
                return self.data_dir / folder
        raise MissingFileError(
            f"LSUN's {self.category} is not in {self.data_dir}. "
            + self.by_hand.format(category=self.category, data_dir=self.data_dir)
        )


class _Database(Source):
    """The values of an LMDB database, each an image file, in the order of their keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: tuple[int, Any] | None = None
        self._keys: list[bytes] = []
        with self._environment().begin() as transaction:
            self._count = transaction.stat()["entries"]
        if not self._count:
            raise WrongFileError(f"{folder} holds no images")

    def __len__(self) -> int:
        return self._count

    def open(self) -> None:
        """List the keys: a database has no numbers."""
        with self._environment().begin() as transaction, transaction.cursor() as cursor:
            self._keys = list(cursor.iternext(keys=True, values=False))

    def __getitem__(self, i: int) -> Tensor:
        if not self._keys:
            self.open()
        with self._environment().begin() as transaction:
            value = transaction.get(self._keys[i])
        if value is None:
            raise SourceChangedError(f"{self.folder} changed while it was read")
        with open_image(io.BytesIO(value)) as image:
            return decode(image, WHITE)

    def name(self, i: int) -> str:
        return f"image {i} of {self.folder}"

    def fingerprint(self) -> str:
        return stat_fingerprint(self.folder, ["data.mdb"])

    def _environment(self) -> Any:  # noqa: ANN401  (lmdb has no types)
        # What is open may not be shared with another process.
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                import lmdb
            except ImportError as error:
                raise MissingPackageError(
                    "LSUN needs the package lmdb: pip install 'gan-lightning[lsun]'"
                ) from error
            try:
                environment = lmdb.open(
                    str(self.folder), readonly=True, lock=False, readahead=False, meminit=False
                )
            except lmdb.Error as error:
                raise WrongFileError(f"{self.folder} is not an LMDB database ({error})") from error
            self._opened = os.getpid(), environment
        return self._opened[1]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_opened": None}
