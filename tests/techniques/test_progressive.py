"""Progressive growing: levels, fades, the schedule, and the authors' networks and losses."""

import math
import re

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from helpers import CLASSES, IMAGE, VECTOR, batches, differences, fixed, samples, state, tiny, train
from torch import nn

from gan_lightning import load
from gan_lightning.networks.progressive import ProgressiveNetwork

SIZES = {8: [4, 8], 28: [7, 14, 28], 32: [4, 8, 16, 32], 33: [5, 9, 17, 33]}
INDEX = {part: re.compile(rf"{part}\.(\d+)\.") for part in ("_image", "blocks")}
HE = math.sqrt(2)
every_size = pytest.mark.parametrize("size", SIZES)


def grown(shape=IMAGE, num_classes=0, **options):
    """With random biases, which start at 0, so that none can be left out unseen."""
    torch.manual_seed(0)
    model = tiny("progressive", shape, num_classes, **options)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return model


def growing(model):
    return [module for module in model.modules() if isinstance(module, ProgressiveNetwork)]


def at(model, level, alpha=1.0):
    """The model at a level, whose layers are faded in by ``alpha``."""
    model.set_level(level)
    for network in growing(model):
        network.alpha.fill_(alpha)
    return model


def blocks(x, sizes):
    """Images with the mean of each block of pixels that is one pixel at the first of the sizes."""
    for size in reversed(sizes[:-1]):
        pixel = torch.arange(x.shape[-1])
        x = torch.stack([x[:, :, pixel // 2 == i].mean(2) for i in range(size)], dim=2)
        x = torch.stack([x[..., pixel // 2 == i].mean(3) for i in range(size)], dim=3)
    for size in sizes[1:]:
        pixel = torch.arange(size) // 2
        x = x[:, :, pixel][..., pixel]
    return x


# Levels and fades.


@every_size
@pytest.mark.parametrize(("alpha", "step"), [(0.0, -1), (1.0, 1)])
def test_a_fade_starts_at_the_level_before_and_ends_at_the_one_after(size, alpha, step):
    model = grown((2, size, size), CLASSES)
    z, x, y = torch.randn(4, 4), samples((2, size, size), 4)[0], torch.arange(4) % CLASSES
    calls = (
        lambda: model.generator(z, y),
        lambda: model.critic(x, y),
        lambda: model.prepare(x),
        lambda: model.sample(z=z, y=y),
    )
    for level in range(1, 2 * len(SIZES[size]) - 1, 2):
        at(model, level, alpha)
        fading = [call() for call in calls]
        at(model, level, 0.5)
        assert not any(torch.allclose(a, call()) for a, call in zip(fading, calls, strict=True))
        at(model, level + step)
        torch.testing.assert_close(fading, [call() for call in calls])


@every_size
def test_the_last_level_is_the_whole_network(size):
    model, z, x = grown((1, size, size)), torch.randn(4, 4), samples((1, size, size), 4)[0]
    outputs = [
        (at(model, level).generator(z), model.critic(x), model.prepare(x))
        for level in (-1, 2 * len(SIZES[size]) - 2)
    ]
    assert differences(*outputs) == []
    assert torch.equal(outputs[0][2], x)


@every_size
def test_samples_are_of_full_size_and_have_the_detail_of_their_level(size):
    model, sizes = grown((1, size, size)), SIZES[size]
    x, _ = samples((1, size, size), 4)
    assert growing(model)[0].sizes == sizes
    for stage in range(len(sizes)):
        for level in {2 * stage, max(0, 2 * stage - 1)}:
            at(model, level, 0.5)
            assert model.sample(4).shape == (4, 1, size, size)
            shown = model.generator(torch.randn(4, 4))
            # Only as many pixels are different from each other.
            torch.testing.assert_close(blocks(shown, sizes[stage:]), shown)
            if stage:
                assert not torch.allclose(blocks(shown, sizes[stage - 1 :]), shown)
            # A critic sees no more of real ones either.
            coarse = blocks(x, sizes[stage:])
            torch.testing.assert_close(model.critic(x), model.critic(coarse))
            assert {network.sizes[network.stage] for network in growing(model)} == {sizes[stage]}


@every_size
def test_real_images_are_faded_as_generated_ones_are(size):
    model, sizes, (x, _) = grown((1, size, size)), SIZES[size], samples((1, size, size), 4)
    for stage in range(1, len(sizes)):
        old, new = blocks(x, sizes[stage - 1 :]), blocks(x, sizes[stage:])
        torch.testing.assert_close(at(model, 2 * stage).prepare(x), new)
        faded = at(model, 2 * stage - 1, 0.25).prepare(x)
        torch.testing.assert_close(faded, 0.75 * old + 0.25 * new)


def test_noise_that_dequantizes_is_not_averaged_away():
    model = at(grown(dequantize=True), 0)
    noise = model.prepare(torch.zeros(100, *IMAGE))
    assert noise.abs().max() > 0.99 / 255
    assert len(noise.unique()) > 6000


@every_size
def test_only_the_layers_of_a_level_have_gradients(size):
    model, (x, _) = grown((1, size, size)), samples((1, size, size), 4)
    last = len(SIZES[size]) - 1
    for level in range(2 * last + 1):
        at(model, level, 0.5)
        stage = (level + 1) // 2
        shown = {stage, stage - 1} if level % 2 else {stage}
        for network, objective in (
            (model.generator, model.generator_objective),
            (model.critic, model.critic_objective),
        ):
            model.zero_grad()
            objective(x, None, model.draw_latents(4))[0].backward()
            trained = {name for name, p in network.named_parameters() if p.grad is not None}
            # Layers at an image's size, and those that change the size.
            for part, expected in (("_image", shown), ("blocks", set(range(stage)))):
                assert {int(n) for name in trained for n in INDEX[part].findall(name)} == expected


# The schedule.

#: (real images, level, alpha) at 32 pixels, from the equations of the authors' code: the level of
#: detail is 3 - i - max(0, n - 600,000 (2 i + 1)) / 600,000 with i = n // 1,200,000, at least 0.
SCHEDULE = [
    (0, 0, 1.0),
    (600_000, 0, 1.0),
    (600_001, 1, 1 / 600_000),
    (900_000, 1, 0.5),
    (1_199_999, 1, 1 - 1 / 600_000),
    (1_200_000, 2, 1.0),
    (1_800_000, 2, 1.0),
    (2_250_000, 3, 0.75),
    (2_400_000, 4, 1.0),
    (3_000_000, 4, 1.0),
    (3_150_000, 5, 0.25),
    (3_600_000, 6, 1.0),
    (12_000_000, 6, 1.0),
]


@pytest.mark.parametrize(("images", "level", "alpha"), SCHEDULE)
def test_the_schedule_is_that_of_the_authors(images, level, alpha):
    model = tiny("progressive", (3, 32, 32))
    assert model.schedule(images) == (level, pytest.approx(alpha, abs=1e-12))
    size = images // 1_200_000
    detail = max(0, 3 - size - max(0, images - 600_000 * (2 * size + 1)) / 600_000)
    assert math.floor(detail) == 3 - (level + 1) // 2
    assert detail - math.floor(detail) == pytest.approx((1 - alpha) if level % 2 else 0)


def test_without_phases_the_networks_are_whole_from_the_start():
    model = tiny("progressive", IMAGE, phase_images=0)
    assert (model.schedule(0), model.level) == ((2, 1.0), 2)


def run(steps, ckpt_path=None, **options):
    """Four real images an update: level 0 up to 12 of them, a fade from then on, 2 at 24."""
    torch.manual_seed(0)
    model = tiny("progressive", IMAGE, phase_images=12, ema_decay=0.9, **options)
    return model, train(model, fixed(1), steps, ckpt_path=ckpt_path, log_every_n_steps=1)


class Watch(pl.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, model, *_):
        steps = {
            optimizer.state[parameter]["step"].item()
            for optimizer, parameter in zip(
                trainer.optimizers,
                (model.critic.head.linear.weight, model.generator.project.weight),
                strict=True,
            )
        }
        alphas = {network.alpha.item() for network in growing(model)}
        logged = [trainer.callback_metrics[name].item() for name in ("resolution", "images")]
        assert alphas == {trainer.callback_metrics["alpha"].item()}
        self.seen.append((model.level, *alphas, *steps, *logged))


def test_layers_fade_in_and_moments_are_reset_twice_per_size():
    watch = Watch()
    torch.manual_seed(0)
    model = tiny("progressive", IMAGE, phase_images=12, ema_decay=0.9)
    train(model, fixed(1), 9, callbacks=watch, log_every_n_steps=1)
    assert len(growing(model)) == 3  # the average too
    # The level, alpha, the steps since moments were reset, the size, and the images shown.
    assert watch.seen == [
        *((0, 1.0, i, 4.0, 4.0 * i) for i in (1, 2, 3, 4)),
        (1, pytest.approx(1 / 3), 1, 8.0, 20.0),
        (1, pytest.approx(2 / 3), 2, 8.0, 24.0),
        *((2, 1.0, i, 8.0, 24.0 + 4 * i) for i in (1, 2, 3)),
    ]


@pytest.mark.parametrize("stop", [4, 5, 6])
def test_training_resumes_exactly_also_in_a_fade(stop, tmp_path):
    whole, _ = run(8)
    stopped, trainer = run(stop)
    trainer.save_checkpoint(tmp_path / "some.ckpt")
    resumed, _ = run(8, tmp_path / "some.ckpt")
    assert differences(state(whole), state(resumed)) == []

    loaded = load(tmp_path / "some.ckpt")
    assert (loaded.level, loaded.images) == (stopped.level, 4 * stop) == ((stop > 4), 4 * stop)
    z = torch.randn(4, 4)
    assert torch.equal(loaded.sample(z=z), stopped.sample(z=z))


@pytest.mark.slow
def test_each_level_is_one_compiled_graph_whatever_its_fade():
    torch._dynamo.reset()
    model, (x, _) = grown(), samples(IMAGE, 4)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = [
        torch.compile(objective, fullgraph=True, dynamic=False, backend=backend)
        for objective in (model.critic_objective, model.generator_objective)
    ]
    z, counts = model.draw_latents(4), []
    for level, alpha in ((0, 1.0), (1, 0.25), (1, 0.5), (2, 1.0)):
        at(model, level, alpha)
        for function, plain in zip(
            compiled, (model.critic_objective, model.generator_objective), strict=True
        ):
            losses = []
            for each in (function, plain):
                torch.manual_seed(1)
                losses.append(each(x, None, z)[0])
            torch.testing.assert_close(*losses)
        counts.append(len(graphs))
    assert counts == [2, 4, 4, 6]


# The authors' losses and networks.


@pytest.mark.parametrize("target", [1.0, 750.0])
def test_the_losses_are_those_of_the_authors_code(target):
    model = grown(penalty_target=target, drift_weight=0.25, penalty_weight=3.0)
    at(model, 1, 0.5)
    x, z = samples(IMAGE, 4)[0], torch.randn(4, 4)
    torch.manual_seed(1)
    loss, terms, _ = model.critic_objective(x, None, z)

    torch.manual_seed(1)
    fake, mix = model.generator(z).detach(), torch.rand(4, 1, 1, 1)
    mixed = (mix * x + (1 - mix) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(model.critic(mixed).sum(), mixed)
    norms = gradient.square().sum((1, 2, 3)).sqrt()
    real_scores, fake_scores = model.critic(x), model.critic(fake)
    penalty = 3 / target**2 * (norms - target) ** 2
    each = fake_scores - real_scores + penalty + 0.25 * real_scores**2
    torch.testing.assert_close(loss, each.mean())
    torch.testing.assert_close(terms["gradient_norm"], norms.mean())
    torch.testing.assert_close(terms["penalty"], penalty.mean())
    torch.testing.assert_close(model.generator_objective(x, None, z)[0], -fake_scores.mean())


def test_scores_of_real_samples_alone_may_not_drift():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([10.0, 10.0])
    assert tiny("progressive").critic_loss(real, fake).item() == pytest.approx(10 - 2 + 1e-3 * 5)


def norm(x):
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def conv(x, weight, bias, gain=HE):
    """A convolution with weights scaled by the gain over the root of the number of inputs."""
    scale = gain / math.sqrt(weight[0].numel())
    return F.conv2d(x, weight * scale, bias, padding=weight.shape[-1] // 2)


def test_the_generator_has_the_layers_of_the_authors_code():
    model = grown((3, 8, 8), CLASSES, generator_width=6)
    (weights, z), y = (
        (model.generator.state_dict(), torch.randn(5, 4)),
        torch.tensor([0, 1, 2, 0, 1]),
    )
    h = norm(torch.cat([z, F.one_hot(y, CLASSES)], 1))
    matrix = weights["project.weight"][:, :, 0, 0] * HE / 4 / math.sqrt(4 + CLASSES)
    h = (h @ matrix.T).view(5, 6, 4, 4)
    h = norm(F.leaky_relu(h + weights["bias"], 0.2))
    convs = [
        (weights[f"{name}.weight"], weights[f"{name}.bias"])
        for name in ("first.2", "blocks.0.0", "blocks.0.3", "to_image.0", "to_image.1")
    ]
    h = norm(F.leaky_relu(conv(h, *convs[0]), 0.2))
    small = conv(h, *convs[3], gain=1)
    h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
    for each in convs[1:3]:
        h = norm(F.leaky_relu(conv(h, *each), 0.2))
    large = conv(h, *convs[4], gain=1)
    small = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(at(model, 2).generator(z, y), large)
    torch.testing.assert_close(at(model, 1, 0.25).generator(z, y), 0.75 * small + 0.25 * large)


def test_the_critic_has_the_layers_of_the_authors_code():
    model = grown((3, 8, 8), critic_width=6)
    weights, x = model.critic.state_dict(), samples((3, 8, 8), 8)[0]

    def layer(h, name, gain=HE):
        return conv(h, weights[f"{name}.weight"], weights[f"{name}.bias"], gain)

    def pool(h):
        return (h[..., ::2, ::2] + h[..., 1::2, ::2] + h[..., ::2, 1::2] + h[..., 1::2, 1::2]) / 4

    h = F.leaky_relu(layer(x, "features.from_image.1.0"), 0.2)
    for name in ("features.blocks.0.0", "features.blocks.0.3"):
        h = F.leaky_relu(layer(h, name), 0.2)
    large, small = pool(h), F.leaky_relu(layer(pool(x), "features.from_image.0.0"), 0.2)
    for level, alpha, h in ((2, 1.0, large), (1, 0.25, 0.75 * small + 0.25 * large)):
        # Groups of four are two apart in a batch of eight.
        groups = [h[i::2].var(0, correction=0).add(1e-8).sqrt().mean() for i in (0, 1)]
        deviation = torch.stack(groups * 4).view(8, 1, 1, 1).expand(-1, 1, 4, 4)
        h = F.leaky_relu(layer(torch.cat([h, deviation], 1), "features.last.1"), 0.2)
        for name, gain in (("features.last.5", HE), ("head.linear", 1)):
            weight = weights[f"{name}.weight"]
            h = h.flatten(1) @ (weight * gain / math.sqrt(weight.shape[1])).T
            h = h + weights[f"{name}.bias"]
            h = F.leaky_relu(h, 0.2) if gain > 1 else h[:, 0]
        torch.testing.assert_close(at(model, level, alpha).critic(x), h)


def test_maps_of_more_than_32_pixels_have_fewer_channels():
    with torch.device("meta"):
        model = tiny("progressive", (3, 128, 128), generator_width=512, critic_width=512)
    widths = [layer.in_channels for layer in model.generator.to_image]
    assert widths == [layer[0].out_channels for layer in model.critic.features.from_image]
    assert widths == [512, 512, 512, 512, 256, 128]


def test_images_are_not_bounded_but_their_samples_are():
    model = grown()
    for parameter in model.generator.parameters():
        nn.init.normal_(parameter, std=10)
    z = torch.randn(4, 4)
    assert model.generator(z).abs().max() > 1
    assert torch.equal(model.sample(z=z), model.generator(z).clamp(-1, 1))


# What is refused.


def test_networks_that_do_not_grow_are_refused():
    message = "growing needs networks that grow, such as network progressive, and the generator"
    with pytest.raises(ValueError, match=message):
        tiny("progressive", IMAGE, network="dcgan")

    class Half(type(tiny("progressive"))):
        def build_networks(self):
            generator, _ = super().build_networks()
            return generator, nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0))

    with pytest.raises(ValueError, match="and the critic does not"):
        Half(IMAGE, generator_width=8, latent_dim=4)


def test_vectors_have_no_size_to_grow():
    model = tiny("progressive", VECTOR, phase_images=10)
    assert model.schedule(15) == (-1, 1.0)
    train(model, batches(VECTOR), 3)
    assert (model.level, growing(model)) == (-1, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phase_images": -1}, "phase_images must be at least 0, got -1"),
        ({"drift_weight": -1.0}, "drift_weight must be at least 0, got -1.0"),
        ({"penalty_target": 0.0}, "penalty_target must be positive, got 0.0"),
        ({"critic_norm": "batch"}, "critic_norm must be none or layer"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny("progressive", IMAGE, **options)
