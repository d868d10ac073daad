"""Feature matching, minibatch discrimination, and the networks of their authors."""

import copy

import pytest
import torch
import torch.distributed as dist
from helpers import CLASSES, IMAGE, VECTOR, batches, differences, fixed, samples, state, tiny, train
from torch import nn

from gan_lightning import FeatureMatching, Regularizer
from gan_lightning.networks import FAMILIES, start_from_data
from gan_lightning.networks.improved_gan import Dropout, GaussianNoise, WeightNormConv2d
from gan_lightning.networks.minibatch import MinibatchLayer
from gan_lightning.utils.ranks import mean_over_ranks, several_ranks

CONVOLUTIONS = {"network": "dcgan"}


def share():
    """The part of all samples that this rank has."""
    return slice(dist.get_rank(), None, 2) if several_ranks() else slice(None)


# Feature matching.


def matching(shape=VECTOR, num_classes=0, **options):
    return tiny("feature_matching", shape, num_classes, **options).double()


class Copy(nn.Module):
    """A generator that returns the first entries of its latents."""

    def __init__(self, dims):
        super().__init__()
        self.dims = dims

    def forward(self, z, y=None):
        return z[:, : self.dims]


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_distance_of_features_is_that_of_the_code_or_of_the_paper(norm):
    model = matching(feature_norm=norm)
    x, z = torch.randn(6, 2).double(), model.draw_latents(6).double()
    loss, terms = model.generator_objective(x, None, z)
    critic = model.critic.features
    real = sum(critic(each[None])[0] for each in x) / 6
    fake = sum(critic(model.generator(each[None]))[0] for each in z) / 6
    distance = sum(abs(a - b) for a, b in zip(real, fake, strict=True)) / 8
    squared = sum((a - b) ** 2 for a, b in zip(real, fake, strict=True))
    torch.testing.assert_close(loss, distance if norm == "l1" else squared)
    torch.testing.assert_close(terms["feature_distance"], loss.detach())
    torch.testing.assert_close(terms["feature_norm"], real.detach().norm())


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_distance_is_that_of_means_and_not_of_samples(norm):
    model = matching(feature_norm=norm)
    model.generator = Copy(2)
    x = torch.randn(6, 2).double()
    permuted = x[torch.tensor([3, 1, 5, 0, 2, 4])]
    assert model.generator_objective(x, None, permuted)[0].item() == pytest.approx(0, abs=1e-12)
    # The same number of samples elsewhere, and one sample for all.
    assert model.generator_objective(x, None, -x)[0] > 1e-3
    assert model.generator_objective(x, None, x[:1].expand(6, 2))[0] > 1e-3


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_gradient_of_the_distance_reaches_the_generator(norm):
    model = matching(feature_norm=norm)
    x, z = torch.randn(6, 2).double(), model.draw_latents(6).double()
    bias = model.generator.net[0].bias
    (gradient,) = torch.autograd.grad(model.generator_objective(x, None, z)[0], bias)
    assert gradient.count_nonzero() > 1
    for i in range(len(bias)):
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                bias[i] += step
                values.append(model.generator_objective(x, None, z)[0].item())
                bias[i] -= step
        assert gradient[i].item() == pytest.approx(
            (values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-9
        )


def test_features_are_those_before_the_score():
    model = matching()
    x, z = torch.randn(6, 2).double(), model.draw_latents(6).double()
    before = model.generator_objective(x, None, z)[0]
    nn.init.normal_(model.critic.head.linear.weight)
    assert torch.equal(model.generator_objective(x, None, z)[0], before)


def test_with_classes_the_features_of_each_class_are_matched():
    model = matching(num_classes=CLASSES)
    model.generator = Copy(2)
    x, y = torch.randn(6, 2).double(), torch.tensor([0, 0, 1, 1, 2, 2])

    def distance(fake):
        return model.generator_objective(x, y, fake)[0].item()

    assert distance(x[[1, 0, 3, 2, 5, 4]]) == pytest.approx(0, abs=1e-12)
    # The same samples, of other classes.
    assert distance(x[[2, 3, 4, 5, 0, 1]]) > 1e-3
    # A larger batch for the generator has the labels of the real one, repeated.
    model.generator_batch = 2
    twice = model.generator_objective(x, y.repeat(2), torch.cat([x, x]))[0].item()
    assert twice == pytest.approx(0, abs=1e-12)


def test_regularizers_of_a_subclass_count_when_they_are_due():
    class Regular(FeatureMatching):
        def generator_regularizers(self):
            return [Regularizer(lambda y, z: (z.mean(), {"mean": z.mean()}))]

    model = Regular(VECTOR, generator_width=8, critic_width=8)
    x, z = torch.randn(6, 2), model.draw_latents(6)
    without, terms = model.generator_objective(x, None, z, ())
    assert "mean" not in terms
    loss, terms = model.generator_objective(x, None, z, (0,))
    torch.testing.assert_close(loss, without + z.mean())
    torch.testing.assert_close(terms["penalty/generator"], z.mean())


def test_historical_averaging_pulls_both_networks_to_the_mean_of_their_past():
    model = tiny("feature_matching", history_weight=3.0)
    networks = {"critic": model.critic, "generator": model.generator}
    past = {name: [] for name in networks}
    for update in range(3):
        for name, network in networks.items():
            for parameter in network.parameters():
                nn.init.normal_(parameter)
            past[name].append([p.detach().clone() for p in network.parameters()])
        model.on_update(update)
    for name, network in networks.items():
        ((term, every),) = getattr(model, f"{name}_regularizers")()
        value, _ = term(None, None, None)
        means = [sum(each) / 3 for each in zip(*past[name], strict=True)]
        squares = [(p - m).square().sum() for p, m in zip(past[name][-1], means, strict=True)]
        torch.testing.assert_close(value.detach(), 3 * sum(squares))
        assert every == 1
        value.backward()
        for parameter, mean in zip(network.parameters(), means, strict=True):
            torch.testing.assert_close(parameter.grad, 6 * (parameter.detach() - mean))
    x, z = torch.randn(6, 2), model.draw_latents(6)
    assert model.critic_objective(x, None, z)[1]["penalty"] > 0
    assert model.generator_objective(x, None, z)[1]["penalty/generator"] > 0
    with pytest.raises(ValueError, match="history_weight must be at least 0"):
        tiny("feature_matching", history_weight=-1)


def test_historical_averaging_resumes_exactly(tmp_path):
    def run(steps, ckpt_path=None):
        torch.manual_seed(0)
        model = tiny("feature_matching", IMAGE, history_weight=0.1)
        return model, train(model, fixed(1), steps, ckpt_path=ckpt_path)

    whole, _ = run(6)
    run(2)[1].save_checkpoint(tmp_path / "2.ckpt")
    resumed, _ = run(6, tmp_path / "2.ckpt")
    assert differences(state(whole), state(resumed)) == []
    assert differences(state(whole.history[0]), state(whole.critic))


def test_a_critic_without_features_is_refused():
    class Bare(FeatureMatching):
        def build_networks(self):
            generator, _ = super().build_networks()
            return generator, nn.Linear(2, 1)

    message = "^feature matching needs a critic with features, such as .*, and Linear has none$"
    with pytest.raises(ValueError, match=message):
        Bare(VECTOR)
    with pytest.raises(ValueError, match="there is no feature_norm 'l3': choose from l1, l2"):
        tiny("feature_matching", feature_norm="l3")


def distances_of_ranks(total):
    """The distance of features, and its gradient; each rank has its part of the samples."""
    torch.manual_seed(0)
    model = matching()
    x, z = torch.randn(total, 2).double(), torch.rand(total, 4).double()
    x, z = x[share()], z[share()]
    loss, _ = model.generator_objective(x, None, z)
    loss.backward()
    gradient = model.generator.net[0].weight.grad
    # As DDP averages them.
    return loss.detach(), mean_over_ranks(gradient)


def test_the_means_of_features_are_over_all_ranks(ranks):
    loss, gradient = distances_of_ranks(6)
    for result in ranks(distances_of_ranks, 6):
        torch.testing.assert_close(result[0], loss)
        torch.testing.assert_close(result[1], gradient)


# The layer of minibatch discrimination.


def layer(features=4, kernels=3, kernel_dim=2):
    return MinibatchLayer(features, kernels, kernel_dim).double()


def test_the_layer_computes_the_equation_of_the_paper_with_the_weights_of_the_code():
    made = layer()
    nn.init.normal_(made.log_scale)
    nn.init.normal_(made.shift)
    h = torch.randn(5, 4).double()
    out = made(h)
    assert torch.equal(out[:, :4], h)
    for b in range(3):
        weight = made.weight[:, b] / made.weight[:, b].square().sum(0).sqrt()
        rows = h @ (weight * made.log_scale[b].exp())
        for i in range(5):
            others = [j for j in range(5) if j != i]
            close = sum(torch.exp(-(rows[i] - rows[j]).abs().sum()) for j in others)
            torch.testing.assert_close(out[i, 4 + b], close + made.shift[b])


def test_equal_samples_are_close_and_far_ones_are_not():
    made = layer()
    h = torch.randn(1, 4).double().expand(5, 4)
    torch.testing.assert_close(made.closeness(h), torch.full((5, 3), 4.0).double())
    far = torch.randn(5, 4).double() * 1e6
    torch.testing.assert_close(made.closeness(far), torch.zeros(5, 3).double())
    assert torch.equal(made.shift, torch.full((3,), -1.0).double())


def test_the_layer_permutes_with_its_batch_and_couples_its_samples():
    made = layer()
    h = torch.randn(5, 4).double().requires_grad_()
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(made(h)[order], made(h[order]))
    (gradient,) = torch.autograd.grad(made.closeness(h)[0].sum(), h)
    assert (gradient != 0).all()
    assert torch.autograd.gradcheck(made, h)


def test_the_layer_starts_from_data():
    made = layer()
    h = torch.randn(50, 4).double() * 7
    made.start(h)
    distances = made._distances(h)
    distances[torch.arange(50), torch.arange(50)] = torch.inf
    # Half the mean distance to the nearest is 1, and the mean of what is appended 0.
    torch.testing.assert_close(distances.amin(1).mean(0), torch.full((3,), 2.0).double())
    torch.testing.assert_close(made(h)[:, 4:].mean(0), torch.zeros(3).double())


@pytest.mark.parametrize("h", [torch.ones(5, 4), torch.ones(1, 4)])
def test_the_layer_starts_with_samples_that_are_not_apart(h):
    made = layer()
    made.start(h.double())
    assert made(h.double()).isfinite().all()
    assert not made.log_scale.any()


def outputs_of_ranks(total):
    """The layer after its start, and its gradients; each rank has its part of the samples."""
    torch.manual_seed(0)
    made, h = layer(), torch.randn(total, 4).double()
    h = h[share()].requires_grad_()
    made.start(h.detach())
    out = made(h)
    out.square().mean().backward()
    gradients = [mean_over_ranks(p.grad) for p in made.parameters()]
    # The mean over ranks is the loss: so is each rank's part of the gradient for its samples.
    return out.detach(), h.grad, made.log_scale.detach(), made.shift.detach(), *gradients


def test_samples_are_compared_with_those_of_all_ranks(ranks):
    out, gradient, *same = outputs_of_ranks(8)
    for rank, result in enumerate(ranks(outputs_of_ranks, 8)):
        torch.testing.assert_close(result[0], out[rank::2])
        torch.testing.assert_close(result[1] / 2, gradient[rank::2])
        torch.testing.assert_close(result[2:], tuple(same))


# The technique.


def discrimination(shape=IMAGE, **options):
    return tiny("minibatch_discrimination", shape, **({"kernels": 3} | options))


def test_the_critic_has_the_layer_before_its_last_one():
    model = discrimination(**CONVOLUTIONS)
    features = model.critic.features
    x, _ = samples(IMAGE, 6)
    assert features.minibatch.weight.shape == (features.features.out_features, 3, 5)
    assert model.critic.head.linear.in_features == features.features.out_features + 3
    assert torch.equal(features(x), features.minibatch(features.features(x)))
    for wrong in ({"kernels": 0}, {"kernel_dim": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least 1"):
            discrimination(**wrong)


@pytest.mark.parametrize("shape", [VECTOR, IMAGE])
def test_real_and_generated_samples_are_not_compared_with_each_other(shape):
    model = discrimination(shape)
    model.critic.eval()
    x, _ = samples(shape, 4)
    fake = torch.randn(4, *shape)
    real_scores, fake_scores = model.compare(x, fake, None)
    torch.testing.assert_close(real_scores, model.critic(x))
    torch.testing.assert_close(fake_scores, model.critic(fake))
    assert not torch.allclose(real_scores, model.critic(torch.cat([x, fake]))[:4], atol=1e-6)


# Layers that start from data.


def test_layers_start_once_with_the_first_batch(tmp_path, monkeypatch):
    model = discrimination(network="improved_gan_noise")
    first = copy.deepcopy(model)
    seen = []
    start = model.on_first_batch

    def watched(x, y):
        start(x, y)
        seen.extend([len(x), state(model.critic)])

    monkeypatch.setattr(model, "on_first_batch", watched)
    train(model, batches(IMAGE), 3).save_checkpoint(tmp_path / "3.ckpt")
    assert seen[0] == 10
    assert len(seen) == 2
    flags = [value for key, value in seen[1].items() if key.endswith("started")]
    assert len(flags) == 7
    assert all(flags)
    moved = {
        name.rsplit(".", 1)[-1]
        for name in seen[1]
        if not torch.equal(seen[1][name], state(first.critic)[name])
    }
    assert moved == {"bias", "scale", "started", "log_scale", "shift"}
    # Neither resumed training, nor training that starts anew from trained weights, starts them.
    train(model, batches(IMAGE), 5, ckpt_path=tmp_path / "3.ckpt")
    assert len(seen) == 2
    trained = state(model.critic)
    model.on_first_batch(samples(IMAGE, 10)[0], None)
    assert differences(trained, state(model.critic)) == []


def test_a_run_with_layers_that_start_resumes_exactly(tmp_path):
    def run(steps, ckpt_path=None):
        torch.manual_seed(0)
        model = discrimination(ema_decay=0.9)
        return model, train(model, fixed(1), steps, ckpt_path=ckpt_path)

    whole, _ = run(6)
    run(2)[1].save_checkpoint(tmp_path / "2.ckpt")
    resumed, _ = run(6, tmp_path / "2.ckpt")
    assert differences(state(whole), state(resumed)) == []


def test_other_techniques_draw_nothing_for_a_start(monkeypatch):
    monkeypatch.setattr("gan_lightning.gan.start_from_data", None)
    model = tiny("sngan", IMAGE)  # draws noise to dequantize
    before = torch.get_rng_state()
    model.on_first_batch(samples(IMAGE, 4)[0], None)
    assert torch.equal(torch.get_rng_state(), before)


# The authors' networks.


def layers(network):
    kinds = (nn.Conv2d, nn.ConvTranspose2d, Dropout, GaussianNoise, nn.Linear)
    return [module for module in network.modules() if isinstance(module, kinds)]


@pytest.mark.parametrize("name", ["improved_gan", "improved_gan_noise"])
def test_the_networks_at_32_pixels_have_the_layers_of_the_code(name):
    family = FAMILIES[name]
    with torch.device("meta"):
        generator = family.make_generator((3, 32, 32), 100, 0, 128)
        critic = family.make_critic((3, 32, 32), 0, 96, "none")
    dense, *up = layers(generator)
    assert (dense.in_features, dense.out_features) == (100, 512 * 4 * 4)
    assert [(m.in_channels, m.out_channels) for m in up] == [(512, 256), (256, 128), (128, 3)]
    assert {(m.kernel_size, m.stride) for m in up} == {((5, 5), (2, 2))}
    noise, *rest, head = layers(critic)
    assert isinstance(noise, GaussianNoise if name == "improved_gan_noise" else Dropout)
    found = [
        m.p
        if isinstance(m, Dropout)
        else (m.out_channels, m.kernel_size[0], m.stride[0], m.padding[0])
        for m in rest
    ]
    assert found == [
        *[(96, 3, 1, 1), (96, 3, 1, 1), (96, 3, 2, 1), 0.5],
        *[(192, 3, 1, 1), (192, 3, 1, 1), (192, 3, 2, 1), 0.5],
        *[(192, 3, 1, 0), (192, 1, 1, 0), (192, 1, 1, 0)],
    ]
    assert head.in_features == 192
    slopes = [m.negative_slope for m in critic.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.2] * 9


def test_weights_are_normalised_and_start_from_data():
    conv = WeightNormConv2d(3, 4, 3, 2, 1).double()
    x = torch.randn(20, 3, 8, 8).double() * 5 + 2
    weight = conv.weight / conv.weight.flatten(1).norm(dim=1)[:, None, None, None]
    expected = nn.functional.conv2d(x, weight, conv.bias, stride=2, padding=1)
    torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-4)
    conv.start(x)
    out = conv(x)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(4).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(out.var((0, 2, 3)), torch.ones(4).double(), rtol=0, atol=1e-2)
    assert [name for name, _ in conv.named_parameters()] == ["weight", "bias"]


def test_each_layer_starts_after_those_before_it():
    critic = FAMILIES["improved_gan"].make_critic(IMAGE, 0, 8, "none").eval()
    x, _ = samples(IMAGE, 30)
    start_from_data(critic, x, None)
    seen = []
    for module in critic.modules():
        if isinstance(module, WeightNormConv2d):
            module.register_forward_hook(lambda module, args, out: seen.append(out))
    critic(x)
    assert len(seen) == 6
    for out in seen:
        assert out.mean((0, 2, 3)).abs().max() < 1e-4
        assert (out.std((0, 2, 3)) - 1).abs().max() < 0.05


@pytest.mark.parametrize("module", [Dropout(0.4), GaussianNoise(0.2)])
def test_noise_is_there_in_training_alone_and_the_same_in_each_memory_format(module):
    x = torch.rand(100, 3, 10, 10) + 1
    assert torch.equal(module.eval()(x), x)
    module.train()
    outs = []
    for each in (x, x.contiguous(memory_format=torch.channels_last)):
        torch.manual_seed(3)
        outs.append(module(each))
    assert torch.equal(*outs)
    out = outs[0]
    if isinstance(module, Dropout):
        assert (out == 0).float().mean().item() == pytest.approx(0.4, abs=0.01)
        kept = out != 0
        torch.testing.assert_close(out[kept], x[kept] / 0.6)
    else:
        assert (out - x).std().item() == pytest.approx(0.2, abs=0.01)
        assert (out - x).mean().item() == pytest.approx(0, abs=0.01)


def test_images_of_an_untrained_generator_have_the_deviation_that_the_code_starts_with():
    generator = FAMILIES["improved_gan"].make_generator((3, 32, 32), 100, 0, 128)
    with torch.no_grad():
        assert generator(torch.rand(16, 100)).std().item() == pytest.approx(0.1, abs=0.02)


def test_closeness_keeps_its_digits_under_autocast():
    torch.manual_seed(0)
    layer, h = MinibatchLayer(16, kernels=8), torch.randn(12, 16)
    expected = layer.closeness(h)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer.closeness(h), expected, rtol=0, atol=0)


def test_layers_start_from_the_samples_of_the_first_critic_update():
    model = tiny("minibatch_discrimination", n_critic=2)
    x, _ = samples(VECTOR, 8)
    expected = copy.deepcopy(model)
    start_from_data(expected.critic, x[:4], None)
    model.on_first_batch(x, None)
    assert not differences(state(model.critic), state(expected.critic))
