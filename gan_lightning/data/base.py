"""The base of the data modules: samples held as one tensor on the training device."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from gan_lightning.checks import at_least
from gan_lightning.data.loader import TensorLoader

Split = Literal["train", "test"]


class GANDataModule(pl.LightningDataModule, ABC):
    """Training batches for a ``GAN``, and the real samples that scores compare with.

    A training batch feeds one iteration: ``batch_size`` samples for each of the model's
    ``n_critic`` critic updates. The validation loop walks through the training samples, which the
    field's scores are measured against, and the test loop through the test split.

    Args:
        batch_size: real samples of one critic update, on each device.
        conditional: hand out labels, and have the model use them.
        predict_samples: how many samples ``predict`` draws.

    Raises:
        ValueError: labels are asked for where the data has none.
    """

    shape: tuple[int, ...]
    #: Of the labels in the data; 0 where there are none.
    classes: int = 0
    #: The feature extractor that scores are measured with; None where there is none.
    extractor: ClassVar[str | None] = None

    def __init__(
        self, batch_size: int = 64, conditional: bool = False, predict_samples: int = 64
    ) -> None:
        super().__init__()
        if conditional and not self.classes:
            raise ValueError(f"{type(self).__name__} has no labels: conditional must be false")
        self.batch_size = at_least(1, batch_size=batch_size)
        self.conditional = conditional
        self.predict_samples = at_least(0, predict_samples=predict_samples)
        self._seed = 0
        self._splits: dict[Split, tuple[Tensor, Tensor | None]] = {}

    @abstractmethod
    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """All samples of a split, uint8 ``(N, C, H, W)`` or float32 ``(N, D)``, and labels."""

    @property
    def num_classes(self) -> int:
        """What the model is told: 0 unless ``conditional``."""
        return self.classes if self.conditional else 0

    def setup(self, stage: str) -> None:
        """Take the run's seed for the order of samples, the same on every rank."""
        self._seed = torch.initial_seed()
        if self.trainer:
            self._seed = self.trainer.strategy.broadcast(self._seed)

    def train_dataloader(self) -> TensorLoader:
        """Shuffled, ``n_critic`` batches in one."""
        model = self.trainer.lightning_module if self.trainer else None
        n_critic = getattr(model, "n_critic", 1)
        return self._loader("train", n_critic * self.batch_size, seed=self._seed)

    def val_dataloader(self) -> TensorLoader:
        """The training samples in order."""
        return self._loader("train", self.batch_size)

    def test_dataloader(self) -> TensorLoader:
        """The test samples in order."""
        return self._loader("test", self.batch_size)

    def predict_dataloader(self) -> Iterable[int]:
        """Counts that add up, over the ranks, to ``predict_samples``."""
        rank, world_size = self._rank()
        share = len(range(rank, self.predict_samples, world_size))
        full, rest = divmod(share, self.batch_size)
        return [self.batch_size] * full + [rest] * bool(rest)

    def _loader(self, split: Split, batch_size: int, seed: int | None = None) -> TensorLoader:
        if split not in self._splits:
            x, y = self.load(split)
            device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
            labels = y.to(device) if self.conditional and y is not None else None
            self._splits[split] = x.to(device), labels
        x, y = self._splits[split]
        rank, world_size = self._rank()
        return TensorLoader(x, y, batch_size, seed=seed, rank=rank, world_size=world_size)

    def _rank(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
