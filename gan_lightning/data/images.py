"""The bases of the data modules of images."""

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
from gan_lightning.data.pixels import Colour, Form
from gan_lightning.data.sources import Source
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.errors import MissingFileError
from gan_lightning.utils.files import user_path


class ImageDataModule(GANDataModule):
    """Images, all of one shape.

    Args:
        size: pixels of their side.
        channels: 1 for grey, 3 for colour.
        crop: pixels of the side of the centred square that is cut out before it is resized; by
            default, and at most, the largest.
        flip: mirror half of the training images from left to right, others in each epoch.

    Raises:
        ValueError: the channels are not 1 or 3, or a number is too small; the base's errors.
    """

    size: int
    channels: int = 3
    crop: int | None = None
    flip: bool = False

    extractor = cast("str | None", "inception")
    #: What to put where, when there is no download; attributes in braces are filled in.
    by_hand: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {self.channels}")
        if self.crop is not None:
            at_least(1, crop=self.crop)
        self.form = Form(self.channels, at_least(1, size=self.size), self.crop)
        self.shape = self.form.shape

    @property
    def folder(self) -> Path:
        """``data_dir``, where the data set has one, with ``~`` expanded."""
        return user_path(getattr(self, "data_dir", "."))

    def download(self) -> None:
        """Put the files where ``load`` finds them, unless they are there."""

    def prepare_data(self) -> None:
        """Download; samples are drawn without data.

        Raises:
            MissingFileError: the files are neither there nor to be had.
        """
        if self._running(TrainerFn.PREDICTING):
            return
        try:
            self.download()
        except MissingFileError:
            raise
        except (URLError, RuntimeError, OSError, ImportError) as error:
            raise self.missing(str(error)) from error

    def missing(self, reason: str) -> MissingFileError:
        """The error that says what to put where."""
        return MissingFileError(
            f"{type(self).__name__} is not in {self.folder} and could not be downloaded "
            f"({' '.join(reason.split())}). {self.by_hand.format(folder=self.folder)} "
            "Or name the folder that holds them with --data.data_dir."
        )

    def _running(self, stage: TrainerFn) -> bool:
        return self.trainer is not None and self.trainer.state.fn == stage

    def formed(self, x: Tensor) -> Tensor:
        """uint8 ``(N, C, H, W)`` of any size to ``(N, *shape)``."""
        return torch.cat([self.form(part) for part in x.split(4096)])


class CachedDataModule(ImageDataModule):
    """Images that are decoded once, into a file that is mapped into memory.

    Args:
        cache_dir: the folder of decoded images; what is in it may be deleted at any time.
        strict: refuse to train where an image cannot be read; by default it is named and skipped.
    """

    cache_dir: str | Path = "~/.cache/gan_lightning"
    strict: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._caches: dict[Split, Cache] = {}

    @abstractmethod
    def source(self, split: Split) -> Source:
        """The pictures of a split."""

    def prepare_data(self) -> None:
        """Download, and decode what is to be used, in one process of a machine."""
        super().prepare_data()
        if not self._running(TrainerFn.PREDICTING):
            self.load("test" if self._running(TrainerFn.TESTING) else "train")

    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Open the cache of the split, or build it.

        Raises:
            WrongFileError: no image can be read or, if ``strict``, one cannot.
            SourceChangedError: the images moved, or changed, while they were read.
            CacheError: ``cache_dir`` cannot be written to, or is full.
        """
        if split not in self._caches:
            source, title = self.source(split), type(self).__name__
            self._caches[split] = open_cache(
                source, self.form, user_path(self.cache_dir), title, strict=self.strict
            )
        cache = self._caches[split]
        return cache.images, cache.labels

    def fingerprint(self, split: Split) -> str:
        """That of the files and their form, without reading them again."""
        self.load(split)
        return self._caches[split].key


def colour(name: str) -> Colour:
    """A colour by its name or as #rrggbb; ValueError for what is none."""
    try:
        red, green, blue, *_ = ImageColor.getrgb(name)
    except ValueError:
        raise ValueError(f"there is no colour {name!r}: give a name, or #rrggbb") from None
    return red, green, blue
