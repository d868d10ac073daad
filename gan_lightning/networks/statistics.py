"""The statistics of batch normalisation, computed anew."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_lightning.utils.errors import ArgumentError


@torch.no_grad()
def accumulate_statistics(
    network: nn.Module, inputs: Iterable[tuple[Tensor, Tensor | None]]
) -> None:
    """Replace running means and variances by their averages over passes, the "standing" statistics.

    ``inputs`` are the arguments of each pass. Only batch normalisation is in train mode: the
    vectors of spectral normalisation stay, and dropout is off. Changes the network in place.

    Brock et al. 2019, arXiv:1809.11096.

    Raises:
        ValueError: the network has no batch normalisation.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        raise ArgumentError("there is no batch normalisation, whose statistics could be computed")
    modes = {module: module.training for module in network.modules()}
    momenta = [norm.momentum for norm in norms]
    network.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative mean
            norm.train()
        for arguments in inputs:
            network(*arguments)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes.items():
            module.training = training
