"""Largest singular values: dividing by them, and watching them."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def spectral_normalize(network: nn.Module, embeddings: bool = True) -> nn.Module:
    """Divide every weight matrix by its largest singular value, one power iteration a pass.

    Convolutions are taken as matrices of ``(out, in * kh * kw)``. ``embeddings`` are normalised
    too, as the projection of a conditional critic is. Changes the network in place.

    Miyato et al. 2018, arXiv:1802.05957, Algorithm 1.
    """
    kinds = (*_LAYERS, nn.Embedding) if embeddings else _LAYERS
    for module in list(network.modules()):
        if isinstance(module, kinds):
            spectral_norm(module)
    return network


@torch.no_grad()
def largest_singular_values(network: nn.Module) -> dict[str, Tensor]:
    """By layer, of the weights as the optimiser holds them, before any normalisation.

    Convolutions are taken as matrices of ``(out, in * kh * kw)``.
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
