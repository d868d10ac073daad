"""The base classes of the image data modules."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, cast
from urllib.error import URLError

import torch
from PIL import ImageColor
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from gan_lightning.data.base import GANDataModule, Split
from gan_lightning.data.cache import Cache, open_cache
from gan_lightning.data.pixels import Colour, ImageTransform
from gan_lightning.data.sources import Source
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.errors import MissingFileError
from gan_lightning.utils.files import user_path


class ImageDataModule(GANDataModule):
    """Images that all have one shape.

    Args:
        size: side of the images in pixels.
        channels: 1 for grey, 3 for colour.
        crop: side in pixels of the centred square that is cropped before resizing; by default, and
            at most, the largest square.
        flip: mirror half of the training images horizontally, a different half in each epoch.

    Raises:
        ValueError: ``channels`` is not 1 or 3, or a number is too small; the errors of the base
            class.
    """

    size: int
    channels: int = 3
    crop: int | None = None
    flip: bool = False

    extractor = cast("str | None", "inception")
    #: Instructions for a manual download; attributes in braces are filled in.
    instructions: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {self.channels}")
        if self.crop is not None:
            at_least(1, crop=self.crop)
        self.transform = ImageTransform(self.channels, at_least(1, size=self.size), self.crop)
        self.shape = self.transform.shape

    @property
    def folder(self) -> Path:
        """``data_dir``, if the data set has one, with ``~`` expanded."""
        return user_path(getattr(self, "data_dir", "."))

    def download(self) -> None:
        """Download the files that ``load`` reads, unless they exist."""

    def prepare_data(self) -> None:
        """Download the data, except for ``predict``, which needs none.

        Raises:
            MissingFileError: the files are missing and cannot be downloaded.
        """
        if self._is_running(TrainerFn.PREDICTING):
            return
        try:
            self.download()
        except MissingFileError:
            raise
        except (URLError, RuntimeError, OSError, ImportError) as error:
            raise self.missing_error(str(error)) from error

    def missing_error(self, reason: str) -> MissingFileError:
        """The error that explains how to obtain the files."""
        instructions = self.instructions.format(**vars(self) | {"folder": self.folder})
        return MissingFileError(
            f"{type(self).__name__} is not in {self.folder} and could not be downloaded "
            f"({' '.join(reason.split())}). {instructions} "
            "Or set --data.data_dir to the folder that contains them."
        )

    def _is_running(self, stage: TrainerFn) -> bool:
        return self.trainer is not None and self.trainer.state.fn == stage

    def apply_transform(self, x: Tensor) -> Tensor:
        """Transform uint8 images ``(N, C, H, W)`` of any size to ``(N, *shape)``."""
        return torch.cat([self.transform(part) for part in x.split(4096)])


class CachedDataModule(ImageDataModule):
    """Images that are decoded once into a file, which is mapped into memory.

    Args:
        cache_dir: the folder of the decoded images; its content may be deleted at any time.
        strict: refuse to train if an image cannot be read; by default it is reported and skipped.
    """

    cache_dir: str | Path = "~/.cache/gan_lightning"
    strict: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._caches: dict[Split, Cache] = {}

    @abstractmethod
    def source(self, split: Split) -> Source:
        """The images of a split."""

    def prepare_data(self) -> None:
        """Download the data and decode the split that will be used, in one process per machine.

        Raises:
            WrongFileError: ``conditional``, and a class has no training images that can be read;
                the errors of ``load``.
        """
        super().prepare_data()
        if not self._is_running(TrainerFn.PREDICTING):
            split: Split = "test" if self._is_running(TrainerFn.TESTING) else "train"
            self._checked_labels(split, self.load(split)[1])

    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Open the cache of the split, or build it.

        Raises:
            WrongFileError: no image can be read or, if ``strict``, at least one cannot.
            SourceChangedError: the images moved or changed while they were being read.
            CacheError: ``cache_dir`` cannot be written to, or is full.
        """
        if split not in self._caches:
            source, title = self.source(split), type(self).__name__
            self._caches[split] = open_cache(
                source, self.transform, user_path(self.cache_dir), title, strict=self.strict
            )
        cache = self._caches[split]
        return cache.images, cache.labels

    def fingerprint(self, split: Split) -> str:
        """The checksum of the files and the transform, computed without reading the images."""
        self.load(split)
        return self._caches[split].key


def colour(name: str) -> Colour:
    """Parse a colour name or #rrggbb; raises ValueError if it is not a colour."""
    try:
        red, green, blue, *_ = ImageColor.getrgb(name)
    except ValueError:
        raise ValueError(f"there is no colour {name!r}: use a name or #rrggbb") from None
    return red, green, blue
