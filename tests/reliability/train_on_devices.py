"""A run that draws, on any number of devices, the same noise for the same samples.

What ``python train_on_devices.py '{"name": ..., "devices": ..., "path": ...}'`` ends with is in a
file for each rank, ``path.rank``.
"""

import json
import sys

import pytorch_lightning as pl
import torch

from gan_lightning import TECHNIQUES
from gan_lightning.data import Digits, Ring
from gan_lightning.sync_batch_norm import SyncBatchNorm

TOGETHER = 16


class SameNoise(pl.Callback):
    """Each rank draws the noise of all ranks' samples, and keeps that of its own."""

    def __init__(self):
        self.draws = {name: getattr(torch, name) for name in ("rand", "randn")}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        torch.manual_seed(trainer.global_step)
        for name, draw in self.draws.items():
            setattr(torch, name, self.shares(draw, trainer.global_rank, trainer.world_size))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        for name, draw in self.draws.items():
            setattr(torch, name, draw)

    @staticmethod
    def shares(draw, rank, world_size):
        def share(*size, **options):
            count, *rest = size[0] if isinstance(size[0], torch.Size) else size
            return draw(count * world_size, *rest, **options)[rank::world_size].contiguous()

        return share


def main(name, path, devices=1, points=False, classes=False, updates=20, **arguments):
    plugins = SyncBatchNorm() if arguments.pop("synchronised", True) else None
    torch.set_num_threads(1)
    pl.seed_everything(0, verbose=False)
    data = (Ring if points else Digits)(batch_size=TOGETHER // devices, conditional=classes)
    defaults = {"latent_dim": 8, "generator_width": 8, "critic_width": 8, "ema_decay": 0.9}
    model = TECHNIQUES[name](data.shape, data.num_classes, **defaults | arguments.pop("model", {}))
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=devices,
        max_steps=updates,
        limit_val_batches=0,
        plugins=plugins,
        callbacks=[SameNoise()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )
    trainer.fit(model, data)
    torch.save(model.state_dict(), f"{path}.{trainer.global_rank}")


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
