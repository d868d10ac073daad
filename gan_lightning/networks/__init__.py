"""The families of networks: each makes a generator and a critic for a shape of samples."""

from gan_lightning.networks.autoencoder import autoencoder_networks
from gan_lightning.networks.dcgan import dcgan_networks
from gan_lightning.networks.mlp import mlp_networks
from gan_lightning.networks.resnet import resnet_networks
from gan_lightning.networks.spectral import spectral_normalize

__all__ = [
    "autoencoder_networks",
    "dcgan_networks",
    "mlp_networks",
    "resnet_networks",
    "spectral_normalize",
]
