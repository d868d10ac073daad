"""Two processes train like one process that gets all of their samples."""

from unittest import mock

import pytest
import pytorch_lightning as pl
import torch
from helpers import CONDITIONAL, SILENT, techniques

from gan_lightning import TECHNIQUES
from gan_lightning.data import Digits, Ring
from gan_lightning.training import iteration, module
from gan_lightning.training.sync_batch_norm import SyncBatchNorm
from gan_lightning.utils.ranks import average_gradients

TOTAL_BATCH_SIZE = 16
#: Hyperparameters with several critic updates, and with everything that changes during a run.
HYPERPARAMETERS = {
    "dcgan": {"n_critic": 2},
    "lsgan": {"n_critic": 2, "decay_steps": 40},
    "began": {"n_critic": 2, "halving_interval": 5, "network": "dcgan"},
    "sagan": {"n_critic": 2},
    # With an average that starts on the way.
    "biggan": {"n_critic": 2, "network": "biggan", "ema_start": 5},
    # Both with layers that start from data, and with noise in the critic.
    "feature_matching": {"n_critic": 2},
    "minibatch_discrimination": {"n_critic": 2, "kernels": 3},
    # Of 320 real samples.
    "progressive": {"phase_images": 80},
    # Each rank mixes styles from a layer of its own on.
    "stylegan": {"n_critic": 2, "mixing": 0.0},
    "stylegan2": {"n_critic": 2, "mixing": 0.0},
    "r3gan": {"n_critic": 2, "schedule_images": 200},
}


class SameNoise(pl.Callback):
    """Each rank draws the noise for the samples of all ranks, and uses the part for its own."""

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
    """The trained weights; a sample gets the same noise, whatever the number of devices."""
    pl.seed_everything(0, verbose=False)
    data = (Ring if points else Digits)(batch_size=TOTAL_BATCH_SIZE // devices, conditional=classes)
    defaults = {"latent_dim": 8, "generator_width": 8, "critic_width": 8, "ema_decay": 0.9}
    options = defaults | HYPERPARAMETERS.get(name, {})
    model = TECHNIQUES[name](data.shape, data.num_classes, **options)
    for layer_name, strength in model.generator.named_parameters():
        if layer_name.endswith("noise_strength"):
            # Without noise, StyleGAN's first map is constant, and has gradients of rounding errors.
            torch.nn.init.constant_(strength, 0.1)
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


def assert_equal(ranks, record, name, **options):
    """Compares weights, and records the largest difference relative to a tensor's largest value."""
    both = ranks(weights, name, 2, **options)
    one = weights(name, 1, **options)
    assert one.keys() == both[0].keys()
    largest = 0.0
    for key, expected in one.items():
        torch.testing.assert_close(both[1][key], both[0][key], rtol=0, atol=0)
        # Relative to the largest value: single weights may be nothing but rounding errors.
        size = float(expected.double().abs().nan_to_num(posinf=0).max())
        difference = float((both[0][key].double() - expected).nan_to_num(0).abs().max())
        largest = max(largest, difference / size if size > 1e-6 else 0)
        bound = 1e-5 * size + 1e-9
        torch.testing.assert_close(
            both[0][key], expected, rtol=0, atol=bound, msg=lambda m, key=key: f"{key}: {m}"
        )
    record("largest relative difference", largest)


@pytest.mark.slow
@pytest.mark.parametrize("name", techniques("dcgan"))
def test_two_processes_end_with_the_weights_of_one(name, ranks, record_property):
    # In float64: in float32, Adam takes full steps for gradients that are only rounding errors.
    assert_equal(ranks, record_property, name, precision="64-true")


@pytest.mark.parametrize("name", techniques("wgan_gp", "sngan"))
def test_two_processes_match_one_on_points_too(name, ranks, record_property):
    assert_equal(ranks, record_property, name, precision="64-true", points=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONDITIONAL)
def test_two_processes_match_one_with_labels_too(name, ranks, record_property):
    assert_equal(ranks, record_property, name, precision="64-true", classes=True)


@pytest.mark.parametrize("strategy", ["ddp", "ddp_find_unused_parameters_true"])
def test_ddp_works_with_and_without_finding_unused_parameters(strategy, ranks):
    ranks(weights, "wgan_gp", 2, updates=2, strategy=strategy)


def averaged_by_ddp(name, **options):
    """The weights with gradients that DDP's own hooks average, and how many we averaged."""
    with mock.patch.object(module, "take_over_averages", return_value=False):
        return averaged_by_us(name, **options)


def averaged_by_us(name, **options):
    count = mock.Mock(side_effect=average_gradients)
    with mock.patch.object(iteration, "average_gradients", count):
        trained = weights(name, 2, **options)
    return trained, count.call_count


@pytest.mark.parametrize("name", techniques("wgan_gp"))
def test_one_mean_of_all_gradients_equals_those_of_ddp(name, ranks):
    options = {"precision": "64-true", "updates": 3}
    ours, theirs = (ranks(run, name, **options)[0] for run in (averaged_by_us, averaged_by_ddp))
    critic_updates = HYPERPARAMETERS.get(name, {}).get("n_critic", TECHNIQUES[name].n_critic)
    assert (ours[1], theirs[1]) == (3 * (critic_updates + 1), 0)
    for key, expected in theirs[0].items():
        torch.testing.assert_close(ours[0][key], expected, rtol=1e-6, atol=1e-9, msg=key)


def test_without_synchronisation_each_rank_has_its_own_batch_statistics(ranks):
    options = {"precision": "64-true", "updates": 2, "synchronised": False}
    two, _ = ranks(weights, "dcgan", 2, **options)
    one = weights("dcgan", 1, **options)
    name = "critic.features.net.2.weight"
    assert float((one[name] - two[name]).abs().max()) > 1e-4


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_two_processes_come_to_their_end(program, time):
    name = [technique.__name__ for technique in TECHNIQUES.values()][time % len(TECHNIQUES)]
    code, output = program(
        *(f"--model={name}", "--data=Digits", "--data.batch_size=16"),
        *("--model.generator_width=8", "--model.critic_width=8"),
        *("--trainer.max_steps=20", "--trainer.val_check_interval=10"),
        devices=2,
    ).ended(within=80)
    assert code == 0, output
