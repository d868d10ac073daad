"""The data sets in the IDX format of MNIST."""

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

FILE_PREFIXES = {"train": "train", "test": "t10k"}
#: Errors that reading a broken file raises.
IDX_ERRORS = (ValueError, AssertionError, RuntimeError, EOFError, KeyError, OSError, zlib.error)
#: Limit for an uncompressed file: about twenty times the largest file of these data sets.
MAX_BYTES = 2**30


class MNIST(ImageDataModule):
    """60,000 handwritten digits of 28 x 28 pixels in 10 classes, and 10,000 for testing.

    LeCun et al. 1998, "Gradient-based learning applied to document recognition".

    Args:
        data_dir: the folder of the four IDX files, compressed or not; downloaded there if missing.
        size: side of the images in pixels.
        channels: 1 for grey, 3 for colour.
    """

    data_dir: str | Path = field(default="data", kw_only=False)
    size: int = 28
    channels: int = 1

    classes = 10
    instructions: ClassVar[str] = (
        "Put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz "
        "and t10k-labels-idx1-ubyte.gz (yann.lecun.com/exdb/mnist) into {folder}/MNIST/raw."
    )
    dataset_class: ClassVar[type[datasets.MNIST]] = datasets.MNIST

    def download(self) -> None:
        """Download unless all four files exist."""
        kinds = [(name, kind) for name in FILE_PREFIXES.values() for kind in ("images", "labels")]
        if not all(self._find(name, kind) for name, kind in kinds):
            self.dataset_class(self.folder, download=True)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Read the two IDX files of the split.

        Raises:
            MissingFileError: a file is missing.
            WrongFileError: a file has the wrong format or is incomplete, or the two do not match.
        """
        prefix = FILE_PREFIXES[split]
        images, labels = self._read(prefix, "images"), self._read(prefix, "labels")
        if len(images) != len(labels):
            raise WrongFileError(
                f"the {prefix} files of {type(self).__name__} do not match: "
                f"{len(images)} images, {len(labels)} labels"
            )
        return self.apply_transform(images.unsqueeze(1)), labels

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
                return read(str(_decompress(path, Path(folder))))
        except IDX_ERRORS as error:
            raise WrongFileError(f"{path} is not a valid IDX file of {kind} ({error})") from error

    def _find(self, name: str, kind: str) -> Path | None:
        """The file, compressed or not, in torchvision's folder or in ``data_dir`` itself."""
        stem = f"{name}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
        for folder in (self.folder / self.dataset_class.__name__ / "raw", self.folder):
            for path in (folder / stem, folder / f"{stem}.gz"):
                if path.is_file():
                    return path
        return None


def _decompress(path: Path, folder: Path) -> Path:
    """Decompress a file into ``folder``; raises ValueError above ``MAX_BYTES``."""
    target, written = folder / path.stem, 0
    with gzip.open(path) as compressed, target.open("wb") as file:
        while part := compressed.read(2**20):
            written += len(part)
            if written > MAX_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_BYTES:,} bytes")
            file.write(part)
    return target


class FashionMNIST(MNIST):
    """60,000 grey images of clothes of 28 x 28 pixels in 10 classes, and 10,000 for testing.

    Xiao et al. 2017, arXiv:1708.07747.

    Args:
        data_dir: the folder of the four IDX files, compressed or not; downloaded there if missing.
        size: side of the images in pixels.
        channels: 1 for grey, 3 for colour.
    """

    instructions: ClassVar[str] = MNIST.instructions.replace("MNIST", "FashionMNIST").replace(
        "yann.lecun.com/exdb/mnist", "github.com/zalandoresearch/fashion-mnist"
    )
    dataset_class = datasets.FashionMNIST
