"""R3GAN: its networks restated, its penalties, and what moves with the images shown."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import CLASSES, IMAGE, VECTOR, differences, fixed, samples, state, tiny, train

from gan_lightning import R3GAN, load
from gan_lightning.augment import ADA
from gan_lightning.networks.r3gan import (
    GAIN,
    Block,
    EmbeddedLabelHead,
    R3GANFeatures,
    R3GANGenerator,
)
from gan_lightning.penalties import squared_gradient_norms
from gan_lightning.utils.errors import ArgumentError


def randomize(network):
    """All weights away from 0, so that every layer counts."""
    for i, parameter in enumerate(network.parameters()):
        generator = torch.Generator().manual_seed(i)
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return network.double()


def smoothed(x, up):
    """[1, 2, 1] convolved with [1, 1], in both directions, and every second value."""
    taps = torch.tensor([1.0, 3, 3, 1], dtype=x.dtype) / 8
    kernel = torch.outer(taps, taps)[None, None]
    maps = []
    for channel in x.split(1, dim=1):
        if up:
            spread = torch.zeros(*channel.shape[:2], *(2 * s for s in channel.shape[2:]))
            spread = spread.to(x)
            spread[..., ::2, ::2] = channel
            maps.append(F.conv2d(F.pad(spread, (2, 1, 2, 1)), 4 * kernel))
        else:
            maps.append(F.conv2d(F.pad(channel, (1, 1, 1, 1)), kernel)[..., ::2, ::2])
    return torch.cat(maps, dim=1)


def block(x, layers):
    first, _, bias1, second, _, bias2, third = layers

    def activate(h, bias):
        return F.leaky_relu(h + bias.bias[None, :, None, None], 0.2)

    h = activate(torch.einsum("nchw,oc->nohw", x, first.weight[:, :, 0, 0]), bias1)
    per_group = h.shape[1] // second.groups
    parts = [
        F.conv2d(part, weight, padding=1)
        for part, weight in zip(
            h.split(per_group, dim=1), second.weight.split(per_group), strict=True
        )
    ]
    h = activate(torch.cat(parts, dim=1), bias2)
    return x + torch.einsum("nchw,oc->nohw", h, third.weight[:, :, 0, 0])


# The networks.


def test_a_generator_restated():
    generator = randomize(R3GANGenerator((3, 8, 8), 5, CLASSES, 16))
    z, y = torch.randn(4, 5).double(), torch.arange(4) % CLASSES
    latent = torch.cat([z, F.one_hot(y, CLASSES).double() @ generator.embed.weight], dim=1)
    x = generator.basis * (latent @ generator.scale.weight.T)[:, :, None, None]
    for each in generator.stages[0]:
        x = block(x, each.layers)
    x = smoothed(x, up=True)
    for each in generator.stages[1]:
        x = block(x, each.layers)
    image = torch.einsum("nchw,oc->nohw", x, generator.to_rgb.weight[:, :, 0, 0])
    torch.testing.assert_close(generator(z, y), image)


def test_a_critic_restated():
    features = randomize(R3GANFeatures((3, 8, 8), 16))
    head = randomize(EmbeddedLabelHead(16, CLASSES))
    x, y = torch.randn(4, 3, 8, 8).double(), torch.arange(4) % CLASSES
    h = torch.einsum("nchw,oc->nohw", x, features.from_rgb.weight[:, :, 0, 0])
    for each in features.stages[0]:
        h = block(h, each.layers)
    h = smoothed(h, up=False)
    for each in features.stages[1]:
        h = block(h, each.layers)
    h = (h * features.basis.weight[:, 0]).sum(dim=(2, 3))
    torch.testing.assert_close(features(x), h)
    scores = ((h @ head.linear.weight.T) * head.projection.weight[y]).sum(dim=1)
    torch.testing.assert_close(head(h, y), scores)


def test_the_middle_of_a_block_has_groups_of_16_channels():
    assert Block(768, 8).layers[3].groups == 96
    assert Block(16, 8).layers[3].groups == 2
    assert Block(12, 8).layers[3].groups == 1  # 24 channels are no whole number of groups


def test_blocks_start_as_the_identity_and_small():
    torch.manual_seed(0)
    each = Block(64, 8)
    x = torch.randn(2, 64, 4, 4)
    assert torch.equal(each(x), x)
    gain = GAIN * 8 ** (-1 / 4)
    assert round(GAIN, 4) == 1.3868
    assert each.layers[0].weight.std().item() == pytest.approx(gain / 8, rel=0.05)
    assert each.layers[3].weight.std().item() == pytest.approx(gain / 12, rel=0.05)


def test_a_conditional_start_has_the_variance_of_the_authors_layers():
    torch.manual_seed(0)
    generator = R3GANGenerator((3, 8, 8), 256, 10, 64)
    # What one-hot labels become: a linear layer of 10 inputs.
    assert generator.embed.weight.std().item() == pytest.approx(10**-0.5, rel=0.1)
    head = EmbeddedLabelHead(256, 10)
    assert head.projection.weight.std().item() == pytest.approx((10 * 256) ** -0.5, rel=0.1)


@pytest.mark.parametrize("size", [8, 9, 28, 32, 33])
def test_sizes_match(size):
    x = torch.randn(2, 1, size, size)
    generator = R3GANGenerator((1, size, size), 4, 0, 16)
    assert generator(torch.randn(2, 4)).shape == x.shape
    assert R3GANFeatures((1, size, size), 16)(x).shape == (2, 16)


# The loss.


def test_a_constant_added_to_all_scores_changes_nothing_and_equal_ones_give_log_2():
    model = tiny("r3gan")
    real, fake = torch.randn(2, 16, dtype=torch.float64)
    for loss in (model.critic_loss, model.generator_loss):
        assert loss(real + 7, fake + 7).item() == pytest.approx(loss(real, fake).item())
        assert loss(real, real).item() == pytest.approx(math.log(2))


def test_the_penalties_of_a_linear_critic_are_gamma_times_its_squared_slope():
    model = tiny("r3gan", gamma=0.3)
    a = torch.tensor([2.0, -1.0])
    model.critic.forward = lambda x, y: x @ a
    value, terms = model.penalties(torch.randn(6, 2), None, torch.randn(6, 2))
    assert value.item() == pytest.approx(0.3 * 5)
    assert terms["r1"].item() == terms["r2"].item() == pytest.approx(5)


@pytest.mark.parametrize("num_classes", [0, CLASSES])
def test_both_penalties_in_one_pass_are_those_of_two(num_classes):
    model = tiny("r3gan", IMAGE, num_classes, gamma=0.7).double()
    randomize(model.critic)
    x, y = samples(IMAGE, 6)
    x, y = x.double(), y if num_classes else None
    fake = torch.rand(6, *IMAGE, dtype=torch.float64)
    value, _ = model.penalties(x, y, fake)
    r1, r2 = (squared_gradient_norms(model.score, each, y).mean() for each in (x, fake))
    assert value.item() == pytest.approx(0.35 * (r1 + r2).item(), rel=1e-6)
    model._mixes_samples = True  # as a critic that compares the samples of a batch
    apart, _ = model.penalties(x, y, fake)
    assert apart.item() == pytest.approx(value.item(), rel=1e-6)


def test_the_generator_is_compared_with_real_samples_of_its_labels():
    model = tiny("r3gan", IMAGE, CLASSES, generator_batch=2)
    seen = []
    model.critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    x, y = samples(IMAGE, 4)
    model.generator_objective(x, y.repeat(2), model.draw_latents(8))
    ((shown, labels),) = seen
    assert torch.equal(shown[:8], torch.cat([x, x]))
    assert torch.equal(labels[:8], labels[8:])


def test_without_a_weight_there_are_no_penalties():
    assert tiny("r3gan", gamma=0.0, last_gamma=0.0).critic_regularizers() == []
    with pytest.raises(ValueError, match="critic_norm must be none or layer"):
        tiny("r3gan", IMAGE, critic_norm="batch")


# Schedules.


def test_everything_moves_along_half_a_cosine_with_the_images():
    model = tiny(
        "r3gan",
        IMAGE,
        schedule_images=1000,
        ema_half_life=800,
        critic_lr=0.4,
        generator_lr=0.2,
        augment="ada",
    )
    optimizers, _ = model.configure_optimizers()
    half = {"rate": 0.625, "beta2": 0.945, "gamma": 0.0275, "p": 0.275, "life": 400}
    first = {"rate": 1, "beta2": 0.9, "gamma": 0.05, "p": 0, "life": 0}
    last = {"rate": 0.25, "beta2": 0.99, "gamma": 0.005, "p": 0.55, "life": 800}
    for images, expected in ((0, first), (500, half), (1000, last), (5000, last)):
        model.images = images
        model.begin_update(10, optimizers)
        for optimizer, lr in zip(optimizers, (0.4, 0.2), strict=True):
            (group,) = optimizer.param_groups
            assert group["lr"] == pytest.approx(lr * expected["rate"])
            assert group["betas"] == (0, pytest.approx(expected["beta2"]))
        assert model.present_gamma.item() == pytest.approx(expected["gamma"])
        assert model.augmentation.p.item() == pytest.approx(expected["p"])
        decay = 0.5 ** (images / 10 / expected["life"]) if expected["life"] else 0
        assert model.average_decay(10) == pytest.approx(decay)
        assert model.present_decay.item() == pytest.approx(decay)


def test_a_run_without_a_schedule_has_the_last_values():
    model = tiny("r3gan", schedule_images=0)
    model.begin_update(0, model.configure_optimizers()[0])
    assert model.present_gamma.item() == pytest.approx(0.005)
    assert model.scheduled(1, 3) == 3


def test_another_decay_of_the_rates_replaces_the_schedule():
    model = tiny("r3gan", schedule_images=80, decay_steps=4, critic_lr=0.1)
    trainer = train(model, fixed_points(), 2)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.05)
    assert trainer.optimizers[0].param_groups[0]["betas"][1] > 0.9


def fixed_points():
    return torch.utils.data.DataLoader(samples(VECTOR, 40)[0], 10)


def test_ada_is_set_by_the_schedule_and_has_cutout_and_half_the_colours():
    model = tiny("r3gan", IMAGE, augment="ada")
    assert isinstance(model.augmentation, ADA)
    assert (model.augmentation.colour, model.augmentation.cutout) == (0.5, 1)
    before = model.augmentation.p.clone()
    model.augmentation.adapt(torch.ones(4))
    assert torch.equal(model.augmentation.p, before)
    assert tiny("r3gan", IMAGE, augment="cutout").augmentation.operations == ("cutout",)
    with pytest.raises(ArgumentError, match="augment is for images"):
        tiny("r3gan", VECTOR, augment="ada")
    with pytest.raises(ArgumentError, match="compares scores already"):
        tiny("r3gan", relativistic="pairs")


def test_a_resumed_run_continues_its_schedules(tmp_path):
    def run(max_steps, ckpt_path=None):
        torch.manual_seed(0)
        model = tiny("r3gan", IMAGE, schedule_images=30, ema_half_life=50, augment="ada")
        return train(model, fixed(1), max_steps, ckpt_path=ckpt_path)

    whole = run(6)
    run(3).save_checkpoint(tmp_path / "3.ckpt")
    resumed = run(6, tmp_path / "3.ckpt")
    assert differences(state(whole.lightning_module), state(resumed.lightning_module)) == []
    for one, other in zip(whole.optimizers, resumed.optimizers, strict=True):
        assert differences(one.state_dict(), other.state_dict()) == []
    assert whole.optimizers[0].param_groups[0]["betas"][1] == pytest.approx(0.9675)
    assert isinstance(load(tmp_path / "3.ckpt"), R3GAN)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"last_beta2": 1.0}, "last_beta2 must be in"),
        ({"last_p": 1.5}, "last_p must be in"),
        ({"gamma": -1.0}, "gamma must be at least 0"),
        ({"schedule_images": -1}, "schedule_images must be at least 0"),
    ],
)
def test_values_out_of_range_are_told(options, said):
    with pytest.raises(ValueError, match=said):
        tiny("r3gan", **options)
