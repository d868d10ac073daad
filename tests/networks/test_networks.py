"""The families of networks at every size, and the parts they are made of."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan_lightning.networks import (
    autoencoder_networks,
    dcgan_networks,
    mlp_networks,
    resnet_networks,
    spectral_normalize,
)
from gan_lightning.networks.attention import SelfAttention2d
from gan_lightning.networks.conditioning import ConditionalBatchNorm2d, append_label
from gan_lightning.networks.resnet import DownBlock, FirstDownBlock, ResNetCritic, UpBlock
from gan_lightning.networks.sizes import halvings

BOUNDED = {
    "dcgan": dcgan_networks,
    "dcgan without norm": partial(dcgan_networks, batch_norm=False),
    "resnet": resnet_networks,
    "resnet with attention": partial(resnet_networks, taper=True, attention=True),
}
CONDITIONAL = BOUNDED | {"mlp": mlp_networks}


def autoencoder_without_classes(shape, latent_dim, num_classes, generator_width, critic_width):
    assert num_classes == 0
    return autoencoder_networks(shape, latent_dim, generator_width, critic_width)


FAMILIES = CONDITIONAL | {"autoencoder": autoencoder_without_classes}
SIZES = (8, 9, 13, 28, 32, 33, 64, 100, 128)
LATENT, CLASSES = 4, 3
CASES = [
    (family, shape, num_classes)
    for family in FAMILIES
    for shape in ([(2,)] if family == "mlp" else [(c, n, n) for n in SIZES for c in (1, 3)])
    for num_classes in ((0,) if family == "autoencoder" else (0, CLASSES))
]
SMALL = {family: (2,) if family == "mlp" else (1, 8, 8) for family in FAMILIES}


def build(family, shape, num_classes=0):
    # Attention takes an eighth of the channels, so 8 is the least.
    return FAMILIES[family](shape, LATENT, num_classes, 8, 8)


def randomize(network, std=0.3):
    """Leave the initialisation, where labels and attention may do nothing yet."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=std)
    return network


def labels(num_classes, n):
    return torch.arange(n) % num_classes if num_classes else None


# The families.


@pytest.mark.parametrize(("family", "shape", "num_classes"), CASES)
def test_shapes_fit_and_every_entry_of_a_sample_counts(family, shape, num_classes):
    generator, critic = build(family, shape, num_classes)
    y = labels(num_classes, 4)
    x = generator(torch.randn(4, LATENT), y)
    assert x.shape == (4, *shape)
    assert x.dtype == torch.float32
    assert (x.std(dim=0) > 0).all()

    # A stride that leaves out the last row would leave it without a gradient.
    x = torch.randn(4, *shape, requires_grad=True)
    score = critic(x, y)
    assert score.shape == (4,)
    score.square().sum().backward()
    assert (x.grad.abs().amax(dim=0) > 0).all()


@pytest.mark.parametrize("family", BOUNDED)
def test_images_end_in_tanh(family):
    generator = randomize(build(family, (3, 8, 8))[0], std=10)
    with torch.no_grad():
        assert generator(torch.randn(4, LATENT)).abs().max() == 1


@pytest.mark.parametrize(("family", "shape"), [("autoencoder", (1, 8, 8)), ("dcgan", (2,))])
def test_other_samples_are_not_bounded(family, shape):
    generator = randomize(build(family, shape)[0], std=10)
    assert generator(torch.randn(4, LATENT)).abs().max() > 1


@pytest.mark.parametrize("family", CONDITIONAL)
def test_the_label_changes_what_both_networks_say(family):
    shape = SMALL[family]
    generator, critic = (randomize(n).eval() for n in build(family, shape, CLASSES))
    z, x = torch.randn(1, LATENT).expand(3, -1), torch.randn(1, *shape).expand(3, *shape)
    y = torch.tensor([0, 1, 1])
    for output in (generator(z, y), critic(x, y)):
        assert not torch.allclose(output[0], output[1], atol=1e-3)
        torch.testing.assert_close(output[1], output[2])


@pytest.mark.parametrize(("family", "shape"), SMALL.items())
def test_samples_do_not_mix_in_eval_mode(family, shape):
    generator, critic = (randomize(n).eval() for n in build(family, shape))
    z, x = torch.randn(3, LATENT), torch.randn(3, *shape)
    torch.testing.assert_close(generator(z)[:1], generator(z[:1]))
    torch.testing.assert_close(critic(x)[:1], critic(x[:1]))


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "mlp"])
def test_vectors_get_perceptrons(family):
    for network in build(family, (5,)):
        kinds = {type(m) for m in network.modules() if not list(m.children())}
        assert kinds <= {nn.Linear, nn.ReLU, nn.LeakyReLU, nn.ELU}
        assert nn.Linear in kinds


@pytest.mark.parametrize("shape", [(1, 8, 8), (2,)])
def test_the_autoencoders_score_is_the_mean_absolute_error(shape):
    _, critic = build("autoencoder", shape)
    out = critic.out if len(shape) == 1 else critic.decoder.out
    nn.init.zeros_(out.weight)
    nn.init.constant_(out.bias, 0.5)
    x = torch.randn(4, *shape)
    expected = torch.stack([sum(abs(v - 0.5) for v in s.flatten()) / s.numel() for s in x])
    torch.testing.assert_close(critic(x), expected)


# The papers' networks.


def channels(network, kind):
    layers = [m for m in network.modules() if isinstance(m, kind) and m.kernel_size != (1, 1)]
    return [(m.in_channels, m.out_channels) for m in layers]


def test_dcgan_at_64_pixels_has_the_papers_channels():
    with torch.device("meta"):
        generator, critic = dcgan_networks((3, 64, 64), 100, 0, 128, 64)
    up, down = channels(generator, nn.ConvTranspose2d), channels(critic, nn.Conv2d)
    assert up == [(1024, 512), (512, 256), (256, 128), (128, 3)]
    assert down == [(3, 64), (64, 128), (128, 256), (256, 512)]
    assert generator.project[0].out_features == 1024 * 4 * 4
    norms = [m.num_features for m in critic.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == [128, 256, 512]
    # An activation a map, and a leaky one in the critic.
    assert [m.negative_slope for m in critic.modules() if isinstance(m, nn.LeakyReLU)] == [0.2] * 4
    assert sum(isinstance(m, nn.ReLU) for m in generator.modules()) == 4


def test_dcgans_critic_can_do_without_batch_norm():
    generator, critic = build("dcgan without norm", (1, 8, 8))
    assert not [m for m in critic.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(m.bias is not None for m in critic.modules() if isinstance(m, nn.Conv2d))
    assert [m for m in generator.modules() if isinstance(m, nn.BatchNorm2d)]


def test_resnet_at_32_pixels_has_sngans_channels():
    with torch.device("meta"):
        generator, critic = resnet_networks((3, 32, 32), 128, 0, 256, 128)
    assert channels(generator, nn.Conv2d) == [(256, 256)] * 6 + [(256, 3)]
    assert channels(critic, nn.Conv2d) == [(3, 128)] + [(128, 128)] * 7
    assert [b.downsample for b in critic.blocks[1:]] == [True, False, False]
    assert [b.size for b in generator.blocks] == [8, 16, 32]


def test_resnet_tapers_by_powers_of_two():
    with torch.device("meta"):
        generator, critic = build("resnet with attention", (3, 128, 128))
    assert [b.conv1.out_channels for b in generator.blocks] == [128, 64, 32, 16, 8]
    assert [b.conv1.out_channels for b in critic.blocks] == [8, 16, 32, 64, 64, 64]


def test_the_autoencoder_adds_channels_at_each_halving():
    with torch.device("meta"):
        generator, critic = autoencoder_networks((3, 32, 32), 64, 64, 64)
    encoder = [(3, 64), (64, 64), (64, 64), (64, 128), (128, 128), (128, 128), (128, 192)]
    decoder = [(64, 64)] * 6 + [(64, 3)]
    assert channels(generator, nn.Conv2d) == decoder
    assert channels(critic, nn.Conv2d) == [*encoder, (192, 192), (192, 192), *decoder]


@pytest.mark.parametrize(
    ("size", "generator_map", "critic_map"),
    [(8, 8, 4), (28, 14, 14), (32, 16, 16), (64, 32, 32), (100, 25, 25), (128, 32, 32)],
)
def test_attention_follows_the_largest_hidden_map_of_at_most_32(size, generator_map, critic_map):
    seen = []
    generator, critic = build("resnet with attention", (1, size, size))
    for network in (generator, critic):
        network.attention.register_forward_hook(lambda m, args, out: seen.append(out.shape[-1]))
    critic(generator(torch.randn(2, LATENT)))
    assert seen == [generator_map, critic_map]


def test_dcgan_starts_from_the_papers_normal_distributions():
    for network in dcgan_networks((3, 32, 32), 100, 10, 32, 32):
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                # Few values each: five standard errors.
                error = 5 * 0.02 / math.sqrt(module.num_features)
                assert module.weight.mean().item() == pytest.approx(1, abs=error)
                assert module.weight.std().item() == pytest.approx(0.02, abs=error)
            elif getattr(module, "weight", None) is not None:
                error = 5 * 0.02 / math.sqrt(module.weight.numel())
                assert module.weight.mean().item() == pytest.approx(0, abs=error)
                assert module.weight.std().item() == pytest.approx(0.02, abs=error)
            if getattr(module, "bias", None) is not None:
                assert not module.bias.any()


def assert_starts_from_glorots_bounds(network, gained=()):
    """``gained`` are layers with a gain of sqrt(2)."""
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert layers
    for layer in layers:
        outputs, inputs, *kernel = layer.weight.shape
        bound = math.sqrt(6 / ((inputs + outputs) * math.prod(kernel)))
        bound *= math.sqrt(2) if layer in gained else 1
        # The largest of many uniform values is just below the bound.
        assert 0.75 * bound < layer.weight.abs().max() <= bound
        assert layer.bias is None or not layer.bias.any()


def test_resnet_starts_from_glorots_bounds_with_a_gain_on_the_residual_branches():
    for network in resnet_networks((3, 16, 16), 32, CLASSES, 16, 16):
        gained = set()
        for block in network.modules():
            if isinstance(block, UpBlock | DownBlock | FirstDownBlock):
                gained |= {block.conv1, block.conv2}
        assert gained
        assert_starts_from_glorots_bounds(network, gained)
        if isinstance(network, ResNetCritic):
            weight = network.head.projection.weight
            bound = math.sqrt(6 / sum(weight.shape))
            assert 0.75 * bound < weight.abs().max() <= bound


def test_the_autoencoder_starts_from_glorots_bounds_and_hears_its_latents():
    generator, critic = autoencoder_networks((1, 8, 8), 16, 16, 8)
    assert_starts_from_glorots_bounds(generator)
    assert_starts_from_glorots_bounds(critic)
    with torch.no_grad():
        x = generator(torch.rand(256, 16) * 2 - 1)
    # PyTorch's own initialisation gives 0.045, Glorot's 0.10 to 0.12.
    assert x.std(dim=0).mean() > 0.07


def halve(x):
    """The mean of each 2 by 2 window, of what there is of it at an odd edge."""
    rows = [x[:, :, i : i + 2] for i in range(0, x.shape[2], 2)]
    windows = [[row[..., j : j + 2] for j in range(0, x.shape[3], 2)] for row in rows]
    return torch.stack(
        [torch.stack([w.mean(dim=(2, 3)) for w in row], dim=2) for row in windows], dim=2
    )


@pytest.mark.parametrize("size", [6, 7])
def test_blocks_of_the_residual_critic_equal_the_papers(size):
    x = torch.randn(2, 3, size, size)
    first = FirstDownBlock(3, 4)
    residual = first.conv2(F.relu(first.conv1(x)))
    torch.testing.assert_close(first(x), halve(residual + first.shortcut(x)))
    down = DownBlock(3, 4, downsample=True)
    residual = down.conv2(F.relu(down.conv1(F.relu(x))))
    torch.testing.assert_close(down(x), halve(residual + down.shortcut(x)))
    keep = DownBlock(3, 3, downsample=False)
    torch.testing.assert_close(keep(x), keep.conv2(F.relu(keep.conv1(F.relu(x)))) + x)


def test_the_block_of_the_residual_generator_equals_the_papers():
    block = UpBlock(3, 4, 8, CLASSES)
    x, y = torch.randn(3, 3, 4, 4), torch.arange(3)
    randomize(block)

    def twice(x):
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    h = block.conv1(twice(F.relu(block.norm1(x, y))))
    h = block.conv2(F.relu(block.norm2(h, y)))
    torch.testing.assert_close(block(x, y), h + block.shortcut(twice(x)))


def test_the_residual_critic_sums_its_last_map():
    _, critic = build("resnet", (1, 9, 9))
    x = torch.randn(3, 1, 9, 9)
    h = x
    for block in critic.blocks:
        h = block(h)
    expected = critic.head.linear(h.clamp(min=0).sum(dim=3).sum(dim=2)).squeeze(1)
    torch.testing.assert_close(critic(x), expected)


# Sizes.


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((32, 4), [32, 16, 8, 4]),
        ((28, 4), [28, 14, 7]),
        ((13, 4), [13, 7]),
        ((15, 8), [15]),
        ((16, 8), [16, 8]),
        ((100, 8), [100, 50, 25, 13]),
        ((8, 4, 2), [8, 4, 2]),
        ((9, 4, 2), [9, 5, 3]),
        ((8, 8, 1), [8, 4]),
    ],
)
def test_halvings(arguments, expected):
    assert halvings(*arguments) == expected


# Labels.


def test_the_label_is_appended_as_one_hot():
    z = torch.randn(2, 3)
    expected = torch.cat([z, torch.tensor([[0.0, 0, 1], [1, 0, 0]])], dim=1)
    assert torch.equal(append_label(z, torch.tensor([2, 0]), 3), expected)
    assert append_label(z, None, 3) is z
    assert append_label(z, torch.tensor([2, 0]), 0) is z


def test_the_score_head_adds_the_projection_of_its_label():
    head = build("mlp", (2,), CLASSES)[1].head
    h, y = torch.randn(4, 8), torch.tensor([0, 2, 1, 2])
    expected = [
        head.linear.weight[0] @ h[i] + head.linear.bias[0] + head.projection.weight[y[i]] @ h[i]
        for i in range(4)
    ]
    torch.testing.assert_close(head(h, y), torch.stack(expected))


def test_conditional_batch_norm_scales_and_shifts_by_the_label():
    norm = ConditionalBatchNorm2d(2, CLASSES)
    x, y = torch.randn(6, 2, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    plain = F.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(norm(x, y), plain)
    randomize(norm)
    out = norm(x, y)
    for i in range(6):
        for c in range(2):
            scale, shift = norm.scale.weight[y[i], c], norm.shift.weight[y[i], c]
            torch.testing.assert_close(out[i, c], plain[i, c] * scale + shift)


# Attention.


@pytest.fixture(params=[4, 5], ids=["even map", "odd map"])
def attention_and_input(request):
    return SelfAttention2d(16), torch.randn(2, 16, request.param, request.param)


def test_attention_is_the_identity_at_first(attention_and_input):
    attention, x = attention_and_input
    assert torch.equal(attention(x), x)


def test_each_position_spreads_a_weight_of_one(attention_and_input):
    attention, x = attention_and_input
    weights = attention.attention_map(x)
    # Keys of an even map are pooled to a quarter of the positions.
    assert weights.shape == (2, x[0, 0].numel(), 4 if x.shape[2] == 4 else 25)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(weights.shape[:2]))


def test_attention_equals_a_plain_restatement(attention_and_input):
    attention, x = attention_and_input
    nn.init.constant_(attention.gamma, 0.7)
    query, key, value, out = (
        getattr(attention, name).weight[:, :, 0, 0] for name in ("query", "key", "value", "out")
    )
    n = x.shape[2]
    step = 2 if n % 2 == 0 else 1

    def pooled(image, matrix):
        """The largest entry of each ``step`` by ``step`` window of projected positions."""
        projected = torch.einsum("oc,chw->ohw", matrix, image)
        return [
            projected[:, i : i + step, j : j + step].amax(dim=(1, 2))
            for i in range(0, n, step)
            for j in range(0, n, step)
        ]

    expected = x.clone()
    for sample in range(len(x)):
        keys, values = pooled(x[sample], key), pooled(x[sample], value)
        for i in range(n):
            for j in range(n):
                similarities = torch.stack([k @ (query @ x[sample, :, i, j]) for k in keys])
                weights = similarities.exp() / similarities.exp().sum()
                attended = sum(w * v for w, v in zip(weights, values, strict=True))
                expected[sample, :, i, j] += 0.7 * (out @ attended)
    torch.testing.assert_close(attention(x), expected)


# Spectral normalisation.

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def singular_values(network):
    """The largest of every matrix, by name; a transposed convolution's has its inputs second."""
    values = {}
    for name, module in network.named_modules():
        if isinstance(module, (*CONVOLUTIONS, nn.Linear, nn.Embedding)):
            weight = module.weight.detach()
            if isinstance(module, nn.ConvTranspose2d):
                weight = weight.transpose(0, 1)
            values[name] = torch.linalg.matrix_norm(weight.flatten(1), 2).item()
    return values


@pytest.mark.parametrize("family", CONDITIONAL)
def test_every_matrix_has_norm_one_after_some_passes(family):
    shape = SMALL[family]
    arguments = torch.randn(2, LATENT), torch.randn(2, *shape)
    for network, argument in zip(build(family, shape, CLASSES), arguments, strict=True):
        before = singular_values(randomize(network, std=2))
        spectral_normalize(network)
        with torch.no_grad():
            for _ in range(50):
                network(argument, labels(CLASSES, 2))
        after = singular_values(network.eval())
        assert after.keys() == before.keys()
        assert all(abs(value - 1) > 0.05 for value in before.values())
        for name, value in after.items():
            assert value == pytest.approx(1, rel=0.01), name


def test_embeddings_can_be_left_as_they_are():
    generator, _ = build("resnet", (1, 8, 8), CLASSES)
    spectral_normalize(generator, embeddings=False)
    for module in generator.modules():
        if isinstance(module, nn.Embedding):
            assert not nn.utils.parametrize.is_parametrized(module)
        elif isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            assert nn.utils.parametrize.is_parametrized(module, "weight")


def test_power_iteration_runs_in_train_mode_only():
    _, critic = build("resnet", (1, 8, 8))
    critic, x = spectral_normalize(critic), torch.randn(2, 1, 8, 8)
    vectors = critic.head.linear.parametrizations.weight[0]
    with torch.no_grad():
        # Out of the iteration's fixed point, where passes change nothing.
        critic.head.linear.parametrizations.weight.original.normal_()
        critic.eval()
        before = vectors._v.clone()
        assert torch.equal(critic(x), critic(x))
        assert torch.equal(vectors._v, before)
        critic.train()(x)
        assert not torch.equal(vectors._v, before)
