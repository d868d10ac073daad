"""Logs the largest singular values, which show whether a critic stays Lipschitz."""

import pytorch_lightning as pl

from gan_lightning.gan import GAN
from gan_lightning.networks import largest_singular_values


class SingularValues(pl.Callback):
    """Logs ``sigma/critic/<layer>`` and ``sigma/generator/<layer>`` at every evaluation.

    Each is the largest singular value of the weight that the optimiser updates. Spectral
    normalisation divides by it, and does not bound it.

    Miyato et al. 2018, arXiv:1802.05957, section 2.1.
    """

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compute and log the values."""
        if isinstance(pl_module, GAN):
            networks = {"critic": pl_module.critic, "generator": pl_module.generator}
            pl_module.log_scalars(
                {
                    f"sigma/{key}/{name}": value
                    for key, network in networks.items()
                    for name, value in largest_singular_values(network).items()
                }
            )
