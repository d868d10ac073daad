"""Features that tell how close a sample is to the others of its batch, or how these vary."""

import torch
from torch import Tensor, nn

from gan_lightning.networks.family import Features
from gan_lightning.networks.start import StartsFromData
from gan_lightning.utils.precision import full_precision
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
        with full_precision(h):
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


class MinibatchDeviation(nn.Module):
    """Appends to maps ``(N, C, H, W)`` how much they vary in a group of samples, ``features`` maps.

    A group has ``group`` samples, or the most that the batch can be divided into, N / group apart,
    as in the authors' code. The value of a map is the standard deviation over the group, averaged
    over all positions and an equal share of the channels.

    Karras et al. 2018, arXiv:1710.10196, section 3.
    """

    mixes_samples = True

    def __init__(self, group: int = 4, features: int = 1) -> None:
        super().__init__()
        self.group, self.features = group, features

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.deviations(x).to(x.dtype).expand(-1, -1, *x.shape[2:])], dim=1)

    def deviations(self, x: Tensor) -> Tensor:
        """The values ``(N, features, 1, 1)`` of maps ``(N, C, H, W)``, in float32 at least."""
        group = next(g for g in range(min(self.group, len(x)), 0, -1) if len(x) % g == 0)
        grouped = x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(0, (group, -1))
        variance = grouped.var(dim=0, correction=0)
        deviation = (variance + 1e-8).sqrt().unflatten(1, (self.features, -1))
        return deviation.mean(dim=(2, 3, 4)).repeat(group, 1)[:, :, None, None]
