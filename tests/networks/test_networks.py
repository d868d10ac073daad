"""The network families at every size, and their parts."""

import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from helpers import MIXING
from torch import nn

from gan_lightning import TECHNIQUES
from gan_lightning.networks import FAMILIES, MLP, set_carry, spectral_normalize
from gan_lightning.networks.attention import SelfAttention2d
from gan_lightning.networks.autoencoder import Decoder, TwoConvs
from gan_lightning.networks.conditioning import ConditionalBatchNorm2d, append_label
from gan_lightning.networks.family import make_norm
from gan_lightning.networks.resnet import DownBlock, FirstDownBlock, UpBlock
from gan_lightning.networks.sizes import halvings

UNBOUNDED = ["autoencoder", "mlp_generator", "r3gan", *MIXING]
STYLED = [name for name in MIXING if name != "progressive"]
BOUNDED = [name for name in FAMILIES if name not in UNBOUNDED]
NAMES = [*FAMILIES, "mlp"]
SIZES = (8, 9, 13, 28, 32, 33, 64, 100, 128)
IMAGES = [(c, n, n) for n in SIZES for c in (1, 3)] + [(2, 32, 32), (4, 33, 33), (4, 256, 256)]
# A latent of the hierarchical BigGAN has 7 parts at 256 pixels.
LATENT, CLASSES = 7, 3
CASES = [
    (name, shape, num_classes)
    for name in NAMES
    for shape in ([(2,)] if name == "mlp" else IMAGES)
    for num_classes in (0, CLASSES)
]
SMALL = {name: (2,) if name == "mlp" else (1, 8, 8) for name in NAMES}
RESIDUAL = ["resnet", "wgan_gp_resnet", "sagan", "biggan", "biggan_flat"]


def family(name):
    return MLP if name == "mlp" else FAMILIES[name]


def build(name, shape, num_classes=0, norm="none", latent_dim=LATENT, widths=(8, 8)):
    networks = family(name)
    return (
        networks.make_generator(shape, latent_dim, num_classes, widths[0]),
        networks.make_critic(shape, num_classes, widths[1], norm),
    )


def published(name, size, latent_dim=128):
    """Both networks of a family as published for RGB images, on the meta device."""
    with torch.device("meta"):
        return build(
            name, (3, size, size), 0, latent_dim=latent_dim, widths=FAMILIES[name].widths_at(size)
        )


def randomize(network, std=0.3):
    """Replace the initial parameters, with which labels and attention may have no effect."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=std)
    return network


def labels(num_classes, n):
    return torch.arange(n) % num_classes if num_classes else None


# The families.


@pytest.mark.parametrize(("name", "shape", "num_classes"), CASES)
def test_shapes_fit_and_every_entry_of_a_sample_affects_the_score(name, shape, num_classes):
    generator, critic = build(name, shape, num_classes)
    y = labels(num_classes, 4)
    x = generator(torch.randn(4, LATENT), y)
    assert x.shape == (4, *shape)
    assert x.dtype == torch.float32
    assert (x.std(dim=0) > 0).all()

    # A stride that skips the last row would leave it without a gradient; so would dropout.
    x = torch.randn(4, *shape, requires_grad=True)
    score = critic.eval()(x, y)
    assert score.shape == (4,)
    score.square().sum().backward()
    assert (x.grad.abs().amax(dim=0) > 0).all()


@pytest.mark.parametrize("name", BOUNDED)
def test_image_generators_end_in_tanh(name):
    generator = randomize(build(name, (3, 8, 8))[0], std=10)
    with torch.no_grad():
        assert generator(torch.randn(4, LATENT)).abs().max() == 1


@pytest.mark.parametrize("name", [*UNBOUNDED, "mlp"])
def test_other_samples_are_not_bounded(name):
    generator = randomize(build(name, SMALL[name])[0], std=10)
    assert generator(torch.randn(4, LATENT)).abs().max() > 1


@pytest.mark.parametrize("name", NAMES)
def test_the_label_changes_the_output_of_both_networks(name):
    shape = SMALL[name]
    networks = build(name, shape, CLASSES)
    # Labels of the style networks have an effect from the start, and small weights hide it.
    generator, critic = (n.eval() if name in STYLED else randomize(n).eval() for n in networks)
    z, x = torch.randn(1, LATENT).expand(3, -1), torch.randn(1, *shape).expand(3, *shape)
    y = torch.tensor([0, 1, 1])
    for output in (generator(z, y), critic(x, y)):
        assert not torch.allclose(output[0], output[1], atol=1e-3)
        torch.testing.assert_close(output[1], output[2])


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize(("name", "shape"), SMALL.items())
def test_samples_do_not_mix_in_eval_mode(name, shape, norm):
    generator, critic = (randomize(n).eval() for n in build(name, shape, norm=norm))
    z, x = torch.randn(3, LATENT), torch.randn(3, *shape)
    torch.testing.assert_close(generator(z)[:1], generator(z[:1]))
    if name not in MIXING:
        torch.testing.assert_close(critic(x)[:1], critic(x[:1]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [8, 64])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_critic_has_the_requested_norm(name, size):
    kinds = {"batch": nn.BatchNorm2d, "layer": nn.GroupNorm}
    for norm in ("none", "batch", "layer"):
        critic = build(name, (1, size, size), norm=norm)[1]
        found = {type(m) for m in critic.modules() if isinstance(m, tuple(kinds.values()))}
        assert found == ({kinds[norm]} if norm in kinds else set())


def test_layer_norm_is_over_channels_and_positions():
    x = 3 * torch.randn(2, 4, 5, 5) + 1
    norm = make_norm("layer", 4)
    scale, shift = torch.rand(2, 4)
    with torch.no_grad():
        norm.weight.copy_(scale)
        norm.bias.copy_(shift)
    for sample, out in zip(x, norm(x), strict=True):
        plain = (sample - sample.mean()) / (sample.var(unbiased=False) + 1e-5).sqrt()
        torch.testing.assert_close(out, plain * scale[:, None, None] + shift[:, None, None])


@pytest.mark.parametrize("name", NAMES)
def test_the_score_of_an_autoencoder_is_its_mean_absolute_error(name):
    shape = SMALL[name]
    critic = family(name).make_autoencoder(shape, LATENT, 8, "none").eval()
    x = torch.randn(4, *shape)
    reconstruction = critic.decoder(critic.code(critic.features(x)))
    expected = torch.stack(
        [
            sum(abs(a - b) for a, b in zip(s.flatten(), r.flatten(), strict=True)) / s.numel()
            for s, r in zip(x, reconstruction, strict=True)
        ]
    )
    torch.testing.assert_close(critic(x), expected)
    assert reconstruction.shape == x.shape
    assert critic.code.out_features == LATENT


# The papers' networks.


def channels(network, kind):
    layers = [m for m in network.modules() if isinstance(m, kind) and m.kernel_size != (1, 1)]
    return [(m.in_channels, m.out_channels) for m in layers]


def test_dcgan_at_64_pixels_has_the_channels_of_the_paper():
    generator, critic = published("dcgan", 64, latent_dim=100)
    up, down = channels(generator, nn.ConvTranspose2d), channels(critic, nn.Conv2d)
    assert up == [(1024, 512), (512, 256), (256, 128), (128, 3)]
    assert down == [(3, 64), (64, 128), (128, 256), (256, 512)]
    assert generator.project[0].out_features == 1024 * 4 * 4
    with torch.device("meta"):
        critic = build("dcgan", (3, 64, 64), norm="batch", widths=(128, 64))[1]
    norms = [m.num_features for m in critic.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == [128, 256, 512]
    # One activation per feature map, leaky in the critic.
    assert [m.negative_slope for m in critic.modules() if isinstance(m, nn.LeakyReLU)] == [0.2] * 4
    assert sum(isinstance(m, nn.ReLU) for m in generator.modules()) == 4


# The channels of the maps that the CNN's 4 x 4 convolutions halve: in the paper's table 3, and in
# chainer-gan-lib (common/net.py), compare_gan and pytorch-gan-collections.
@pytest.mark.parametrize(
    ("name", "halved"), [("sndcgan", (64, 128, 256)), ("sndcgan_wide", (128, 256, 512))]
)
def test_the_cnn_of_sngan_has_the_channels_of_the_paper_or_of_published_code(name, halved):
    generator, critic = published(name, 32)
    assert generator.project[0].out_features == 512 * 4 * 4
    assert channels(generator, nn.ConvTranspose2d) == [(512, 256), (256, 128), (128, 64)]
    assert channels(generator, nn.Conv2d) == [(64, 3)]
    layers = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in layers] == [
        (64, 3, 1),
        (halved[0], 4, 2),
        (128, 3, 1),
        (halved[1], 4, 2),
        (256, 3, 1),
        (halved[2], 4, 2),
        (512, 3, 1),
    ]
    assert critic.head.linear.in_features == 512 * 4 * 4
    slopes = [m.negative_slope for m in critic.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.1] * 7


def test_resnet_at_32_pixels_has_the_channels_of_sngan():
    generator, critic = published("resnet", 32)
    assert channels(generator, nn.Conv2d) == [(256, 256)] * 6 + [(256, 3)]
    assert channels(critic, nn.Conv2d) == [(3, 128)] + [(128, 128)] * 7
    assert [b.downsample for b in critic.features.blocks] == [True, False, False]
    assert [b.size for b in generator.blocks] == [8, 16, 32]


def test_resnet_at_128_pixels_has_the_channels_of_sngan_on_imagenet():
    generator, critic = published("resnet", 128)
    outs = [1024, 512, 256, 128, 64]
    assert [b.conv2.out_channels for b in generator.blocks] == outs
    assert generator.project.out_features == 1024 * 4 * 4
    blocks = critic.features.blocks
    assert [b.conv2.out_channels for b in blocks] == [128, 256, 512, 1024, 1024]
    assert [b.conv1.out_channels for b in blocks] == [64, 128, 256, 512, 1024]
    assert [b.downsample for b in blocks] == [True] * 4 + [False]
    # SAGAN's blocks widen in their first convolution.
    blocks = published("sagan", 128)[1].features.blocks
    assert [b.conv1.out_channels for b in blocks] == [128, 256, 512, 1024, 1024]


def test_the_wgan_gp_resnet_at_64_pixels_has_the_published_channels():
    generator, critic = published("wgan_gp_resnet", 64)
    assert generator.project.out_features == 512 * 4 * 4
    assert [b.conv2.out_channels for b in generator.blocks] == [512, 256, 128, 64]
    features = critic.features
    assert (features.first.in_channels, features.first.out_channels) == (3, 64)
    assert [b.conv1.out_channels for b in features.blocks] == [64, 128, 256, 512]
    assert [b.conv2.out_channels for b in features.blocks] == [128, 256, 512, 512]
    assert all(b.downsample for b in features.blocks)
    assert critic.head.linear.in_features == 512 * 4 * 4


def test_the_autoencoder_adds_channels_at_each_halving():
    encoder = [(3, 64), (64, 64), (64, 64), (64, 64), (64, 128), (128, 128), (128, 128)]
    decoder = [(64, 64)] * 6 + [(64, 3)]
    with torch.device("meta"):
        generator = FAMILIES["autoencoder"].make_generator((3, 32, 32), 64, 0, 64)
        critic = FAMILIES["autoencoder"].make_autoencoder((3, 32, 32), 64, 64, "none")
    assert channels(generator, nn.Conv2d) == decoder
    assert channels(critic, nn.Conv2d) == [*encoder, (128, 192), (192, 192), *decoder]


# The perceptron of WGAN's experiments has 512 hidden units: 100 -> 512 -> 512 -> 512 -> pixels.
@pytest.mark.parametrize(
    ("shape", "expected"), [((1, 28, 28), 979_216), ((3, 64, 64), 6_880_768)], ids=str
)
def test_the_perceptron_that_generates_images_is_that_of_wgan(shape, expected):
    family = FAMILIES["mlp_generator"]
    generator = family.make_generator(shape, 100, 0, family.widths[0])
    assert sum(p.numel() for p in generator.parameters()) == expected
    assert sum(isinstance(m, nn.ReLU) for m in generator.modules()) == 3
    # PyTorch's initialisation, uniform within 1 / sqrt(inputs), in the generator only.
    for layer in (m for m in generator.modules() if isinstance(m, nn.Linear)):
        bound = 1 / math.sqrt(layer.in_features)
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert layer.bias.any()
    critic = family.make_critic((1, 28, 28), CLASSES, 16, "batch")
    for module in critic.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            error = 5 * 0.02 / math.sqrt(module.weight.numel())
            assert module.weight.std().item() == pytest.approx(0.02, abs=error)


def test_the_plain_generator_of_dcgan_has_one_width_and_no_normalisation():
    generator, critic = published("dcgan_plain", 64, latent_dim=100)
    assert generator.project[0].out_features == 64 * 4 * 4
    up = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [(m.in_channels, m.out_channels) for m in up] == [(64, 64)] * 3 + [(64, 3)]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in generator.modules())
    # Without a normalisation that would remove it, every layer has a bias.
    assert all(m.bias is not None for m in [generator.project[0], *up])
    assert channels(critic, nn.Conv2d) == channels(published("dcgan", 64)[1], nn.Conv2d)


def test_skip_connections_concatenate_the_first_map_to_each_upsampled_one():
    decoder = Decoder((1, 16, 16), LATENT, width=4, skip_connections=True)
    z = torch.randn(2, LATENT)
    first = decoder.unflatten(decoder.project(z))
    x = decoder.stages[0](first)
    doubled = [h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) for h in (x, first)]
    expected = decoder.out(decoder.stages[1](torch.cat(doubled, dim=1)))
    torch.testing.assert_close(decoder(z), expected)


@pytest.mark.parametrize("carry", [0.0, 0.25, 1.0])
def test_vanishing_residuals_carry_the_input_past_a_convolution(carry):
    stage = TwoConvs(4, 4)
    set_carry(stage, carry)
    x = torch.randn(2, 4, 8, 8)
    expected = x
    for conv in stage.convs:
        expected = carry * expected + (1 - carry) * F.elu(conv[0](expected))
    torch.testing.assert_close(stage(x), expected)
    # Where the channels change, nothing can be carried.
    stage = TwoConvs(2, 4)
    set_carry(stage, 1.0)
    assert torch.equal(stage(x[:, :2]), F.elu(stage.convs[0][0](x[:, :2])))


def test_vanishing_residuals_accept_a_convolution_of_another_dtype():
    class Wide(nn.Module):
        def forward(self, x):
            return x.double()

    stage = TwoConvs(4, 4)
    stage.convs[0].append(Wide())
    stage.convs[1].insert(0, nn.Identity())
    stage.convs[1].double()
    assert stage(torch.randn(2, 4, 8, 8)).dtype == torch.float64


@pytest.mark.parametrize("name", FAMILIES)
def test_families_can_be_pickled(name):
    copied = pickle.loads(pickle.dumps(FAMILIES[name]))
    assert copied.widths == FAMILIES[name].widths
    assert copied.init is FAMILIES[name].init


@pytest.mark.parametrize(
    ("size", "generator_map", "critic_map"),
    [(8, 8, 4), (28, 14, 14), (32, 16, 16), (64, 32, 32), (100, 25, 25), (128, 32, 32)],
)
def test_attention_follows_the_largest_hidden_map_of_at_most_32(size, generator_map, critic_map):
    seen = []
    generator, critic = build("sagan", (1, size, size))
    for network in (generator, critic.features):
        network.attention.register_forward_hook(lambda m, args, out: seen.append(out.shape[-1]))
    critic(generator(torch.randn(2, LATENT)))
    assert seen == [generator_map, critic_map]


def test_dcgan_is_initialised_from_the_normal_distributions_of_the_paper():
    for network in build("dcgan", (3, 32, 32), 10, "batch", 100, (32, 32)):
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                # Some layers have few values, so allow five standard errors.
                error = 5 * 0.02 / math.sqrt(module.num_features)
                assert module.weight.mean().item() == pytest.approx(1, abs=error)
                assert module.weight.std().item() == pytest.approx(0.02, abs=error)
            elif getattr(module, "weight", None) is not None:
                error = 5 * 0.02 / math.sqrt(module.weight.numel())
                assert module.weight.mean().item() == pytest.approx(0, abs=error)
                assert module.weight.std().item() == pytest.approx(0.02, abs=error)
            if getattr(module, "bias", None) is not None:
                assert not module.bias.any()


def assert_glorot_initialisation(network, gained=()):
    """Biases are zero and weights within Glorot's bounds, times sqrt(2) for ``gained`` layers."""
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert layers
    for layer in layers:
        outputs, inputs, *kernel = layer.weight.shape
        bound = math.sqrt(6 / ((inputs + outputs) * math.prod(kernel)))
        bound *= math.sqrt(2) if layer in gained else 1
        # The largest of many uniform values is just below the bound.
        assert 0.75 * bound < layer.weight.abs().max() <= bound
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("width", [1, 2, 7])
def test_attention_works_with_few_channels(width):
    generator, critic = build("sagan", (1, 8, 8), widths=(width, width))
    assert critic(generator(torch.randn(2, LATENT))).shape == (2,)


def test_sagan_has_glorot_initialisation():
    for network in build("sagan", (3, 16, 16), latent_dim=32, widths=(16, 16)):
        assert_glorot_initialisation(network)


def test_resnet_has_glorot_initialisation_with_a_gain_on_residual_branches():
    for network in build("resnet", (3, 16, 16), CLASSES, latent_dim=32, widths=(16, 16)):
        gained = set()
        for block in network.modules():
            if isinstance(block, UpBlock | DownBlock | FirstDownBlock):
                gained |= {block.conv1, block.conv2}
        assert gained
        assert_glorot_initialisation(network, gained)
        if hasattr(network, "head"):
            weight = network.head.projection.weight
            bound = math.sqrt(6 / sum(weight.shape))
            assert 0.75 * bound < weight.abs().max() <= bound


def test_the_autoencoder_has_glorot_initialisation_and_uses_its_latents():
    generator = FAMILIES["autoencoder"].make_generator((1, 8, 8), 16, 0, 16)
    critic = FAMILIES["autoencoder"].make_autoencoder((1, 8, 8), 16, 8, "none")
    assert_glorot_initialisation(generator)
    assert_glorot_initialisation(critic)
    with torch.no_grad():
        x = generator(torch.rand(256, 16) * 2 - 1)
    # PyTorch's own initialisation gives 0.045, Glorot's 0.10 to 0.12.
    assert x.std(dim=0).mean() > 0.07


def halve(x):
    """The mean of each 2 by 2 window; the windows at an odd edge are smaller."""
    rows = [x[:, :, i : i + 2] for i in range(0, x.shape[2], 2)]
    windows = [[row[..., j : j + 2] for j in range(0, x.shape[3], 2)] for row in rows]
    return torch.stack(
        [torch.stack([w.mean(dim=(2, 3)) for w in row], dim=2) for row in windows], dim=2
    )


@pytest.mark.parametrize("size", [6, 7])
def test_the_blocks_of_the_residual_critic_match_the_paper(size):
    x = torch.randn(2, 3, size, size)
    first = FirstDownBlock(3, 4)
    residual = first.conv2(F.relu(first.conv1(x)))
    torch.testing.assert_close(first(x), halve(residual + first.shortcut(x)))
    down = DownBlock(3, 4, norm="layer")
    residual = down.conv2(F.relu(down.norm2(down.conv1(F.relu(down.norm1(x))))))
    torch.testing.assert_close(down(x), halve(residual + down.shortcut(x)))
    same_size = DownBlock(3, 3, downsample=False)
    residual = same_size.conv2(F.relu(same_size.conv1(F.relu(x))))
    torch.testing.assert_close(same_size(x), residual + x)


def test_the_block_of_the_residual_generator_matches_the_paper():
    block = UpBlock(3, 4, 8, CLASSES)
    x, y = torch.randn(3, 3, 4, 4), torch.arange(3)
    randomize(block)

    def twice(x):
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    h = block.conv1(twice(F.relu(block.norm1(x, y))))
    h = block.conv2(F.relu(block.norm2(h, y)))
    torch.testing.assert_close(block(x, y), h + block.shortcut(twice(x)))


@pytest.mark.parametrize(
    ("name", "size", "pool"),
    [
        ("resnet", 9, lambda h: h.clamp(min=0).sum(dim=3).sum(dim=2)),
        ("wgan_gp_resnet", 9, lambda h: h.clamp(min=0).mean(dim=3).mean(dim=2)),
        ("wgan_gp_resnet", 64, lambda h: h.reshape(3, -1)),
    ],
)
def test_residual_critics_pool_their_last_map_as_published(name, size, pool):
    _, critic = build(name, (1, size, size))
    x = torch.randn(3, 1, size, size)
    h = critic.features.first(x)
    for block in critic.features.blocks:
        h = block(h)
    torch.testing.assert_close(critic(x), critic.head.linear(pool(h)).squeeze(1))


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


def test_attention_is_initially_the_identity(attention_and_input):
    attention, x = attention_and_input
    assert torch.equal(attention(x), x)


def test_the_attention_weights_of_each_position_sum_to_one(attention_and_input):
    attention, x = attention_and_input
    weights = attention.attention_map(x)
    # Keys of an even map are pooled to a quarter of the positions.
    assert weights.shape == (2, x[0, 0].numel(), 4 if x.shape[2] == 4 else 25)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(weights.shape[:2]))


def test_attention_equals_a_plain_implementation(attention_and_input):
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
    """The largest singular value of every layer's weight matrix, by the layer's name."""
    values = {}
    for name, module in network.named_modules():
        if isinstance(module, (*CONVOLUTIONS, nn.Linear, nn.Embedding)):
            weight = module.weight.detach()
            if isinstance(module, nn.ConvTranspose2d):
                weight = weight.transpose(0, 1)  # it has the inputs first
            values[name] = torch.linalg.matrix_norm(weight.flatten(1), 2).item()
    return values


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_has_spectral_norm_one_after_some_passes(name):
    shape = SMALL[name]
    arguments = torch.randn(2, LATENT), torch.randn(2, *shape)
    for network, argument in zip(build(name, shape, CLASSES), arguments, strict=True):
        before = singular_values(randomize(network, std=2))
        spectral_normalize(network)
        with torch.no_grad():
            for _ in range(50):
                network(argument, labels(CLASSES, 2))
        after = singular_values(network.eval())
        assert after.keys() == before.keys()
        assert all(abs(value - 1) > 0.05 for value in before.values())
        for layer, value in after.items():
            assert value == pytest.approx(1, rel=0.01), layer


@pytest.mark.parametrize("name", RESIDUAL)
def test_spectral_normalisation_is_fixed_in_eval_mode(name):
    critic = spectral_normalize(build(name, (1, 8, 8))[1]).eval()
    x = torch.randn(3, 1, 8, 8)
    before = {key: value.clone() for key, value in critic.state_dict().items()}
    with torch.no_grad():
        assert torch.equal(critic(x), critic(x))
    assert all(torch.equal(value, before[key]) for key, value in critic.state_dict().items())
    critic.train()(x)
    assert not all(torch.equal(value, before[key]) for key, value in critic.state_dict().items())


def test_embeddings_can_be_left_unnormalised():
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
        # Leave the iteration's fixed point, where passes change nothing.
        critic.head.linear.parametrizations.weight.original.normal_()
        critic.eval()
        before = vectors._v.clone()
        assert torch.equal(critic(x), critic(x))
        assert torch.equal(vectors._v, before)
        critic.train()(x)
        assert not torch.equal(vectors._v, before)


def test_a_pass_makes_one_power_iteration_which_updates_u_before_v():
    # Algorithm 1 of arXiv:1802.05957 on the transposed matrix, as the page of SNGAN says.
    layer = spectral_normalize(nn.Linear(5, 3))
    weight = layer.parametrizations.weight.original.detach().normal_()
    vectors = layer.parametrizations.weight[0]
    u = F.normalize(weight @ vectors._v.clone(), dim=0)
    v = F.normalize(weight.T @ u, dim=0)
    x = torch.randn(4, 5)
    torch.testing.assert_close(layer(x), F.linear(x, weight / (u @ weight @ v), layer.bias))
    torch.testing.assert_close(vectors._u, u)
    torch.testing.assert_close(vectors._v, v)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_the_first_weights_are_not_latents_of_the_same_seed(name):
    """Or a latent meets its own copy, and its sample is like no other."""
    torch.manual_seed(0)
    model = TECHNIQUES[name]((1, 8, 8), latent_dim=100, generator_width=16, critic_width=16)
    torch.manual_seed(0)
    z = torch.nn.functional.normalize(model.draw_latents(200), dim=1)
    for layer in model.generator.modules():
        weight = dict(layer.named_parameters(recurse=False)).get("weight")
        if weight is not None and weight.dim() == 2 and weight.shape[1] == z.shape[1]:
            rows = torch.nn.functional.normalize(weight.detach(), dim=1)
            assert (z @ rows.T).abs().max() < 0.6
