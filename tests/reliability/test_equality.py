"""Two processes train as one does on all of their samples."""

import pytest
import pytorch_lightning as pl
import torch
from helpers import CONDITIONAL, SILENT, slow_but, techniques

from gan_lightning import TECHNIQUES
from gan_lightning.data import Digits, Ring
from gan_lightning.training.sync_batch_norm import SyncBatchNorm

TOGETHER = 16
#: Hyperparameters that have more than one update of the critic, and everything that evolves.
EVERYTHING = {
    "dcgan": {"n_critic": 2},
    "lsgan": {"n_critic": 2, "decay_steps": 40},
    "began": {"n_critic": 2, "halving_interval": 5, "network": "dcgan"},
    "sagan": {"n_critic": 2},
}


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


def weights(name, devices, points=False, classes=False, updates=20, synchronised=True, **arguments):
    """What a run ends with that draws the same noise for the same samples on any devices."""
    pl.seed_everything(0, verbose=False)
    data = (Ring if points else Digits)(batch_size=TOGETHER // devices, conditional=classes)
    defaults = {"latent_dim": 8, "generator_width": 8, "critic_width": 8, "ema_decay": 0.9}
    options = defaults | EVERYTHING.get(name, {})
    model = TECHNIQUES[name](data.shape, data.num_classes, **options)
    trainer = pl.Trainer(
        devices=devices,
        max_steps=updates,
        limit_val_batches=0,
        plugins=SyncBatchNorm() if synchronised else None,
        callbacks=[SameNoise()],
        **SILENT,
        **arguments,
    )
    trainer.fit(model, data)
    return model.state_dict()


def assert_equal(ranks, measured, name, **options):
    """Measures the largest difference of a tensor, relative to its own largest value."""
    both = ranks(weights, name, 2, **options)
    one = weights(name, 1, **options)
    assert one.keys() == both[0].keys()
    largest = 0.0
    for key, expected in one.items():
        torch.testing.assert_close(both[1][key], both[0][key], rtol=0, atol=0)
        # Relative to the largest: single weights may be nothing but rounding.
        size = float(expected.double().abs().nan_to_num(posinf=0).max())
        difference = float((both[0][key].double() - expected).nan_to_num(0).abs().max())
        largest = max(largest, difference / size if size > 1e-6 else 0)
        bound = 1e-5 * size + 1e-9
        torch.testing.assert_close(
            both[0][key], expected, rtol=0, atol=bound, msg=lambda m, key=key: f"{key}: {m}"
        )
    measured("largest relative difference", largest)


@pytest.mark.parametrize("name", techniques("dcgan", "began"))
def test_two_processes_end_with_the_weights_of_one(name, ranks, record_property):
    # In float64: in float32 Adam makes full steps of gradients that are nothing but rounding.
    assert_equal(ranks, record_property, name, precision="64-true")


@pytest.mark.parametrize("name", techniques("wgan_gp", "sngan"))
def test_they_do_on_points_too(name, ranks, record_property):
    assert_equal(ranks, record_property, name, precision="64-true", points=True)


@pytest.mark.parametrize("name", slow_but(["sagan"], CONDITIONAL))
def test_they_do_with_labels_too(name, ranks, record_property):
    assert_equal(ranks, record_property, name, precision="64-true", classes=True)


@pytest.mark.parametrize("strategy", ["ddp", "ddp_find_unused_parameters_true"])
def test_no_strategy_of_ddp_needs_to_be_told_of_unused_parameters(strategy, ranks):
    ranks(weights, "wgan_gp", 2, updates=2, strategy=strategy)


def test_without_synchronisation_batch_statistics_are_each_ranks_own(ranks):
    options = {"precision": "64-true", "updates": 2, "synchronised": False}
    two, _ = ranks(weights, "dcgan", 2, **options)
    one = weights("dcgan", 1, **options)
    name = "critic.features.net.2.weight"
    assert float((one[name] - two[name]).abs().max()) > 1e-4


@pytest.mark.timeout(90)
def test_two_processes_come_to_their_end(program, time):
    name = [technique.__name__ for technique in TECHNIQUES.values()][time % len(TECHNIQUES)]
    code, said = program(
        *(f"--model={name}", "--data=Digits", "--data.batch_size=16"),
        *("--model.generator_width=8", "--model.critic_width=8"),
        *("--trainer.max_steps=20", "--trainer.val_check_interval=10"),
        devices=2,
    ).ended(within=80)
    assert code == 0, said
