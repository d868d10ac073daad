"""DiffAugment: the same random operations on every sample, always."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gan_lightning.utils.errors import ArgumentError


class DiffAugment(nn.Module):
    """The same random operations on every sample that the critic is shown, each with new draws.

    Zhao et al. 2020, arXiv:2006.10738, and the authors' code. Images ``(N, C, H, W)`` in [-1, 1];
    grey ones have no saturation.

    Args:
        operations: names in ``OPERATIONS``, in the order in which they are applied.

    Raises:
        ArgumentError: there is none.
    """

    def __init__(self, operations: Sequence[str]) -> None:
        super().__init__()
        if not operations:
            raise ArgumentError("an augmentation has at least one operation")
        self.operations = tuple(operations)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` in, the same shape out."""
        for name in self.operations:
            x = OPERATIONS[name](x)
        return x

    def extra_repr(self) -> str:
        """What is shown of it."""
        return ", ".join(self.operations)


def _draw(x: Tensor) -> Tensor:
    """U(0, 1) for each sample, ``(N, 1, 1, 1)``."""
    return torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)


def _whole(x: Tensor, low: int, high: int) -> Tensor:
    """A whole number of [low, high] for each sample, ``(N, 1)``."""
    return torch.randint(low, high + 1, (len(x), 1), device=x.device)


def _along(dim: int, values: Tensor) -> Tensor:
    """Values of each place along rows, 2, or columns, 3: ``(N, size)``, for ``(N, C, H, W)``."""
    return values[:, None, :, None] if dim == 2 else values[:, None, None, :]


def color(x: Tensor) -> Tensor:
    """Brightness shifted by U(-0.5, 0.5), saturation times U(0, 2), contrast times U(0.5, 1.5)."""
    x = x + _draw(x) - 0.5
    grey = x.mean(dim=1, keepdim=True)
    x = (x - grey) * (2 * _draw(x)) + grey
    middle = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - middle) * (_draw(x) + 0.5) + middle


def translation(x: Tensor) -> Tensor:
    """Shifted by up to an eighth of the size in each direction; what comes in is 0."""
    for dim in (2, 3):
        size = x.shape[dim]
        reach = (size + 4) // 8  # size / 8, rounded half up
        source = torch.arange(size, device=x.device) - _whole(x, -reach, reach)
        inside = (source >= 0) & (source < size)
        index = _along(dim, source.clamp(0, size - 1)).expand_as(x)
        x = x.gather(dim, index) * _along(dim, inside)
    return x


def cutout(x: Tensor) -> Tensor:
    """A square of half the size, around a uniform centre, is 0; it may reach over the edge."""
    hidden = torch.ones((), dtype=torch.bool, device=x.device)
    for dim in (2, 3):
        size = x.shape[dim]
        half = (size + 1) // 2  # size / 2, rounded half up
        first = _whole(x, 0, size - half % 2) - half // 2
        place = torch.arange(size, device=x.device)
        hidden = hidden & _along(dim, (place >= first) & (place < first + half))
    return x * ~hidden


#: The operations of a policy, by name.
OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "color": color,  # brightness, saturation and contrast
    "translation": translation,  # shifted by up to an eighth of the size
    "cutout": cutout,  # a square of half the size is hidden
}
