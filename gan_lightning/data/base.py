"""The base class of the data modules."""

import hashlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Literal, cast, get_args

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from gan_lightning.data.classes import LabelLoader, class_numbers
from gan_lightning.data.loader import Loader, PrefetchLoader, TensorLoader
from gan_lightning.training.hyperparameters import Hyperparameters
from gan_lightning.utils.checks import at_least, one_of
from gan_lightning.utils.errors import ArgumentError, TooFewSamplesError, WrongFileError

Split = Literal["train", "test"]
Placement = Literal["auto", "device", "host"]

#: Batch size of the validation and test loops, which train nothing.
EVAL_BATCH_SIZE = 512


class GANDataModule(Hyperparameters, pl.LightningDataModule, ABC):
    """Training batches for a ``GAN``, and the real samples that scores compare with.

    A training batch feeds one iteration: ``batch_size`` samples for each of the model's
    ``n_critic`` critic updates. The validation loop iterates over the training samples, which the
    field's scores are measured against, and the test loop over the test split.

    To add a data set, subclass this with a ``load`` method and options as annotated attributes.
    Attributes without an annotation are not options: the ``shape`` of a sample, the number of
    ``classes`` (0 without labels), the feature ``extractor`` for scores (None for no scores), and
    whether to ``flip`` half of the training images. Every class must have training samples.

    Args:
        batch_size: real samples per critic update, on each device.
        train_samples: train on so many of the training samples, the same in every run; by default
            on all. Scores compare with all of them.
        conditional: return labels, and make the model use them.
        placement: ``device`` holds all samples as one tensor on the training device; ``host``
            leaves them in memory or on disk, and threads fetch the next batches; ``auto`` is
            ``device`` if they take at most half of the free GPU memory, or of the machine's memory.
        predict_samples: how many samples ``predict`` draws.
        predict_classes: the classes that ``predict`` draws in turn, one or a list of them, by name
            or by number; by default all classes that the model has.

    Raises:
        ValueError: labels are requested but the data has none, the placement or a class does not
            exist, or a number is too small.
    """

    batch_size: int = 64
    train_samples: int | None = None
    conditional: bool = False
    placement: Placement = "auto"
    predict_samples: int = 64
    predict_classes: int | str | list[int | str] | None = None

    # These have no annotation, so they are not options.
    shape = cast("tuple[int, ...]", ())
    classes = 0
    extractor = cast("str | None", None)
    flip = False

    def __post_init__(self) -> None:
        super().__init__()
        if self.conditional and not self.classes:
            raise ValueError(f"{type(self).__name__} has no labels: conditional must be false")
        at_least(1, batch_size=self.batch_size)
        if self.train_samples is not None:
            at_least(1, train_samples=self.train_samples)
        one_of(get_args(Placement), placement=self.placement)
        at_least(0, predict_samples=self.predict_samples)
        self._predicted_classes()
        self._seed: int | None = 0
        self._training: Loader | None = None
        self._splits: dict[Split, tuple[Tensor, Tensor | None, bool]] = {}

    @abstractmethod
    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """All samples of a split, uint8 ``(N, C, H, W)`` or float32 ``(N, D)``, and labels."""

    def split_of(self, loader: object) -> Split | None:
        """The split that a loader iterates over, or None if the loader is not from this module."""
        for split, (x, _, _) in self._splits.items():
            if isinstance(loader, Loader) and loader.x is x:
                return split
        return None

    def fingerprint(self, split: Split) -> str:
        """A checksum of a split's samples, under which results for them can be cached."""
        x = self._splits[split][0] if split in self._splits else self.load(split)[0]
        digest = hashlib.sha256(f"{tuple(x.shape)} {x.dtype}".encode())
        for part in x.split(4096):
            digest.update(part.cpu().contiguous().numpy())
        return digest.hexdigest()

    def transfer_batch_to_device(
        self,
        batch: Any,  # noqa: ANN401
        device: torch.device,
        dataloader_idx: int,
    ) -> Any:  # noqa: ANN401
        """Like Lightning's, but return a batch that is already on the device unchanged."""
        if isinstance(batch, tuple) and all(
            x is None or (isinstance(x, Tensor) and x.device == device) for x in batch
        ):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    @property
    def num_classes(self) -> int:
        """The number of classes that the model gets: 0 unless ``conditional``."""
        return self.classes if self.conditional else 0

    def class_name(self, i: int) -> str:
        """The name of class ``i`` in options, messages and the folders of samples."""
        return str(i)

    def setup(self, stage: str) -> None:
        """Use the run's seed for the order of samples, the same on every rank.

        Raises:
            TooFewSamplesError: the training samples of a fit do not fill one batch.
        """
        self._seed, self._training = torch.initial_seed(), None
        if self.trainer:
            self._seed = self.trainer.strategy.broadcast(self._seed)
            if stage == "fit":
                self.train_dataloader()  # before anything is written or evaluated

    def train_dataloader(self) -> Loader:
        """Shuffled training samples, with the samples of ``n_critic`` updates in each batch."""
        model = self.trainer.lightning_module if self.trainer else None
        n_critic = getattr(model, "n_critic", 1)
        if self._training is not None:
            # Loaders are made anew: the last one has the seed of a checkpoint that was loaded.
            self._seed = self._training.seed
        self._training = self._loader(
            "train",
            n_critic * self.batch_size,
            self.train_samples,
            seed=self._seed,
            flip=self.flip,
            repeat=getattr(self.trainer, "overfit_batches", 0) > 0,
        )
        return self._training

    def val_dataloader(self) -> Loader:
        """The training samples in order."""
        return self._loader("train", EVAL_BATCH_SIZE)

    def test_dataloader(self) -> Loader:
        """The test samples in order."""
        return self._loader("test", EVAL_BATCH_SIZE)

    def predict_dataloader(self) -> Iterable[int] | Iterable[tuple[int, Tensor]]:
        """Batch sizes that add up, over all ranks, to ``predict_samples``, with labels if any.

        The classes take turns: of K, sample i of all ranks is of the one at i modulo K.

        Raises:
            ArgumentError: there are ``predict_classes``, but the model has no classes.
        """
        rank, world_size = self._rank_and_world_size()
        share = range(rank, self.predict_samples, world_size)
        model = getattr(self.trainer, "lightning_module", None)
        if self.predict_classes is not None and not getattr(model, "num_classes", True):
            raise ArgumentError(f"{type(model).__name__} has no classes: leave out predict_classes")
        if classes := self._predicted_classes():
            turns = [classes[i % len(classes)] for i in share]
            return LabelLoader(torch.tensor(turns), self.batch_size)
        full, rest = divmod(len(share), self.batch_size)
        return [self.batch_size] * full + [rest] * bool(rest)

    def _predicted_classes(self) -> list[int]:
        """The labels that ``predict`` draws, none without classes; ValueError for no class."""
        if self.predict_classes is None:
            return list(range(self.num_classes))
        if not self.num_classes:
            raise ValueError(
                "there are no classes, conditional is false: leave out predict_classes"
            )
        asked = self.predict_classes
        names = [self.class_name(i) for i in range(self.num_classes)]
        return class_numbers(asked if isinstance(asked, list) else [asked], names)

    def _loader(
        self, split: Split, batch_size: int, count: int | None = None, **options: Any
    ) -> Loader:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if split not in self._splits:
            self._splits[split] = self._place_split(split, device)
        x, y, on_device = self._splits[split]
        if count is not None:
            x, y = self._some_of(x, y, count)
        options["rank"], options["world_size"] = self._rank_and_world_size()
        if on_device:
            return TensorLoader(x, y, batch_size, **options)
        return PrefetchLoader(x, y, batch_size, device=device, **options)

    def _some_of(self, x: Tensor, y: Tensor | None, count: int) -> tuple[Tensor, Tensor | None]:
        """So many training samples, drawn without replacement, always the same.

        Raises:
            TooFewSamplesError: there are fewer.
            WrongFileError: there is none of a class.
        """
        if count > len(x):
            raise TooFewSamplesError(
                f"train_samples is {count:,}, and there are {len(x):,} samples"
            )
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        index = order[:count].sort().values.to(x.device)
        return x[index], None if y is None else self._checked_labels("train", y[index])

    def _place_split(
        self, split: Split, device: torch.device
    ) -> tuple[Tensor, Tensor | None, bool]:
        """Samples and labels, placed on the device or the host, and whether it is the device."""
        x, y = self.load(split)
        labels = self._checked_labels(split, y)
        on_host = self.placement == "host"
        if self.placement == "auto" and x.nbytes > (available := available_memory(device)) / 2:
            on_host = True
            rank_zero_info(
                f"{len(x):,} samples ({x.nbytes / 1e9:.1f} GB) stay on the host: "
                f"{device} has {available / 1e9:.1f} GB"
            )
        if on_host:
            return x, labels, False
        return x.to(device), labels if labels is None else labels.to(device), True

    def _checked_labels(self, split: Split, y: Tensor | None) -> Tensor | None:
        """The labels, if the model gets any.

        Raises:
            WrongFileError: a label is no class, or a class has no training samples: it would be
                generated from weights that were never trained.
        """
        if not self.conditional or y is None:
            return None
        name = type(self).__name__
        if len(wrong := y[(y < 0) | (y >= self.classes)]):
            raise WrongFileError(
                f"{name} has the label {wrong[0]} in its {split} split, which must be from 0 to "
                f"{self.classes - 1}"
            )
        absent = (y.bincount(minlength=self.classes) == 0).nonzero().flatten().tolist()
        if split == "train" and absent:
            more = f" and of {len(absent) - 1} more" if len(absent) > 1 else ""
            raise WrongFileError(
                f"{name} has no training samples of the class {self.class_name(absent[0])}{more}: "
                "add some, or set conditional to false"
            )
        return y

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)


def available_memory(device: torch.device) -> int:
    """Free bytes of a GPU; for a CPU, all memory of the machine, which also caches its files.

    Without a limit where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # such as on Windows
        return sys.maxsize
