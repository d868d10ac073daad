"""Self-attention over the positions of a feature map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention2d(nn.Module):
    """``x + gamma o(x)``: every position attends to every other; gamma starts at 0.

    Keys and queries have an eighth of the channels, values a half and, where the map's height and
    width are even, a quarter of the positions, as in the authors' code. Input and output are
    ``(N, C, H, W)``.

    Zhang et al. 2019, arXiv:1805.08318, section 3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        eighth, half = max(channels // 8, 1), max(channels // 2, 1)
        self.query = nn.Conv2d(channels, eighth, 1, bias=False)
        self.key = nn.Conv2d(channels, eighth, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.out = nn.Conv2d(half, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def attention_map(self, x: Tensor) -> Tensor:
        """The attention ``(N, H W, positions)`` of each position to the keys; rows sum to 1."""
        query = self.query(x).flatten(2)
        key = _pool(self.key(x)).flatten(2)
        return F.softmax(query.transpose(1, 2) @ key, dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        value = _pool(self.value(x)).flatten(2)
        attended = (value @ self.attention_map(x).transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gamma * self.out(attended)


def _pool(x: Tensor) -> Tensor:
    """Halve the size of a map whose height and width are even."""
    return F.max_pool2d(x, 2) if x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0 else x
