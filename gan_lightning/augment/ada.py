"""ADA: augmentation as often as keeps the critic from knowing its training images by heart."""

import math

import torch
from torch import Tensor, nn

from gan_lightning.augment.diffaugment import cutout
from gan_lightning.utils.ranks import mean_over_ranks, number_of_ranks


class ADA(nn.Module):
    """Adaptive discriminator augmentation.

    Karras et al. 2020, arXiv:2006.06676, and the authors' code. Each operation befalls each sample
    with probability p, which follows the mean sign of the scores of real samples: above the target
    the critic is too sure of its training images, and p rises.

    Images ``(N, C, H, W)`` in [-1, 1] are mirrored, turned by quarters and shifted by up to an
    eighth of their size, with what comes in reflected; their brightness, contrast, luma, hue and
    saturation change. Grey images have brightness and contrast alone, and transparency is left as
    it is.

    Deviations from the paper's pipeline, ``bgc``: without scaling, stretching, turning by any angle
    and shifting by parts of a pixel, which interpolate, and blur small images; so p = 0 is the
    identity. p is at most 1.

    Args:
        target: the mean sign that p is steered to.
        images: real samples in which p can rise from 0 to 1.
        interval: critic updates between two changes of p.
        colour: p of colours, as a multiple of p.
        cutout: p of hiding a square of half the size, as a multiple of p.
        adapts: whether p follows the scores, and is not set from outside.
    """

    def __init__(
        self,
        target: float = 0.6,
        images: int = 500_000,
        interval: int = 4,
        colour: float = 1.0,
        cutout: float = 0.0,
        adapts: bool = True,
    ) -> None:
        super().__init__()
        self.target = target
        self.images = images
        self.interval = interval
        self.colour = colour
        self.cutout = cutout
        self.adapts = adapts
        self.p: Tensor
        self.signs: Tensor
        self.updates: Tensor
        self.register_buffer("p", torch.zeros(()))
        # The sum of mean signs, and the number of updates, since p last changed.
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("updates", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` in, the same shape out."""
        x = self._recolour(self._move(x))
        if not self.cutout:
            return x
        return torch.where(self._chosen(x, self.cutout)[:, None, None, None], cutout(x), x)

    @torch.no_grad()
    def adapt(self, real: Tensor) -> None:
        """Change p, every few updates, with the scores ``(N,)`` of augmented real samples."""
        if not self.adapts:
            return
        self.signs.add_(mean_over_ranks(real.sign().mean().to(self.signs)))
        self.updates.add_(1)
        due = (self.updates >= self.interval).to(self.p)
        step = self.interval * len(real) * number_of_ranks() / self.images
        direction = (self.signs / self.interval - self.target).sign()
        self.p.add_(due * direction * step).clamp_(0, 1)
        self.signs.mul_(1 - due)
        self.updates.mul_(1 - due)

    def extra_repr(self) -> str:
        """What is shown of it."""
        return f"target={self.target:g}, images={self.images}, interval={self.interval}"

    def _chosen(self, x: Tensor, share: float = 1.0) -> Tensor:
        """Which samples an operation befalls, ``(N,)``."""
        return torch.rand(len(x), device=x.device) < share * self.p

    def _move(self, x: Tensor) -> Tensor:
        """Mirrored, then turned, then shifted: each pixel is taken from where it was before."""
        n, _, height, width = x.shape
        row = torch.arange(height, device=x.device)[None, :, None].expand(n, height, width)
        column = torch.arange(width, device=x.device)[None, None, :].expand(n, height, width)
        row = _reflected(row - self._shift(x, height), height)
        column = _reflected(column - self._shift(x, width), width)
        if height == width:
            turns = _whole(x, 4) * self._chosen(x)
            half, quarter = _each(turns >= 2), _each(turns % 2 == 1)
            last = height - 1
            row, column = (
                torch.where(half, last - row, row),
                torch.where(half, last - column, column),
            )
            row, column = (
                torch.where(quarter, column, row),
                torch.where(quarter, last - row, column),
            )
        mirrored = _each((_whole(x, 2) == 1) & self._chosen(x))
        column = torch.where(mirrored, width - 1 - column, column)
        place = (row * width + column).flatten(1)[:, None, :].expand(-1, x.shape[1], -1)
        return x.flatten(2).gather(2, place).view(x.shape)

    def _shift(self, x: Tensor, size: int) -> Tensor:
        """Pixels for each sample, ``(N, 1, 1)``, up to an eighth of the size either way."""
        share = torch.rand(len(x), device=x.device) / 4 - 1 / 8
        pixels = (share * size).round().long()
        return _each(pixels * self._chosen(x))

    def _recolour(self, x: Tensor) -> Tensor:
        """Brightness, contrast, luma flip, hue, saturation: of the grey part and of the rest."""
        colours = 3 if x.shape[1] >= 3 else 1
        seen = x[:, :colours]
        grey = seen.mean(dim=1, keepdim=True)
        rest = seen - grey
        shift = self._values(x, _normal(x, 0.2), 0)
        contrast = self._values(x, torch.exp2(_normal(x, 0.5)), 1)
        grey = contrast * (grey + shift)
        if colours == 3:
            grey = self._values(x, 1 - 2.0 * _whole(x, 2), 1) * grey
            angle = self._values(x, (2 * torch.rand(len(x), device=x.device) - 1) * math.pi, 0)
            # Turned around grey: Rodrigues' formula, with the product of grey's axis and the rest.
            across = (rest.roll(1, dims=1) - rest.roll(-1, dims=1)) / math.sqrt(3)
            saturation = self._values(x, torch.exp2(_normal(x, 1.0)), 1)
            rest = contrast * saturation * (angle.cos() * rest + angle.sin() * across)
        changed = grey + rest
        return changed if colours == x.shape[1] else torch.cat([changed, x[:, colours:]], dim=1)

    def _values(self, x: Tensor, values: Tensor, neutral: float) -> Tensor:
        """The values ``(N,)`` of samples that an operation befalls, ``(N, 1, 1, 1)``."""
        chosen = torch.where(self._chosen(x, self.colour), values, neutral)
        return chosen.to(x.dtype)[:, None, None, None]


def _each(values: Tensor) -> Tensor:
    """``(N,)`` as ``(N, 1, 1)``."""
    return values[:, None, None]


def _whole(x: Tensor, below: int) -> Tensor:
    """A whole number from 0 for each sample, ``(N,)``."""
    return torch.randint(below, (len(x),), device=x.device)


def _normal(x: Tensor, deviation: float) -> Tensor:
    return torch.randn(len(x), device=x.device) * deviation


def _reflected(place: Tensor, size: int) -> Tensor:
    """Places outside of 0 ... size - 1 reflected at the edge pixels."""
    last = size - 1
    return last - (last - place.abs()).abs()
