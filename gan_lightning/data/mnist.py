"""The data sets in MNIST's format."""

import gzip
import tempfile
import zlib
from dataclasses import field
from pathlib import Path
from typing import ClassVar

from torch import Tensor
from torchvision import datasets
from torchvision.datasets.mnist import read_image_file, read_label_file

from gan_lightning.data.base import Split
from gan_lightning.data.images import ImageDataModule
from gan_lightning.utils.errors import MissingFileError, WrongFileError

NAMES = {"train": "train", "test": "t10k"}
#: What reading a broken file raises.
BROKEN = (ValueError, AssertionError, RuntimeError, EOFError, KeyError, OSError, zlib.error)
#: What a packed file may unpack to: twenty times the largest of these data sets.
MAX_BYTES = 2**30


class MNIST(ImageDataModule):
    """60,000 handwritten digits of 28 x 28 pixels in 10 classes, and 10,000 for the test.

    LeCun et al. 1998, "Gradient-based learning applied to document recognition".

    Args:
        data_dir: where the four IDX files are, packed or not, or are to be put.
        size: pixels of the images' side.
        channels: 1 for grey, 3 for colour.
    """

    data_dir: str | Path = field(default="data", kw_only=False)
    size: int = 28
    channels: int = 1

    classes = 10
    by_hand: ClassVar[str] = (
        "Put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz "
        "and t10k-labels-idx1-ubyte.gz (yann.lecun.com/exdb/mnist) into {folder}/MNIST/raw."
    )
    torchvisions: ClassVar[type[datasets.MNIST]] = datasets.MNIST

    def download(self) -> None:
        """Download unless all four files are found."""
        kinds = [(name, kind) for name in NAMES.values() for kind in ("images", "labels")]
        if not all(self._find(name, kind) for name, kind in kinds):
            self.torchvisions(self.folder, download=True)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Read the two IDX files of the split.

        Raises:
            MissingFileError: one of them is not there.
            WrongFileError: one of them holds something else, or not all of it.
        """
        images, labels = self._read(NAMES[split], "images"), self._read(NAMES[split], "labels")
        if len(images) != len(labels):
            raise WrongFileError(
                f"the {NAMES[split]} files of {type(self).__name__} do not belong together: "
                f"{len(images)} images, {len(labels)} labels"
            )
        return self.formed(images.unsqueeze(1)), labels

    def _read(self, name: str, kind: str) -> Tensor:
        path = self._find(name, kind)
        if path is None:
            raise MissingFileError(
                f"the {name} {kind} of {type(self).__name__} are not in {self.folder}"
            )
        read = read_image_file if kind == "images" else read_label_file
        try:
            if path.suffix != ".gz":
                return read(str(path))
            # data_dir may be read-only.
            with tempfile.TemporaryDirectory() as folder:
                return read(str(_unpacked(path, Path(folder))))
        except BROKEN as error:
            raise WrongFileError(f"{path} is not a whole IDX file of {kind} ({error})") from error

    def _find(self, name: str, kind: str) -> Path | None:
        """The file, unpacked or packed, where torchvision puts it or in ``data_dir`` itself."""
        stem = f"{name}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
        for folder in (self.folder / self.torchvisions.__name__ / "raw", self.folder):
            for path in (folder / stem, folder / f"{stem}.gz"):
                if path.is_file():
                    return path
        return None


def _unpacked(path: Path, folder: Path) -> Path:
    """The content of a packed file; ValueError where there is no end of it."""
    unpacked, written = folder / path.stem, 0
    with gzip.open(path) as packed, unpacked.open("wb") as file:
        while part := packed.read(2**20):
            written += len(part)
            if written > MAX_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_BYTES:,} bytes")
            file.write(part)
    return unpacked


class FashionMNIST(MNIST):
    """60,000 grey pictures of clothes of 28 x 28 pixels in 10 classes, and 10,000 for the test.

    Xiao et al. 2017, arXiv:1708.07747.

    Args:
        data_dir: where the four IDX files are, packed or not, or are to be put.
        size: pixels of the images' side.
        channels: 1 for grey, 3 for colour.
    """

    by_hand: ClassVar[str] = MNIST.by_hand.replace("MNIST", "FashionMNIST").replace(
        "yann.lecun.com/exdb/mnist", "github.com/zalandoresearch/fashion-mnist"
    )
    torchvisions = datasets.FashionMNIST
