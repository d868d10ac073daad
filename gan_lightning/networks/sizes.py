"""The sizes of feature maps, chosen so that every family takes every size from 8 to 256."""

import torch.nn.functional as F
from torch import Tensor

#: From this size on, residual networks are the papers' networks for larger images.
LARGE = 64
#: The largest size that the families are tested at.
MAX_SIZE = 256


def channels_at(size: int, width: int, least: int = 1) -> int:
    """Channels of a map: ``width`` up to 32 pixels, then half as many with each doubling.

    Karras et al. 2018, arXiv:1710.10196, table 2: 512 at 32 pixels, 256 at 64, 128 at 128.
    """
    return min(width, max(least, 32 * width // size))


def halve(x: Tensor) -> Tensor:
    """The mean of each 2 x 2 window of maps ``(N, C, H, W)``; smaller windows at an odd edge."""
    return F.avg_pool2d(x, 2, ceil_mode=True)


def halvings(size: int, smallest: int, at_least: int = 0) -> list[int]:
    """``size`` and its halves, rounded up, down to the first below ``2 * smallest``.

    There are ``at_least`` halvings, whatever the size: ``halvings(32, 4) == [32, 16, 8, 4]``,
    ``halvings(28, 4) == [28, 14, 7]``, ``halvings(8, 4, at_least=2) == [8, 4, 2]``.
    """
    sizes = [size]
    while sizes[-1] >= 2 * smallest or len(sizes) <= at_least:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes
