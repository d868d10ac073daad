"""Minibatch discrimination: features that tell how close a sample is to the others of its batch."""

import torch
from torch import Tensor, nn

from gan_lightning.networks.family import Features
from gan_lightning.networks.start import StartsFromData
from gan_lightning.utils.ranks import mean_over_ranks, samples_of_ranks


class MinibatchLayer(StartsFromData):
    """Appends to features ``(N, A)`` the closeness ``(N, B)`` of each sample to the others.

    With M_i = f(x_i) T, a matrix of ``kernels`` B rows of ``kernel_dim`` C values, it is
    o_b(i) = sum over j != i of exp(-|M_ib - M_jb|_1), plus a learned shift. As in the authors' code
    each of the B C columns of T is weight-normalised with a learned log scale, a sample is not
    compared with itself, and the shift is -1 until the layer starts from data. Under several ranks,
    samples are compared with those of all ranks.

    Salimans et al. 2016, arXiv:1606.03498, section 3.2.
    """

    mixes_samples = True

    def __init__(self, features: int, kernels: int = 100, kernel_dim: int = 5) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.05 * torch.randn(features, kernels, kernel_dim))
        self.log_scale = nn.Parameter(torch.zeros(kernels, kernel_dim))
        self.shift = nn.Parameter(torch.full((kernels,), -1.0))

    def forward(self, h: Tensor) -> Tensor:
        closeness = self.closeness(h) + self.shift
        return torch.cat([h, closeness.to(h.dtype)], dim=1)

    def closeness(self, h: Tensor) -> Tensor:
        """o ``(N, B)`` of features ``(N, A)``, without the shift, in float32 at least."""
        # The sum has exp(0) for the sample itself.
        return torch.exp(-self._distances(h)).sum(dim=1) - 1

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Half the mean distance to the nearest sample becomes 1, and the mean output 0.

        As in the authors' code.
        """
        distances = self._distances(x)
        if distances.shape[1] > 1:
            # The least distance is that of a sample to itself.
            nearest = distances.kthvalue(2, dim=1).values
            half = mean_over_ranks(nearest.mean(dim=0)) / 2
            # Equal samples have no distance to scale by.
            self.log_scale.sub_(half.where(half > 0, 1.0).log()[:, None])
        self.shift.copy_(-mean_over_ranks(self.closeness(x).mean(dim=0)))

    def _distances(self, h: Tensor) -> Tensor:
        """|M_ib - M_jb|_1 ``(N, N of all ranks, B)``."""
        dtype = torch.promote_types(h.dtype, torch.float32)
        # A difference of two near rows has few digits left in bfloat16.
        with torch.autocast(h.device.type, enabled=False):
            weight = (self.weight * (self.log_scale.exp() / self.weight.norm(dim=0))).to(dtype)
            rows = (h.to(dtype) @ weight.flatten(1)).unflatten(1, weight.shape[1:])
        return (rows[:, None] - samples_of_ranks(rows)).abs().sum(dim=3)


class MinibatchFeatures(Features):
    """Another critic's features, with their closeness to those of the other samples."""

    def __init__(self, features: Features, kernels: int, kernel_dim: int) -> None:
        super().__init__()
        self.features = features
        self.minibatch = MinibatchLayer(features.out_features, kernels, kernel_dim)
        self.out_features = features.out_features + kernels

    def forward(self, x: Tensor) -> Tensor:
        return self.minibatch(self.features(x))
