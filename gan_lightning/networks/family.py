"""A family of networks: a generator and the features of a critic, for any shape."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_lightning.networks.conditioning import ScoreHead
from gan_lightning.networks.sizes import LARGE, MAX_SIZE

Norm = Literal["none", "batch", "layer"]

#: The most channels of an image: grey or colour, each with or without transparency.
MAX_CHANNELS = 4


class Features(nn.Module):
    """Maps samples to features ``(N, out_features)``."""

    out_features: int


class Growing(nn.Module):
    """A network that grows: its technique sets the level, from 0; it is built at the last, -1."""

    level: int = -1


class ScoreCritic(nn.Module):
    """Maps samples to scores ``(N,)``: features, and a head that takes labels too."""

    def __init__(
        self,
        features: Features,
        num_classes: int = 0,
        head: Callable[[int, int], nn.Module] = ScoreHead,
    ) -> None:
        super().__init__()
        self.features = features
        self.head = head(features.out_features, num_classes)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        scores: Tensor = self.head(self.features(x), y)
        return scores


class AutoencoderCritic(nn.Module):
    """Maps samples to their mean absolute reconstruction error ``(N,)``.

    The code is a linear map of the features, without an activation; the decoder is a generator.

    Berthelot et al. 2017, arXiv:1703.10717, section 3.5.
    """

    def __init__(self, features: Features, decoder: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.features = features
        self.code = nn.Linear(features.out_features, latent_dim)
        self.decoder = decoder

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        rebuilt = self.decoder(self.code(self.features(x)))
        # In float32 under autocast too, so that real and generated samples are treated alike.
        return (x.float() - rebuilt.float()).abs().flatten(1).mean(dim=1)


def mixes_samples(network: nn.Module) -> bool:
    """Whether a network's output for a sample depends on the other samples of its batch.

    It does with batch normalisation, and with a layer whose attribute ``mixes_samples`` is true.
    """
    return has_batch_norm(network) or any(
        getattr(layer, "mixes_samples", False) for layer in network.modules()
    )


def has_batch_norm(network: nn.Module) -> bool:
    """Whether there is batch normalisation in it."""
    return any(isinstance(layer, _BatchNorm) for layer in network.modules())


@dataclass(frozen=True)
class Family:
    """One kind of network, at every shape.

    Args:
        generator: called with ``(shape, latent_dim, num_classes, width)``, returns a network that
            maps latents ``(N, latent_dim)`` and labels to samples.
        features: called with ``(shape, width, norm)``, returns a network that maps samples to
            features and uses the normalisation ``norm``.
        init: initialises the weights of a module.
        widths: the published widths of the generator and the critic.
        large_widths: the published widths from 64 pixels on; None if they are the same.
        images: whether samples are images, or vectors.
        head: called with the number of features and of classes, returns the critic's last layer.
    """

    generator: Callable[..., nn.Module]
    features: Callable[..., Features]
    init: Callable[[nn.Module], None]
    widths: tuple[int, int]
    large_widths: tuple[int, int] | None = None
    images: bool = True
    head: Callable[[int, int], nn.Module] = ScoreHead

    def check(self, shape: Sequence[int]) -> None:
        """Raises ValueError if the family does not support this shape."""
        match tuple(shape):
            case (channels, height, width) if self.images:
                fits = channels <= MAX_CHANNELS and height == width and 8 <= height <= MAX_SIZE
            case (_,):
                fits = not self.images
            case _:
                fits = False
        if not fits:
            raise ValueError(
                f"shape must be (C, size, size) with 1 to {MAX_CHANNELS} channels and size 8 to "
                f"{MAX_SIZE}, or (D,) for vectors, unless build_networks is your own; "
                f"got {tuple(shape)}"
            )

    def widths_at(self, size: int) -> tuple[int, int]:
        """The published widths of the generator and the critic at an image size."""
        return self.large_widths if self.large_widths and size >= LARGE else self.widths

    def make_generator(
        self, shape: Sequence[int], latent_dim: int, num_classes: int, width: int
    ) -> nn.Module:
        """Build and initialise a generator."""
        self.check(shape)
        return self.generator(shape, latent_dim, num_classes, width).apply(self.init)

    def make_critic(
        self, shape: Sequence[int], num_classes: int, width: int, norm: Norm
    ) -> nn.Module:
        """Build and initialise a critic that returns scores."""
        self.check(shape)
        features = self.features(shape, width, norm)
        return ScoreCritic(features, num_classes, self.head).apply(self.init)

    def make_autoencoder(
        self, shape: Sequence[int], latent_dim: int, width: int, norm: Norm
    ) -> nn.Module:
        """Build and initialise an autoencoder critic, whose decoder is the family's generator."""
        decoder = self.generator(shape, latent_dim, 0, width)
        features = self.features(shape, width, norm)
        return AutoencoderCritic(features, decoder, latent_dim).apply(self.init)


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """The normalisation of a critic's feature map.

    ``layer`` normalises over channels and positions, with a scale and a shift per channel.
    """
    match norm:
        case "none":
            return nn.Identity()
        case "batch":
            return nn.BatchNorm2d(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
