"""Spectral normalisation, and the largest singular values of weights."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm

from gan_lightning.utils.precision import full_precision

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def spectral_normalize(network: nn.Module, embeddings: bool = True) -> nn.Module:
    """Divide every weight matrix by its largest singular value, one power iteration a pass.

    Convolutions are treated as matrices ``(out, in * kh * kw)``. With ``embeddings``, these are
    normalised too, such as the projection of a conditional critic. Layers whose attribute
    ``starts_at_zero`` is true start as torch starts them. Changes the network in place.

    Miyato et al. 2018, arXiv:1802.05957, Algorithm 1.
    """
    kinds = (*_LAYERS, nn.Embedding) if embeddings else _LAYERS
    for module in list(network.modules()):
        if isinstance(module, kinds):
            if getattr(module, "starts_at_zero", False):
                module.reset_parameters()  # weights of 0 have nothing to be divided by
            spectral_norm(module)
            parametrizations: Any = module.parametrizations
            parametrizations.weight[0].__class__ = FullPrecisionSpectralNorm
    return network


class FullPrecisionSpectralNorm(_SpectralNorm):
    """torch's, in the precision of the weight under autocast too.

    On a GPU, but not on a CPU, autocast would round the weight, both vectors and the products of
    the power iteration to bfloat16.
    """

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by its largest singular value."""
        with full_precision(weight):
            normalised: Tensor = super().forward(weight)
            return normalised


@torch.no_grad()
def largest_singular_values(network: nn.Module) -> dict[str, Tensor]:
    """The values by layer, of the weights that the optimiser updates, before any normalisation.

    Convolutions are treated as matrices ``(out, in * kh * kw)``.
    """
    values = {}
    for name, layer in network.named_modules():
        if isinstance(layer, (*_LAYERS, nn.Embedding)):
            own = dict(layer.named_parameters())
            normalised = "parametrizations.weight.original"
            weight: Tensor = own[normalised if normalised in own else "weight"]
            if isinstance(layer, nn.ConvTranspose2d):
                weight = weight.transpose(0, 1)
            values[name] = torch.linalg.matrix_norm(weight.float().flatten(1), ord=2)
    return values
