"""Two-dimensional distributions, whose modes can be plotted."""

import math
from abc import abstractmethod
from dataclasses import field
from typing import ClassVar

import torch
from torch import Tensor

from gan_lightning.data.base import GANDataModule, Split


class Toy(GANDataModule):
    """Points in the plane, roughly in [-1, 1]; the test split is another fixed draw.

    Args:
        num_samples: points in each split.
        predict_samples: how many samples ``predict`` draws.
    """

    num_samples: int = field(default=10_000, kw_only=False)
    predict_samples: int = 1000

    shape = (2,)

    @abstractmethod
    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw ``num_samples`` points ``(N, 2)``, and their modes ``(N,)`` if there are any."""

    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Draw the points of a split, the same in every run."""
        return self.draw(torch.Generator().manual_seed(0 if split == "train" else 1))


class _Mixture(Toy):
    std: ClassVar[float]

    @abstractmethod
    def centres(self) -> Tensor:
        """The means of the modes, ``(modes, 2)``."""

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the modes uniformly, and normal noise around each."""
        modes = torch.randint(self.classes, (self.num_samples,), generator=generator)
        noise = torch.randn(self.num_samples, 2, generator=generator)
        return self.centres()[modes] + self.std * noise, modes


class Ring(_Mixture):
    """8 narrow Gaussians on the unit circle.

    Metz et al. 2017, arXiv:1611.02163, at half the scale.
    """

    classes = 8
    std: ClassVar[float] = 0.01

    def centres(self) -> Tensor:
        """The means at equal angles, ``(modes, 2)``."""
        angles = torch.arange(self.classes) * (2 * math.pi / self.classes)
        return torch.stack([angles.cos(), angles.sin()], dim=1)


class Grid(_Mixture):
    """25 narrow Gaussians on a 5 x 5 grid over [-1, 1].

    Srivastava et al. 2017, arXiv:1705.07761, at a quarter of the scale.
    """

    classes = 25
    std: ClassVar[float] = 0.0125

    def centres(self) -> Tensor:
        """The means row by row, ``(modes, 2)``."""
        line = torch.linspace(-1, 1, 5)
        return torch.cartesian_prod(line, line)


class SwissRoll(Toy):
    """A spiral without modes.

    Gulrajani et al. 2017, arXiv:1704.00028, figure 1.
    """

    def draw(self, generator: torch.Generator) -> tuple[Tensor, None]:
        """The roll of scikit-learn, seen from the side and divided by its radius."""
        # Here, since importing scikit-learn takes half a second.
        from sklearn.datasets import make_swiss_roll

        points, _ = make_swiss_roll(
            self.num_samples, noise=0.25, random_state=generator.initial_seed()
        )
        return torch.from_numpy(points[:, [0, 2]]).float() / (4.5 * math.pi), None
