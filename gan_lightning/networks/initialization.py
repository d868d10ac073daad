"""Initialisations of weights, for ``nn.Module.apply``."""

from torch import nn

from gan_lightning.networks.conditioning import ScoreHead


def init_normal(module: nn.Module) -> None:
    """Weights ~ N(0, 0.02), batch normalisation scales ~ N(1, 0.02), biases 0.

    Radford et al. 2016, arXiv:1511.06434, section 4, and the authors' code.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
    bias = getattr(module, "bias", None)
    if isinstance(bias, nn.Parameter):
        nn.init.zeros_(bias)


def init_glorot(module: nn.Module) -> None:
    """Uniform weights of variance 2 / (inputs + outputs), biases 0.

    Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural
    networks", eq. 16.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, ScoreHead) and module.projection is not None:
        nn.init.xavier_uniform_(module.projection.weight)
