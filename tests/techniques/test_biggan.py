"""BigGAN: its networks layer by layer, orthogonal regularisation and standing statistics."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from helpers import CLASSES, IMAGE, batches, differences, every_technique, state, tiny, train
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized

from gan_lightning import BigGAN
from gan_lightning.networks.biggan import (
    SHARED,
    BigGANFeatures,
    BigGANGenerator,
    ConditionedBatchNorm2d,
    init_orthogonal,
)
from gan_lightning.networks.statistics import accumulate_statistics
from gan_lightning.penalties import orthogonal_penalty

NETWORKS = ["biggan", "biggan_flat"]
CIFAR10 = (3, 32, 32)
each_network = pytest.mark.parametrize("network", NETWORKS)


def small(network="biggan", shape=IMAGE, num_classes=CLASSES, latent_dim=8, **options):
    return tiny("biggan", shape, num_classes, network=network, latent_dim=latent_dim, **options)


def randomised(module, std=0.3):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return module


# The networks, restated with functions on the same weights.


def weight(layer):
    """The weight over its largest singular value, as the vectors of the power iteration have it."""
    if not is_parametrized(layer):
        return layer.weight
    matrix = layer.parametrizations.weight.original
    vectors = layer.parametrizations.weight[0]
    return matrix / (vectors._u @ matrix.flatten(1) @ vectors._v)


def conv(layer, x):
    return F.conv2d(x, weight(layer), layer.bias, padding=weight(layer).shape[-1] // 2)


def batch_norm(norm, x):
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def class_conditional_norm(layer, x, c):
    """The gain is 1 plus a linear map, without a bias, of c; an embedding of a label is alike."""
    gain, bias = (
        F.linear(c, weight(part)) if c.dim() == 2 else part.weight[c]
        for part in (layer.gain, layer.bias)
    )
    return batch_norm(layer.norm, x) * (1 + gain)[..., None, None] + bias[..., None, None]


def up_block(block, x, c):
    h = F.interpolate(class_conditional_norm(block.norm1, x, c).relu(), scale_factor=2)
    h = conv(block.conv1, h)
    h = conv(block.conv2, class_conditional_norm(block.norm2, h, c).relu())
    return h + conv(block.shortcut, F.interpolate(x, scale_factor=2))


def down_block(block, x, first, halved):
    pool = (lambda h: F.avg_pool2d(h, 2)) if halved else (lambda h: h)
    h = conv(block.conv2, conv(block.conv1, x if first else x.relu()).relu())
    return pool(h) + (pool(conv(block.shortcut, x)) if halved else x)


def attention(layer, x):
    query = conv(layer.query, x).flatten(2)
    key = F.max_pool2d(conv(layer.key, x), 2).flatten(2)
    value = F.max_pool2d(conv(layer.value, x), 2).flatten(2)
    weights = torch.softmax(torch.einsum("ncp,ncq->npq", query, key), dim=2)
    out = torch.einsum("ncq,npq->ncp", value, weights).reshape(len(x), -1, *x.shape[2:])
    return x + layer.gamma * conv(layer.out, out)


@each_network
def test_the_generator_has_the_layers_of_the_authors_code(network):
    generator = randomised(small(network, CIFAR10).generator).eval()
    z, y = torch.randn(3, 8), torch.tensor([2, 0, 2])
    if network == "biggan":
        first, *chunks = z.split(2, dim=1)
        conditions = [torch.cat([generator.shared.weight[y], chunk], dim=1) for chunk in chunks]
    else:
        first, conditions = z, [y] * 3
    x = F.linear(first, weight(generator.project), generator.project.bias).view(3, 8, 4, 4)
    for i in range(3):
        x = up_block(generator.blocks[i], x, conditions[i])
        if network == "biggan" and i == 1:  # at 16 x 16
            x = attention(generator.attention, x)
    expected = conv(generator.out, batch_norm(generator.norm, x).relu()).tanh()
    torch.testing.assert_close(generator(z, y), expected)


@each_network
def test_the_critic_has_the_layers_of_the_authors_code(network):
    critic = randomised(small(network, CIFAR10).critic).eval()
    x, y = torch.randn(3, *CIFAR10), torch.tensor([2, 0, 2])
    given, h = x.clone(), x
    for i, halved in enumerate([True, True, False, False]):
        h = down_block(critic.features.blocks[i], h, first=i == 0, halved=halved)
        if network == "biggan" and i == 0:  # at 16 x 16
            h = attention(critic.features.attention, h)
    assert h.shape == (3, 8, 8, 8)
    h = h.relu().sum(dim=(2, 3))
    head = critic.head
    projection = (weight(head.projection)[y] * h).sum(dim=1)
    expected = F.linear(h, weight(head.linear), head.linear.bias)[:, 0] + projection
    torch.testing.assert_close(critic(x, y), expected, rtol=1e-4, atol=1e-4)
    # A ReLU in place would have changed the shortcut's input.
    assert torch.equal(x, given)


def test_larger_networks_have_the_channels_of_the_authors_code():
    up = {64: [16, 8, 4, 2], 128: [16, 8, 4, 2, 1], 256: [16, 8, 8, 4, 2, 1]}
    down = {64: [1, 2, 4, 8, 16], 128: [1, 2, 4, 8, 16, 16], 256: [1, 2, 4, 8, 8, 16, 16]}
    for size in up:
        with torch.device("meta"):
            generator = BigGANGenerator((3, size, size), 140, width=96)
            features = BigGANFeatures((3, size, size), 96)
        assert [b.conv2.out_channels for b in generator.blocks] == [96 * n for n in up[size]]
        assert [b.conv2.out_channels for b in features.blocks] == [96 * n for n in down[size]]
        assert [getattr(b, "downsample", True) for b in features.blocks] == [
            *[True] * (len(down[size]) - 1),
            False,
        ]
        # Attention at 64 x 64, or the largest hidden map.
        seen = min(size // 2, 64)
        assert 4 * 2 ** (generator.attention_at + 1) == seen
        assert size // 2 ** (features.attention_at + 1) == seen


@pytest.mark.parametrize(
    ("size", "latent_dim", "chunks"),
    [
        (32, 80, [20] * 4),
        (128, 120, [20] * 6),
        (28, 60, [20] * 3),
        (8, 32, [16] * 2),
        (32, 10, [3, 3, 2, 2]),
    ],
)
def test_the_latent_has_a_chunk_for_each_block_and_the_first_layer(size, latent_dim, chunks):
    with torch.device("meta"):
        assert BigGANGenerator((3, size, size), latent_dim, width=4).chunks == chunks
        flat = BigGANGenerator((3, size, size), latent_dim, width=4, hierarchical=False)
        assert flat.chunks == [latent_dim]


def test_too_few_latents_are_refused():
    with pytest.raises(ValueError, match="latent_dim must be at least 4, a part for each of 3"):
        small(shape=CIFAR10, latent_dim=3)
    small("biggan_flat", shape=CIFAR10, latent_dim=3)


@pytest.mark.parametrize("num_classes", [0, CLASSES])
def test_each_chunk_of_the_latent_reaches_its_block_alone(num_classes):
    generator = small(shape=CIFAR10, num_classes=num_classes).generator
    seen = []
    for block in generator.blocks:
        block.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    z, y = torch.randn(2, 8), torch.tensor([0, 1]) if num_classes else None
    generator(z, y)
    before, seen[:] = list(seen), []
    generator(z + (torch.arange(8) // 2 == 2), y)  # the chunk of the second block
    changed = [not torch.equal(one, other) for one, other in zip(before, seen, strict=True)]
    assert changed == [False, True, False]
    assert seen[0].shape == (2, (SHARED if num_classes else 0) + 2)


@pytest.mark.parametrize("kind", [nn.Linear, nn.Embedding])
def test_a_gain_and_bias_of_zero_leave_batch_normalisation_as_it_is(kind):
    norm = ConditionedBatchNorm2d(4, partial(kind, 5))
    for parameter in norm.parameters():
        nn.init.zeros_(parameter)
    c = torch.randn(6, 5) if isinstance(norm.gain, nn.Linear) else torch.arange(6) % 5
    x = torch.randn(6, 4, 3, 3)
    assert torch.equal(norm(x, c), F.batch_norm(x, None, None, training=True))


@each_network
def test_all_weights_but_the_embeddings_of_the_generator_are_spectrally_normalised(network):
    model = small(network, CIFAR10)
    for part in model.generator.modules():
        if isinstance(part, nn.Embedding):
            assert not is_parametrized(part)
    normalised = [
        part
        for part in (*model.generator.modules(), *model.critic.modules())
        if isinstance(part, nn.Conv2d | nn.Linear)
    ]
    assert all(is_parametrized(part, "weight") for part in normalised)
    assert is_parametrized(model.critic.head.projection, "weight")
    gains = [part.gain for part in model.generator.modules() if hasattr(part, "gain")]
    assert len(gains) == 6
    assert {type(gain).__name__.removeprefix("Parametrized") for gain in gains} == (
        {"Linear"} if network == "biggan" else {"Embedding"}
    )
    assert all(getattr(gain, "bias", None) is None for gain in gains)


def test_the_weights_of_the_hierarchical_networks_start_orthogonal():
    for network in (BigGANGenerator(CIFAR10, 80, 10, 16), BigGANFeatures(CIFAR10, 16)):
        network.apply(init_orthogonal)
        weights = [p for p in network.parameters() if p.dim() > 1]
        assert len(weights) > 10
        for matrix in (weight.flatten(1) for weight in weights):
            small = matrix if len(matrix) <= matrix.shape[1] else matrix.T
            torch.testing.assert_close(small @ small.T, torch.eye(len(small)), rtol=0, atol=1e-4)
        assert not any(p.any() for name, p in network.named_parameters() if name[-5:] == ".bias")


def test_the_weights_of_the_flat_networks_start_small():
    model = BigGAN(CIFAR10, 10, generator_width=32, critic_width=32)
    weights = [p for p in model.parameters() if p.dim() > 1 and p.numel() > 2000]
    assert len(weights) > 20
    assert all(p.std().item() == pytest.approx(0.02, rel=0.1) for p in weights)
    assert model.generator.norm.weight.eq(1).all()


# Orthogonal regularisation.


def test_the_orthogonal_penalty_has_the_gradient_of_its_equation():
    weights = [torch.randn(4, 3, 2, 2, requires_grad=True), torch.randn(5, 2, requires_grad=True)]
    value = orthogonal_penalty(weights)
    expected = sum(
        (w[i].flatten() @ w[j].flatten()) ** 2
        for w in weights
        for i in range(len(w))
        for j in range(len(w))
        if i != j
    )
    torch.testing.assert_close(value, expected)
    for weight, gradient in zip(weights, torch.autograd.grad(value, weights), strict=True):
        w = weight.flatten(1)
        analytic = 4 * (w @ w.T * (1 - torch.eye(len(w)))) @ w
        torch.testing.assert_close(gradient.flatten(1), analytic)
    # Rows of any length at right angles cost nothing.
    assert orthogonal_penalty([torch.diag(torch.tensor([1.0, 2.0, 3.0]))]) == 0


@each_network
def test_all_weights_of_the_generator_but_the_shared_embedding_are_regularised(network):
    torch.manual_seed(0)
    model = small(network, CIFAR10, orthogonal_weight=0.5)
    (regularizer,) = model.generator_regularizers()
    value, terms = regularizer.term(None, torch.zeros(0))
    assert value.item() == pytest.approx(0.5 * terms["orthogonality"].item())
    names, parameters = zip(*model.generator.named_parameters(), strict=True)
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    reached = {name for name, each in zip(names, gradients, strict=True) if each is not None}
    assert reached == {
        name
        for name, parameter in zip(names, parameters, strict=True)
        if parameter.dim() > 1 and name != "shared.weight"
    }


def test_the_orthogonal_regularisation_is_part_of_the_generators_loss():
    model = small(orthogonal_weight=0.25)
    x, (z, y) = torch.randn(4, *IMAGE), model.draw_inputs(4)
    _, terms = model.generator_objective(x, y, z)
    assert terms.keys() == {"loss/generator", "penalty/generator", "orthogonality"}
    assert terms["penalty/generator"] > 0
    torch.testing.assert_close(terms["penalty/generator"], 0.25 * terms["orthogonality"])
    with pytest.raises(ValueError, match="orthogonal_weight must be at least 0"):
        small(orthogonal_weight=-1)


def test_it_makes_rows_orthogonal():
    model = small(orthogonal_weight=1.0, generator_lr=0.01, n_critic=1)
    randomised(model.generator)
    before = model.orthogonality(None, torch.zeros(0))[1]["orthogonality"]
    train(model, batches(IMAGE), max_steps=30)
    assert model.orthogonality(None, torch.zeros(0))[1]["orthogonality"] < before / 10


@pytest.mark.slow
@each_network
def test_its_objectives_compile_as_one_graph(network):
    model = small(network, orthogonal_weight=1e-4)
    x, (z, y) = torch.randn(4, *IMAGE), model.draw_inputs(4)
    for name in ("critic_objective", "generator_objective"):
        objective = getattr(model, name)
        start = state(model)
        loss = objective(x, y, z)[0]
        model.load_state_dict(start)
        whole = torch.compile(objective, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(whole(x, y, z)[0], loss)
        model.load_state_dict(start)


# The moving average.


def test_before_its_start_the_moving_average_is_a_copy():
    options = {"n_critic": 1, "ema_decay": 0.9999}
    early, late = small(**options), small(**options, ema_start=1)
    for model in (early, late):
        train(model, batches(IMAGE), max_steps=3)
    assert early.ema_start == 1000
    assert not differences(state(early.generator), state(early.generator_ema))
    assert differences(state(late.generator), state(late.generator_ema))


# Standing statistics.


def norms(network):
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


@each_network
def test_standing_statistics_of_a_repeated_batch_are_its_own(network):
    model = small(network, CIFAR10)
    generator = randomised(model.generator)
    seen = {}
    for norm in norms(generator):
        norm.register_forward_pre_hook(lambda module, args: seen.update({module: args[0]}))
    z, y = model.draw_inputs(6)
    accumulate_statistics(generator, [(z, y)] * 3)
    assert len(seen) == 7
    for norm, x in seen.items():
        torch.testing.assert_close(norm.running_mean, x.mean(dim=(0, 2, 3)))
        torch.testing.assert_close(norm.running_var, x.transpose(0, 1).flatten(1).var(dim=1))


def test_standing_statistics_are_means_over_passes():
    network = nn.Sequential(nn.BatchNorm1d(2))
    x = torch.randn(3, 5, 2)
    accumulate_statistics(network, [(part,) for part in x])
    torch.testing.assert_close(network[0].running_mean, x.mean(dim=(0, 1)))
    torch.testing.assert_close(network[0].running_var, x.var(dim=1).mean(dim=0))


@pytest.mark.parametrize("ema_decay", [0, 0.5], ids=["without EMA", "with EMA"])
def test_standing_statistics_change_nothing_else(ema_decay):
    model = small(shape=CIFAR10, ema_decay=ema_decay)
    model.generator.eval()
    model.generator.blocks[0].train()
    modes = {module: module.training for module in model.modules()}
    before = state(model)
    model.standing_statistics(passes=2, batch_size=4)
    changed = {name.split(".")[0] for name in differences(before, state(model))}
    assert changed == {"generator_ema" if ema_decay else "generator"}
    assert {name.split(".")[-2] for name in differences(before, state(model))} == {
        *("running_mean", "running_var", "num_batches_tracked")
    }
    assert modes == {module: module.training for module in model.modules()}
    assert {norm.momentum for norm in norms(model.sampled)} == {0.1}


def test_standing_statistics_are_those_of_truncated_latents():
    model = small("biggan_flat", CIFAR10, latent_dim=32, ema_decay=0)
    first = model.generator.blocks[0].norm1.norm

    def variance(**options):
        model.standing_statistics(batch_size=128, **options)
        return first.running_var.mean().item()

    # The first layer is linear without a bias at the start. A normal number within +-0.5 has
    # variance 1 - 2 t phi(t) / (2 Phi(t) - 1) = 0.0806.
    assert variance(truncation=0.5) / variance() == pytest.approx(0.0806, rel=0.05)


def test_a_random_generator_determines_standing_statistics():
    model = small(shape=CIFAR10)
    found = []
    for seed in (1, 1, 2):
        source = torch.Generator().manual_seed(seed)
        model.standing_statistics(2, 4, truncation=1.0, generator=source)
        found.append(state(model))
    assert not differences(found[0], found[1])
    assert differences(found[0], found[2])


@every_technique
def test_every_technique_with_batch_normalisation_has_standing_statistics(name):
    model = tiny(name, IMAGE)
    if norms(model.sampled):
        before = model.sample(z=torch.ones(2, model.latent_dim))
        model.standing_statistics(passes=1, batch_size=4)
        assert not torch.equal(model.sample(z=torch.ones(2, model.latent_dim)), before)
    else:
        with pytest.raises(ValueError, match="there is no batch normalisation"):
            model.standing_statistics()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"passes": 0}, "passes must be at least 1"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"truncation": 0.0}, "truncation must be positive"),
    ],
)
def test_wrong_numbers_are_refused_and_change_nothing(options, said):
    model = small()
    before = state(model)
    with pytest.raises(ValueError, match=said):
        model.standing_statistics(**options)
    assert not differences(before, state(model))
