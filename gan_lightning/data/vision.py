"""The data sets that torchvision knows."""

import tempfile
from pathlib import Path
from typing import ClassVar
from urllib.error import URLError

import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.mnist import read_image_file, read_label_file
from torchvision.datasets.utils import extract_archive

from gan_lightning.data.base import GANDataModule, Split
from gan_lightning.errors import MissingFileError


class VisionDataModule(GANDataModule):
    """Images that ``prepare_data`` downloads, once, with a progress bar.

    Args:
        data_dir: where the files are, or are to be put.
        batch_size: real samples of one critic update, on each device.
        conditional: hand out the class, and have the model use it.
        predict_samples: how many samples ``predict`` draws.
    """

    classes = 10
    extractor: ClassVar[str | None] = "inception"
    #: What to put where, when there is no download; ``{data_dir}`` is filled in.
    by_hand: ClassVar[str]

    def __init__(
        self,
        data_dir: str = "data",
        batch_size: int = 64,
        conditional: bool = False,
        predict_samples: int = 64,
    ) -> None:
        super().__init__(batch_size, conditional, predict_samples)
        self.data_dir = Path(data_dir).expanduser()

    def download(self) -> None:
        """Put the files where ``load`` finds them, unless they are there."""
        raise NotImplementedError

    def prepare_data(self) -> None:
        """Download.

        Raises:
            MissingFileError: the files are neither there nor to be had.
        """
        try:
            self.download()
        except (URLError, RuntimeError, OSError) as error:
            reason = " ".join(str(error).split())
            raise MissingFileError(
                f"{type(self).__name__} is not in {self.data_dir} and could not be downloaded "
                f"({reason}). {self.by_hand.format(data_dir=self.data_dir)} "
                "Or name the folder that holds them with --data.data_dir."
            ) from error


class FashionMNIST(VisionDataModule):
    """60,000 grey pictures of clothes of 28 x 28 pixels in 10 classes, and 10,000 for the test.

    Xiao et al. 2017, arXiv:1708.07747.

    Args:
        data_dir: where the four IDX files are, packed or not, or are to be put.
        batch_size: real samples of one critic update, on each device.
        conditional: hand out the class, and have the model use it.
        predict_samples: how many samples ``predict`` draws.
    """

    shape = (1, 28, 28)
    by_hand = (
        "Put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz "
        "and t10k-labels-idx1-ubyte.gz (github.com/zalandoresearch/fashion-mnist) into {data_dir}."
    )

    def download(self) -> None:
        """Download unless all four files are found."""
        kinds = [(name, kind) for name in ("train", "t10k") for kind in ("images", "labels")]
        if not all(self._find(name, kind) for name, kind in kinds):
            datasets.FashionMNIST(self.data_dir, download=True)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Read the two IDX files of the split."""
        name = "train" if split == "train" else "t10k"
        return self._read(name, "images").unsqueeze(1), self._read(name, "labels")

    def _read(self, name: str, kind: str) -> Tensor:
        path = self._find(name, kind)
        if path is None:
            raise MissingFileError(f"the {name} {kind} of FashionMNIST are not in {self.data_dir}")
        read = read_image_file if kind == "images" else read_label_file
        if path.suffix != ".gz":
            return read(str(path))
        # data_dir may be read-only.
        with tempfile.TemporaryDirectory() as folder:
            return read(extract_archive(str(path), folder))

    def _find(self, name: str, kind: str) -> Path | None:
        """The file, unpacked or packed, in ``data_dir`` or where torchvision puts it."""
        stem = f"{name}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
        for folder in (self.data_dir, self.data_dir / "FashionMNIST" / "raw"):
            for path in (folder / stem, folder / f"{stem}.gz"):
                if path.is_file():
                    return path
        return None


class CIFAR10(VisionDataModule):
    """50,000 colour pictures of 32 x 32 pixels in 10 classes, and 10,000 for the test.

    Krizhevsky 2009, "Learning multiple layers of features from tiny images".

    Args:
        data_dir: where cifar-10-batches-py or cifar-10-python.tar.gz is, or is to be put.
        batch_size: real samples of one critic update, on each device.
        conditional: hand out the class, and have the model use it.
        predict_samples: how many samples ``predict`` draws.
    """

    shape = (3, 32, 32)
    by_hand = (
        "Put cifar-10-python.tar.gz (cs.toronto.edu/~kriz/cifar.html), or the folder "
        "cifar-10-batches-py that it holds, into {data_dir}."
    )

    def download(self) -> None:
        """Download, or unpack the archive, unless the folder is there and whole."""
        datasets.CIFAR10(self.data_dir, download=True)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Read the batches of the split."""
        data = datasets.CIFAR10(self.data_dir, train=split == "train")
        return torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(
            data.targets
        )
