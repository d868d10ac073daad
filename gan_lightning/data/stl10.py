"""STL-10, most of which has no labels."""

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from gan_lightning.data.base import Split
from gan_lightning.data.images import CachedDataModule
from gan_lightning.data.sources import Source, stat_fingerprint
from gan_lightning.utils.checks import one_of
from gan_lightning.utils.errors import MissingFileError, SourceChangedError, WrongFileError

Part = Literal["unlabeled", "train", "train+unlabeled"]


class STL10(CachedDataModule):
    """Colour pictures of 96 x 96 pixels: 100,000 without labels, 5,000 in 10 classes to train.

    The 8,000 of the test are in the classes. Coates et al. 2011, "An analysis of single-layer
    networks in unsupervised feature learning". Papers on GANs train on the unlabelled ones, at 48
    pixels (SNGAN, arXiv:1802.05957, section 4).

    Args:
        data_dir: where stl10_binary or stl10_binary.tar.gz is, or is to be put.
        part: what to train on; only ``train`` has labels.
        size: pixels of the images' side.

    Raises:
        ValueError: labels are asked for of a part that has none; the base's errors.
    """

    data_dir: str | Path = field(default="data", kw_only=False)
    part: Part = "unlabeled"
    size: int = 48

    classes = 10
    by_hand: ClassVar[str] = (
        "Put stl10_binary.tar.gz (cs.stanford.edu/~acoates/stl10), or the folder stl10_binary that "
        "it holds, into {folder}."
    )

    def __post_init__(self) -> None:
        one_of(get_args(Part), part=self.part)
        if self.conditional and self.part != "train":
            raise ValueError(f"the part {self.part} of STL10 has no labels, --data.part train has")
        super().__post_init__()

    def download(self) -> None:
        """Download, or unpack the archive, unless the folder is there."""
        if self._folder() is None:
            datasets.STL10(self.folder, "test", download=True)

    def source(self, split: Split) -> Source:
        """The binary files of the split."""
        folder = self._folder()
        if folder is None:
            raise MissingFileError(f"the files of STL10 are not in {self.folder}")
        parts = self.part.split("+") if split == "train" else ["test"]
        labels: list[int] | None = None
        if split == "test" or self.part == "train":
            labels = _labels(folder / f"{split}_y.bin")
        return _Binary(folder, [f"{part}_X.bin" for part in parts], labels)

    def _folder(self) -> Path | None:
        for folder in (self.folder, self.folder / "stl10_binary"):
            if (folder / "test_X.bin").is_file():
                return folder
        return None


class _Binary(Source):
    """Rows of 3 x 96 x 96 bytes, column by column, in several files."""

    row = 3 * 96 * 96

    def __init__(self, folder: Path, files: list[str], labels: Sequence[int] | None) -> None:
        self.folder, self.files, self.labels = folder, files, labels
        self.counts = []
        for file in files:
            path = folder / file
            if not path.is_file():
                raise MissingFileError(f"{path} is missing")
            count, rest = divmod(path.stat().st_size, self.row)
            if rest or not count:
                raise WrongFileError(f"{path} is not whole: its size is no multiple of {self.row}")
            self.counts.append(count)
        if labels is not None and len(labels) != len(self):
            raise WrongFileError(f"{folder} holds {len(self)} images and {len(labels)} labels")

    def __len__(self) -> int:
        return sum(self.counts)

    def __getitem__(self, i: int) -> Tensor:
        number = 0
        while i >= self.counts[number]:
            i -= self.counts[number]
            number += 1
        path = self.folder / self.files[number]
        try:
            row = np.fromfile(path, np.uint8, self.row, offset=i * self.row)
            return torch.from_numpy(row.reshape(3, 96, 96)).transpose(1, 2).contiguous()
        except (OSError, ValueError) as error:
            raise SourceChangedError(f"{self.folder} changed while it was read") from error

    def name(self, i: int) -> str:
        return f"image {i}"

    def fingerprint(self) -> str:
        return stat_fingerprint(self.folder, self.files)


def _labels(path: Path) -> list[int]:
    """Classes from 0; the file has them from 1."""
    if not path.is_file():
        raise MissingFileError(f"{path} is missing")
    labels = np.fromfile(path, np.uint8)
    if not ((labels >= 1) & (labels <= 10)).all():
        raise WrongFileError(f"{path} holds something else than the classes 1 to 10")
    return (labels.astype(int) - 1).tolist()
