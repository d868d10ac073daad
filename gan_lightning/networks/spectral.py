"""Spectral normalisation of a whole network."""

from torch import nn
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
