"""STL-10, most of whose images have no labels."""

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
from gan_lightning.data.sources import Source, file_fingerprint
from gan_lightning.utils.checks import one_of
from gan_lightning.utils.errors import MissingFileError, SourceChangedError, WrongFileError

Part = Literal["unlabeled", "train", "train+unlabeled"]


class STL10(CachedDataModule):
    """Colour images of 96 x 96 pixels: 100,000 without labels, 5,000 in 10 classes for training.

    The 8,000 test images are in the 10 classes. Coates et al. 2011, "An analysis of single-layer
    networks in unsupervised feature learning". Papers on GANs train on the unlabelled ones, at 48
    pixels (SNGAN, arXiv:1802.05957, section 4).

    Args:
        data_dir: the folder of stl10_binary or stl10_binary.tar.gz; downloaded there if missing.
        part: the images to train on; only ``train`` has labels.
        size: side of the images in pixels.

    Raises:
        ValueError: labels are requested but the part has none; the errors of the base class.
    """

    data_dir: str | Path = field(default="data", kw_only=False)
    part: Part = "unlabeled"
    size: int = 48

    classes = 10
    instructions: ClassVar[str] = (
        "Put stl10_binary.tar.gz (cs.stanford.edu/~acoates/stl10), or the folder stl10_binary from "
        "it, into {folder}."
    )

    def __post_init__(self) -> None:
        one_of(get_args(Part), part=self.part)
        if self.conditional and self.part != "train":
            raise ValueError(f"the part {self.part} of STL10 has no labels: use --data.part train")
        super().__post_init__()

    def download(self) -> None:
        """Download, or unpack the archive, unless the folder exists."""
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
        return _BinarySource(folder, [f"{part}_X.bin" for part in parts], labels)

    def _folder(self) -> Path | None:
        for folder in (self.folder, self.folder / "stl10_binary"):
            if (folder / "test_X.bin").is_file():
                return folder
        return None


class _BinarySource(Source):
    """Images of 3 x 96 x 96 bytes, stored column by column, in several files."""

    image_bytes = 3 * 96 * 96

    def __init__(self, folder: Path, files: list[str], labels: Sequence[int] | None) -> None:
        self.folder, self.files, self.labels = folder, files, labels
        self.counts = []
        for file in files:
            path = folder / file
            if not path.is_file():
                raise MissingFileError(f"{path} is missing")
            count, rest = divmod(path.stat().st_size, self.image_bytes)
            if rest or not count:
                raise WrongFileError(
                    f"{path} is incomplete: its size is not a multiple of {self.image_bytes}"
                )
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
            pixels = np.fromfile(path, np.uint8, self.image_bytes, offset=i * self.image_bytes)
            return torch.from_numpy(pixels.reshape(3, 96, 96)).transpose(1, 2).contiguous()
        except (OSError, ValueError) as error:
            raise SourceChangedError(f"{self.folder} changed while it was being read") from error

    def name(self, i: int) -> str:
        return f"image {i}"

    def fingerprint(self) -> str:
        return file_fingerprint(self.folder, self.files)


def _labels(path: Path) -> list[int]:
    """The classes, counted from 0; the file counts them from 1."""
    if not path.is_file():
        raise MissingFileError(f"{path} is missing")
    labels = np.fromfile(path, np.uint8)
    if not ((labels >= 1) & (labels <= 10)).all():
        raise WrongFileError(f"{path} contains labels other than the classes 1 to 10")
    return (labels.astype(int) - 1).tolist()
