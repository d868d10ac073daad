"""StyleGAN and StyleGAN2: their layers restated, their regularisers, styles and moving average."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from helpers import IMAGE, VECTOR, batches, differences, samples, state, tiny, train
from torch import nn

from gan_lightning import StyleGAN2, load
from gan_lightning.networks import FAMILIES
from gan_lightning.networks.stylegan import (
    Blur,
    LabelHead,
    StyledLayer,
    StyleGANFeatures,
    StyleGANGenerator,
    channels_at,
    mix,
)
from gan_lightning.networks.stylegan import Mapping as Mapping1
from gan_lightning.networks.stylegan2 import (
    Doubling,
    DownBlock,
    MappedLabelHead,
    Mapping,
    ModulatedConv2d,
    StyledConv,
    StyleGAN2Generator,
    ToRGB,
)
from gan_lightning.penalties import squared_gradient_norms
from gan_lightning.techniques.stylegan2 import path_lengths
from gan_lightning.utils.errors import ArgumentError

every_style = pytest.mark.parametrize("name", ["stylegan", "stylegan2"])


def randomize(module):
    """Parameters that are 0 at first, such as biases, matter too."""
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def fir(x, taps, up=1, down=1, pad=(0, 0), gain=1.0):
    """Zeros between samples, zeros around them, the filter in both directions, every down-th."""
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h * up, w * up)
    spread[:, :, ::up, ::up] = x
    row = torch.tensor(taps, dtype=x.dtype)
    kernel = gain * torch.outer(row, row) / row.sum() ** 2
    padded = F.pad(spread, (*pad, *pad)).reshape(n * c, 1, h * up + sum(pad), w * up + sum(pad))
    filtered = F.conv2d(padded, kernel[None, None])
    return filtered.reshape(n, c, *filtered.shape[2:])[:, :, ::down, ::down]


TAPS = (1, 3, 3, 1)


def lrelu(x):
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


# Layers, restated by hand.


@pytest.mark.parametrize("doubled", [None, 8])
@pytest.mark.parametrize("demodulate", [True, False])
def test_a_modulated_convolution_equals_a_grouped_one_with_weights_of_each_sample(
    doubled, demodulate
):
    kernel = 3
    conv = randomize(ModulatedConv2d(5, 6, kernel, 7, doubled, demodulate))
    x, style = torch.randn(3, 5, 4, 4), torch.randn(3, 7)
    scale = style @ conv.affine.weight.T / math.sqrt(7) + conv.affine.bias
    weight = conv.weight[None] * scale[:, None, :, None, None]
    if demodulate:
        weight = weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    else:
        weight = weight / math.sqrt(5 * kernel**2)
    grouped = x.reshape(1, 15, 4, 4)
    if doubled:
        transposed = weight.transpose(1, 2).reshape(15, 6, 3, 3)
        expected = F.conv_transpose2d(grouped, transposed, stride=2, groups=3)
        expected = fir(expected.reshape(3, 6, 9, 9), TAPS, pad=(1, 1), gain=4)
    else:
        expected = F.conv2d(grouped, weight.reshape(18, 5, 3, 3), padding=1, groups=3)
        expected = expected.reshape(3, 6, 4, 4)
    torch.testing.assert_close(conv(x, style), expected, rtol=1e-5, atol=1e-5)


def test_a_demodulated_convolution_keeps_unit_variance():
    conv = ModulatedConv2d(64, 64, 3, 32)
    x, style = torch.randn(16, 64, 16, 16), torch.randn(16, 32)
    # Without the border, where zeros come in.
    out = conv(x, style)[..., 1:-1, 1:-1]
    assert out.std().item() == pytest.approx(1, abs=0.05)
    layer = StyledConv(64, 64, 32)
    square = layer(x, style, torch.zeros(1))[..., 1:-1, 1:-1].square().mean().item()
    assert square == pytest.approx((1 + 0.2**2) / 2 * 2, abs=0.05)


def test_a_synthesis_block_equals_one_written_by_hand():
    generator = randomize(StyleGAN2Generator((3, 8, 8), 6, 0, 5))
    styles = torch.randn(2, 4, 5)
    noises = [torch.randn(2, 1, size, size) for size in (4, 8, 8)]

    def modulated(conv, x, w, *, demodulate=True, up=False):
        scale = w @ conv.affine.weight.T / math.sqrt(5) + conv.affine.bias
        outputs = []
        for each, s in zip(x, scale, strict=True):
            weight = conv.weight * s[:, None, None]
            if demodulate:
                weight = (
                    weight
                    * (weight.square().sum(dim=(1, 2, 3)) + 1e-8).rsqrt()[:, None, None, None]
                )
            else:
                weight = weight / math.sqrt(5)
            if up:
                y = F.conv_transpose2d(each[None], weight.transpose(0, 1), stride=2)
                outputs.append(fir(y, TAPS, pad=(1, 1), gain=4))
            else:
                outputs.append(F.conv2d(each[None], weight, padding=weight.shape[-1] // 2))
        return torch.cat(outputs)

    def styled(layer, x, w, noise, up=False):
        x = modulated(layer.conv, x, w, up=up) + noise * layer.noise_strength
        return lrelu(x + layer.bias[:, None, None])

    def to_rgb(layer, x, w):
        return modulated(layer.conv, x, w, demodulate=False) + layer.bias[:, None, None]

    x = styled(generator.convs[0], generator.constant.repeat(2, 1, 1, 1), styles[:, 0], noises[0])
    image = to_rgb(generator.to_rgb[0], x, styles[:, 1])
    x = styled(generator.convs[1], x, styles[:, 1], noises[1], up=True)
    x = styled(generator.convs[2], x, styles[:, 2], noises[2])
    image = fir(image, TAPS, up=2, pad=(2, 1), gain=4) + to_rgb(
        generator.to_rgb[1], x, styles[:, 3]
    )
    torch.testing.assert_close(generator.synthesis(styles, noises), image, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("skip", [True, False])
def test_a_block_of_the_critic_equals_one_written_by_hand(skip):
    block = randomize(DownBlock(4, 6, ("none", "none"), skip))
    x = torch.randn(2, 4, 8, 8)
    fan_in = math.sqrt(4 * 9)
    h = lrelu(F.conv2d(x, block.conv1.weight / fan_in, block.conv1.bias, padding=1))
    h = fir(h, TAPS, pad=(2, 2))
    h = lrelu(F.conv2d(h, block.conv2.weight / fan_in, block.conv2.bias, stride=2))
    if skip:
        y = fir(x, TAPS, down=2, pad=(1, 1))
        h = (h + F.conv2d(y, block.skip.weight / 2)) / math.sqrt(2)
    torch.testing.assert_close(block(x), h, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_the_mapping_of_stylegan2_normalises_latents_and_labels_apart(num_classes):
    mapping = randomize(Mapping(4, num_classes, 6, layers=2))
    z, y = torch.randn(5, 4), torch.arange(5) % 3

    def normalised(x):
        return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()

    w = normalised(z)
    if num_classes:
        embedded = F.one_hot(y, 3).float() @ mapping.embed.weight / math.sqrt(3)
        w = torch.cat([w, normalised(embedded + mapping.embed.bias)], dim=1)
    for layer in mapping.layers:
        w = lrelu(w @ layer.weight.T * 0.01 / math.sqrt(w.shape[1]) + 0.01 * layer.bias)
    torch.testing.assert_close(mapping(z, y), w)


def test_the_critic_of_stylegan2_projects_the_mapped_label():
    head = randomize(MappedLabelHead(6, 3))
    h, y = torch.randn(4, 6), torch.tensor([0, 1, 2, 0])
    out = h @ head.linear.weight.T / math.sqrt(6) + head.linear.bias
    expected = (out * head.projection(None, y)).sum(dim=1) / math.sqrt(6)
    torch.testing.assert_close(head(h, y), expected)
    assert len(head.projection.layers) == 8


def test_the_layers_of_stylegan_equal_those_written_by_hand():
    mapping = randomize(Mapping1(4, 3, 6, layers=2))
    z, y = torch.randn(5, 4), torch.arange(5) % 3
    w = torch.cat([z, mapping.embed.weight[y]], dim=1)
    w = w / (w.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for layer in mapping.layers:
        gain = math.sqrt(2) * 0.01 / math.sqrt(w.shape[1])
        w = F.leaky_relu(w @ layer.weight.T * gain + 0.01 * layer.bias, 0.2)
    torch.testing.assert_close(mapping(z, y), w)

    layer = randomize(StyledLayer(3, 6))
    x, noise = torch.randn(5, 3, 4, 4), torch.randn(5, 1, 4, 4)
    scale, shift = (w @ layer.affine.weight.T / math.sqrt(6) + layer.affine.bias).split(3, dim=1)
    expected = F.leaky_relu(
        x + noise * layer.noise_strength[:, None, None] + layer.bias[:, None, None], 0.2
    )
    expected = expected - expected.mean(dim=(2, 3), keepdim=True)
    expected = expected / (expected.square().mean(dim=(2, 3), keepdim=True) + 1e-8).sqrt()
    expected = expected * (scale[..., None, None] + 1) + shift[..., None, None]
    torch.testing.assert_close(layer(x, w, noise), expected, rtol=1e-4, atol=1e-4)

    head = randomize(LabelHead(6, 3))
    scores = w @ head.projection.weight.T / math.sqrt(6) + head.projection.bias
    torch.testing.assert_close(head(w, y), scores[torch.arange(5), y])


def test_a_blur_and_a_doubling_equal_their_definition():
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(Blur([1, 2, 1], (1, 1))(x), fir(x, (1, 2, 1), pad=(1, 1)))
    doubled = fir(x, TAPS, up=2, pad=(2, 1), gain=4)
    torch.testing.assert_close(Doubling()(x, 12), doubled)
    torch.testing.assert_close(Doubling()(x, 11), doubled[..., :11, :11])


def test_channels_are_those_of_the_authors_code():
    # min(16384 / size, 512), of either paper's code below 512 pixels.
    sizes = (4, 8, 16, 32, 64, 128, 256, 1024)
    assert [channels_at(s, 512) for s in sizes] == [512] * 4 + [256, 128, 64, 16]
    assert channels_at(256, 2) == 1


# Styles.


@every_style
@pytest.mark.parametrize("size", [8, 28, 32])
def test_an_image_has_a_style_for_each_layer(name, size):
    generator = FAMILIES[name].make_generator((1, size, size), 4, 0, 4)
    sizes = {8: 2, 28: 3, 32: 4}[size]
    assert generator.layers == 2 * sizes
    smallest = 7 if size == 28 else 4
    assert generator.constant.shape == (4, smallest, smallest)
    expected = 0 if name == "stylegan2" else 1
    assert generator.noise_sizes.count(smallest) == 1 + expected
    # Each style has an effect.
    styles = torch.randn(1, generator.layers, 4)
    randomize(generator)
    noises = generator.eval().noises(1)
    first = generator.synthesis(styles, noises)
    for i in range(generator.layers):
        other = styles.clone()
        other[:, i] += 1
        assert not torch.allclose(generator.synthesis(other, noises), first)


def test_mixing_replaces_the_styles_from_the_cutoff_on():
    styles, others = torch.zeros(2, 6, 3), torch.ones(2, 1, 3)
    assert torch.equal(mix(styles, others, 6), styles)  # at the last layer: no mixing
    mixed = mix(styles, others, torch.tensor(2))
    assert mixed[:, :2].sum() == 0
    assert torch.equal(mixed[:, 2:], torch.ones(2, 4, 3))


@every_style
def test_styles_are_mixed_in_training_with_the_probability_given(name):
    generator = tiny(name, IMAGE, mixing=0.5).generator
    z = torch.randn(4, 4)
    cutoffs = []
    for _ in range(400):
        styles = generator.styles(z)
        same = (styles == styles[:, :1]).all(dim=2).all(dim=0)
        count = int(same.sum())
        assert torch.equal(same, torch.arange(generator.layers) < count)
        cutoffs.append(count)
    counts = torch.tensor([cutoffs.count(n) for n in range(1, generator.layers + 1)])
    assert counts[-1].item() == pytest.approx(200, abs=60)
    # Uniform in [1, layers).
    assert all(abs(n - 200 / (generator.layers - 1)) < 45 for n in counts[:-1].tolist())
    for still in (tiny(name, IMAGE, mixing=0.0).generator, generator.eval()):
        styles = still.styles(z)
        assert torch.equal(styles, styles[:, :1].expand_as(styles))


@every_style
def test_the_mean_style_follows_the_mapped_latents_in_training_only(name):
    generator = tiny(name, IMAGE).generator
    z = torch.randn(1, 4).expand(3, -1)
    w = generator.mapping(z)[0].detach()
    for _ in range(5):
        generator.styles(z)
    torch.testing.assert_close(generator.w_avg, (1 - 0.995**5) * w)
    generator.eval().styles(z)
    torch.testing.assert_close(generator.w_avg, (1 - 0.995**5) * w)


@every_style
def test_truncation_moves_styles_to_their_mean(name):
    model = tiny(name, IMAGE)
    model.generator.w_avg.normal_()
    z = model.draw_latents(4)
    whole, half, none = (model.sample(z=z, truncation=psi) for psi in (1.0, 0.5, 0.0))
    assert torch.equal(whole, model.sample(z=z))
    torch.testing.assert_close(none, none[:1].expand_as(none))
    assert (whole - none).abs().mean() > (half - none).abs().mean() > 0
    styles = model.styles(z)
    mean = model.generator.w_avg
    torch.testing.assert_close(model.styles(z, psi=0.5), mean + 0.5 * (styles - mean))
    for psi in (-0.1, 1.1, math.nan):
        with pytest.raises(ArgumentError, match=r"truncation must be in \[0, 1\], got"):
            model.sample(z=z, truncation=psi)


def test_stylegan_truncates_the_first_eight_layers():
    for name, layers in (("stylegan", 8), ("stylegan2", 10)):
        model = tiny(name, (1, 64, 64))
        styles = model.styles(model.draw_latents(2), psi=0.0)
        assert [bool(each.any()) for each in styles[0]] == [False] * layers + [True] * (10 - layers)


@every_style
def test_points_have_no_styles_and_truncation_draws_again(name):
    model = tiny(name, VECTOR)
    assert not model.generator_regularizers()
    x = model.sample(4, truncation=0.5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(
        x, model.sample(4, truncation=0.5, generator=torch.Generator().manual_seed(1))
    )
    with pytest.raises(ValueError, match="a MLPGenerator has no styles"):
        model.styles(model.draw_latents(2))


@every_style
def test_noise_is_new_in_training_and_constant_in_eval_mode(name):
    model = tiny(name, IMAGE, mixing=0.0)
    randomize(model.generator)
    z = model.draw_latents(3)
    assert not torch.equal(model.generator(z), model.generator(z))
    assert torch.equal(model.sample(z=z), model.sample(z=z))
    styles = model.styles(z)
    drawn = [model.synthesize(styles, torch.Generator().manual_seed(i)) for i in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(model.synthesize(styles), model.sample(z=z))


# Regularisers.


def test_r1_of_a_linear_critic_is_the_square_of_its_weights():
    a = torch.randn(64)
    norms = squared_gradient_norms(lambda x, y: x.flatten(1) @ a, torch.randn(5, 1, 8, 8))
    torch.testing.assert_close(norms, a.square().sum().expand(5))


@every_style
@pytest.mark.parametrize("gamma", [0.3, None])
def test_r1_is_half_of_gamma_times_the_mean_square(name, gamma):
    model = tiny(name, IMAGE, gamma=gamma)
    x, _ = samples(IMAGE, 4)
    value, terms = model.r1(x, None, x)
    norms = squared_gradient_norms(model.score, x)
    weight = 0.0002 * 8**2 / 4 if gamma is None else gamma
    torch.testing.assert_close(value, weight / 2 * norms.mean())
    torch.testing.assert_close(terms["r1"], norms.mean().detach())
    assert not tiny(name, IMAGE, gamma=0).critic_regularizers()


@every_style
@pytest.mark.parametrize("num_classes", [0, 3])
def test_the_gradient_of_r1_equals_that_of_autograd(name, num_classes):
    model = tiny(name, IMAGE, num_classes, gamma=2.0).double()
    x, y = samples(IMAGE, 4)
    x, y = x.double(), y if num_classes else None
    parameters = list(model.critic.parameters())
    value, _ = model.r1(x, y, x)
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model.critic(x, y).sum(), x, create_graph=True)
    expected = gradient.square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(value, expected)
    wanted = torch.autograd.grad(expected, parameters, allow_unused=True)
    for one, other in zip(found, wanted, strict=True):
        # The last bias has no effect on a gradient in x.
        one, other = (torch.zeros(()) if g is None or not g.any() else g for g in (one, other))
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_path_lengths_of_a_linear_map_are_those_of_its_transpose():
    a = torch.randn(6, 64, dtype=torch.float64)
    styles = torch.randn(5, 1, 6, dtype=torch.float64)
    torch.manual_seed(1)
    noise = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    torch.manual_seed(1)
    lengths = path_lengths(lambda w: (w[:, 0] @ a).view(5, 1, 8, 8), styles)
    torch.testing.assert_close(lengths, (noise.flatten(1) @ a.T).norm(dim=1) / 8)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_the_gradient_of_the_path_length_equals_that_of_autograd(num_classes):
    model = tiny("stylegan2", IMAGE, num_classes).double()
    randomize(model.generator)
    model.path_mean.fill_(0.5)
    y = torch.arange(4) % 3 if num_classes else None
    z = model.draw_latents(4).double()
    parameters = [p for n, p in model.generator.named_parameters() if "to_rgb.1.bias" not in n]
    restated = copy.deepcopy(model)
    torch.manual_seed(1)
    value, terms = model.path_length(y, z)
    found = torch.autograd.grad(value, parameters, allow_unused=True)

    torch.manual_seed(1)
    generator = restated.generator
    styles = generator.styles(z[:2], None if y is None else y[:2])
    noises = generator.noises(2)
    x = generator.synthesis(styles, noises)
    noise = torch.randn(x.shape, dtype=x.dtype) / 8
    (gradient,) = torch.autograd.grad((x * noise).sum(), styles, create_graph=True)
    lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
    mean = 0.5 + 0.01 * (lengths.mean() - 0.5)
    expected = 2 * (lengths - mean).square().mean()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(terms["path_mean"], mean.detach())
    torch.testing.assert_close(model.path_mean, mean.detach().to(model.path_mean))
    parameters = [p for n, p in generator.named_parameters() if "to_rgb.1.bias" not in n]
    wanted = torch.autograd.grad(expected, parameters, allow_unused=True)
    assert any(g is not None and g.any() for g in found)
    for one, other in zip(found, wanted, strict=True):
        one, other = (torch.zeros(()) if g is None or not g.any() else g for g in (one, other))
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_regularisers_are_lazy_and_as_many_times_as_large():
    model = tiny("stylegan2", IMAGE)
    due = [model.kind(update)[1:3] for update in range(32)]
    assert [i for i, (critic, _) in enumerate(due) if critic] == [15, 31]
    assert [i for i, (_, generator) in enumerate(due) if generator] == [
        3,
        7,
        11,
        15,
        19,
        23,
        27,
        31,
    ]
    x, _ = samples(IMAGE, 4)
    z = model.draw_latents(4)
    results = []
    for due in ((), (0,)):
        torch.manual_seed(1)
        critic = model.critic_objective(x, None, z, due)[:2]
        torch.manual_seed(1)
        results += [critic, model.generator_objective(x, None, z, due)]
    (without, _), (other_without, _), (loss, terms), (other, more) = results
    torch.testing.assert_close(loss, without + terms["penalty"])
    torch.testing.assert_close(other, other_without + more["penalty/generator"])
    gamma = 0.0002 * 64 / 4
    torch.testing.assert_close(terms["penalty"], 16 * gamma / 2 * terms["r1"])


@pytest.mark.slow
@every_style
def test_compiled_objectives_equal_eager_ones(name):
    torch._dynamo.reset()
    model = tiny(name, IMAGE, 3)
    randomize(model.generator)
    before = state(model)
    x, y = samples(IMAGE, 4)
    z = model.draw_latents(4)
    for objective, network in (
        (model.critic_objective, model.critic),
        (model.generator_objective, model.generator),
    ):
        results = []
        for function in (objective, torch.compile(objective, fullgraph=True, backend="aot_eager")):
            model.load_state_dict(before)  # mean style and mean path length
            model.zero_grad()
            torch.manual_seed(1)
            loss = function(x, y, z)[0]
            loss.backward()
            gradients = [p.grad for p in network.parameters()]
            results.append((loss, gradients, state(model)))
        for eager, compiled in zip(*results, strict=True):
            torch.testing.assert_close(compiled, eager, rtol=1e-3, atol=1e-4)


# The moving average.


def test_the_half_life_of_the_average_is_in_images():
    model = tiny("stylegan", VECTOR, ema_half_life=100)
    assert model.generator_ema is not None
    assert model.average_decay(0) == 0
    model.images = 640
    # 64 images in an update.
    assert model.average_decay(10) == pytest.approx(0.5 ** (64 / 100))
    model = tiny("stylegan2", VECTOR, ema_half_life=100)
    model.images = 640
    assert model.average_decay(10) == pytest.approx(0.5 ** (64 / (0.05 * 640)))
    model.images = 64_000
    assert model.average_decay(1000) == pytest.approx(0.5 ** (64 / 100))
    assert tiny("stylegan2", VECTOR, ema_decay=0.9, ema_half_life=100).average_decay(7) == 0.9
    assert tiny("stylegan2", VECTOR).generator_ema is None


@every_style
def test_the_average_has_the_mean_style_and_the_noise_of_its_generator(name, tmp_path):
    model = tiny(name, IMAGE, ema_half_life=50)
    trainer = train(model, batches(IMAGE), max_steps=5)
    averaged, current = model.generator_ema.state_dict(), model.generator.state_dict()
    assert torch.equal(averaged["w_avg"], current["w_avg"])
    assert averaged["w_avg"].any()
    assert torch.equal(averaged["noise0"], current["noise0"])
    assert differences(averaged, current)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    loaded = load(tmp_path / "last.ckpt")
    z = model.draw_latents(2)
    assert torch.equal(loaded.sample(z=z, truncation=0.5), model.sample(z=z, truncation=0.5))


# Options.


def test_options_out_of_range_are_refused():
    for options, message in [
        ({"gamma": -1}, "gamma must be at least 0"),
        ({"mixing": 1.5}, r"mixing must be in \[0, 1\]"),
        ({"r1_interval": 0}, "r1_interval must be at least 1"),
        ({"mapping_layers": 0}, "mapping_layers must be at least 1"),
        ({"ema_half_life": -1}, "ema_half_life must be at least 0"),
        ({"path_weight": -1}, "path_weight must be at least 0"),
        ({"path_interval": 0}, "path_interval must be at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            tiny("stylegan2", IMAGE, **options)


def test_the_preset_for_cifar10_has_a_critic_without_skips():
    with torch.device("meta"):
        plain = StyleGAN2((3, 32, 32), 10, network="stylegan2_plain", minibatch_group=32)
        residual = StyleGAN2((3, 32, 32), 10)
    assert plain.critic.features.deviation.group == 32
    assert [block.skip is None for block in plain.critic.features.blocks] == [True] * 3
    assert [block.skip is None for block in residual.critic.features.blocks] == [False] * 3
    assert residual.critic.features.deviation.group == 4


def test_stylegan_starts_from_a_constant_of_ones_and_stylegan2_from_noise():
    assert StyleGANGenerator(IMAGE, 4, 0, 8).constant.unique().tolist() == [1.0]
    assert StyleGAN2Generator(IMAGE, 4, 0, 64).constant.std().item() == pytest.approx(1, abs=0.1)
    assert ToRGB(4, 1, 8).conv.affine.bias.tolist() == [1.0] * 4


def test_the_networks_of_stylegan_at_1024_pixels_have_the_parameters_of_the_authors_code():
    # Its log has 26,219,627 and 23,087,249, with the layers to and from RGB of all nine sizes.
    with torch.device("meta"):
        generator = StyleGANGenerator((3, 1024, 1024), 512, 0, 512)
        critic = StyleGANFeatures((3, 1024, 1024), 512), LabelHead(512)
    smaller = [channels_at(size, 512) for size in (4, 8, 16, 32, 64, 128, 256, 512)]
    of_generator = sum(p.numel() for p in generator.parameters())
    of_critic = sum(p.numel() for part in critic for p in part.parameters())
    assert of_generator + sum(3 * c + 3 for c in smaller) == 26_219_627
    assert of_critic + sum(3 * c + c for c in smaller) == 23_087_249
