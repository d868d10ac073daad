"""Unrolled GAN: the gradient through the critic's steps, and that these leave no trace."""

import copy

import pytest
import torch
from helpers import IMAGE, VECTOR, batches, differences, samples, state, tiny, train
from torch import nn

from gan_lightning.penalties import Regularizer
from gan_lightning.techniques import unrolled
from gan_lightning.techniques.unrolled import AdamState, adam_step
from gan_lightning.utils.errors import ArgumentError

# Steps of Adam.


def test_a_functional_step_is_a_step_of_adam():
    torch.manual_seed(0)
    for betas in [(0.5, 0.999), (0.0, 0.9)]:
        weights = nn.Parameter(torch.randn(20, dtype=torch.float64))
        adam = torch.optim.Adam([weights], lr=0.01, betas=betas, fused=True)
        zeros = torch.zeros(20, dtype=torch.float64)
        kept = AdamState(torch.tensor(0.01, dtype=torch.float64), zeros[0], zeros, zeros, betas)
        ours = weights.detach().clone()
        for _ in range(5):
            weights.grad = torch.randn(20, dtype=torch.float64)
            ours, kept = adam_step(ours, weights.grad, kept)
            adam.step()
            torch.testing.assert_close(ours, weights.detach(), rtol=0, atol=1e-13)
        assert kept.step == adam.state[weights]["step"] == 5
        torch.testing.assert_close(kept.mean, adam.state[weights]["exp_avg"])
        torch.testing.assert_close(kept.square, adam.state[weights]["exp_avg_sq"])


def test_weights_that_no_sample_reaches_stay_and_have_a_gradient():
    zeros = torch.zeros(2)
    gradient = torch.tensor([0.0, 1.0], requires_grad=True)
    weights, _ = adam_step(zeros, gradient, AdamState(zeros[0] + 1, zeros[0], zeros, zeros, (0, 0)))
    assert weights.tolist() == [0, pytest.approx(-1)]
    weights[1].backward()
    assert gradient.grad.isfinite().all()


# The bilinear game f = w (1 - theta): the critic w ascends, the generator theta descends.

W, THETA, RATE = 0.7, 0.2, 0.1


class Bilinear(unrolled.UnrolledGAN):
    """A critic of one weight, whose score times a sample is f, and a generator of one point."""

    def build_networks(self):
        class Critic(nn.Linear):
            def forward(self, x, y=None):
                return super().forward(x)[:, 0]

        generator, critic = nn.Linear(1, 1, bias=True), Critic(1, 1, bias=False)
        generator, critic = generator.double(), critic.double()
        nn.init.zeros_(generator.weight)
        nn.init.constant_(generator.bias, THETA)
        nn.init.constant_(critic.weight, W)
        generator.forward = lambda z, y: nn.Linear.forward(generator, z)
        return generator, critic

    def critic_loss(self, real, fake):
        return fake.mean() - real.mean()

    def generator_loss(self, fake):
        return -fake.mean()


def descend(weights, gradient, adam):
    return weights - RATE * gradient, adam


def descend_without_a_graph(weights, gradient, adam):
    return weights - RATE * gradient.detach(), adam


# f = w e with e = 1 - theta: -w, then -w - eta e as w moves to w + eta e, and as much again because
# that movement depends on theta.
@pytest.mark.parametrize(
    ("steps", "step", "expected"),
    [(0, descend, -0.7), (1, descend_without_a_graph, -0.78), (1, descend, -0.86)],
)
def test_the_bilinear_game_has_the_gradient_of_the_unrolled_objective(
    steps, step, expected, monkeypatch
):
    monkeypatch.setattr(unrolled, "adam_step", step)
    model = Bilinear((1,), unrolled_steps=steps, latent_dim=1)
    x, z = torch.ones(4, 1, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64)
    loss, _ = model.generator_objective(x, None, z)
    loss.backward()
    assert model.generator.bias.grad.item() == pytest.approx(expected, abs=1e-12)


# Live moments.


def trained(shape=VECTOR, num_classes=0, steps=3, **hyperparameters):
    """A model in float64 and the state of its critic's optimiser after a few steps."""
    options = {"critic_lr": 1e-2, "precision": "64-true"} | hyperparameters
    precision = options.pop("precision")
    torch.manual_seed(0)
    model = tiny("unrolled", shape, num_classes, **options)
    train(model, batches(shape), max_steps=steps, precision=precision)
    return model, model.critic_adam()


def arguments(model, n=6):
    torch.manual_seed(1)
    x, y = samples(model.shape, n)
    dtype = next(model.parameters()).dtype
    y = y if model.num_classes else None
    return x.to(dtype), y, torch.randn(n, model.latent_dim, dtype=dtype)


def test_the_state_is_that_of_the_live_optimiser():
    model, adam = trained(steps=4, decay_steps=8)
    optimizer = model.trainer.optimizers[0]
    assert adam.step == 4
    assert adam.lr == pytest.approx(1e-2 / 2)
    assert adam.betas == (0.5, 0.999)
    moments = [optimizer.state[p] for p in model.critic.parameters()]
    assert torch.equal(adam.mean, torch.cat([each["exp_avg"].flatten() for each in moments]))
    assert torch.equal(adam.square, torch.cat([each["exp_avg_sq"].flatten() for each in moments]))
    assert adam.mean.dtype == torch.float64


@pytest.mark.parametrize("live", [True, False])
def test_the_unrolled_steps_are_those_that_the_critic_would_make(live):
    model, adam = trained(steps=3)
    x, _, z = arguments(model)
    loss, terms = model.generator_objective(x, None, z, None, adam if live else None)
    critic, optimizer = copy.deepcopy(model.critic), None
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.5, 0.999))
    if live:
        optimizer.load_state_dict(model.trainer.optimizers[0].state_dict())
    generated = model.generator(z, None).detach()
    values = []
    for _ in range(model.unrolled_steps):
        values.append(model.critic_loss(critic(x, None), critic(generated, None)))
        optimizer.zero_grad()
        values[-1].backward()
        optimizer.step()
    values.append(model.critic_loss(critic(x, None), critic(generated, None)))
    assert loss.item() == pytest.approx(-values[-1].item(), abs=1e-9)
    gain = values[0].item() - values[-1].item()
    assert terms["unrolled_gain"].item() == pytest.approx(gain, abs=1e-9)


@pytest.mark.parametrize(("shape", "num_classes"), [(VECTOR, 0), (VECTOR, 3), (IMAGE, 0)])
def test_the_gradient_agrees_with_finite_differences(shape, num_classes):
    model, adam = trained(shape, num_classes, unrolled_steps=3)
    # Leaky units have no second derivative at 0, and batch normalisation is not what is tested.
    for network in (model.critic, model.generator):
        for module in network.modules():
            for name, child in module.named_children():
                if isinstance(child, nn.ReLU | nn.LeakyReLU):
                    setattr(module, name, nn.Softplus())
    given = arguments(model)

    def loss():
        return model.generator_objective(*given, None, adam)[0]

    model.generator.zero_grad()
    loss().backward()
    for parameter in model.generator.parameters():
        direction = torch.randn(parameter.shape, dtype=torch.float64)
        expected = (parameter.grad * direction).sum().item()
        ends = []
        with torch.no_grad():
            for size in (1e-5, -2e-5):
                parameter += size * direction
                ends.append(loss().item())
            parameter += 1e-5 * direction
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(expected, abs=1e-6, rel=1e-6)


def test_the_gradient_is_not_that_of_its_first_order_impostor(monkeypatch):
    model, adam = trained(unrolled_steps=5)
    given = arguments(model)
    gradients = []
    for detached in (False, True):
        if detached:
            monkeypatch.setattr(
                unrolled, "adam_step", lambda w, g, adam: adam_step(w, g.detach(), adam)
            )
        model.generator.zero_grad()
        model.generator_objective(*given, None, adam)[0].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.generator.parameters()]))
    assert (gradients[0] - gradients[1]).norm() > 0.1 * gradients[0].norm()


# No trace.


@pytest.mark.parametrize("shape", [VECTOR, IMAGE])
def test_without_unrolled_steps_it_is_a_plain_gan_bit_for_bit(shape):
    options = {"critic_lr": 1e-3, "generator_lr": 1e-3, "betas": (0.5, 0.999)}
    models = []
    for name, own in [
        ("unrolled", {"unrolled_steps": 0}),
        ("dcgan", {"objective": "minimax", "critic_norm": "none"}),
    ]:
        torch.manual_seed(0)
        model = tiny(name, shape, **options, **own)
        # DCGAN's latents are uniform.
        model.draw_latents = lambda n, model=model: torch.randn(n, model.latent_dim)
        train(model, batches(shape), max_steps=4)
        models.append(state(model))
    assert differences(*models) == []


@pytest.mark.parametrize("steps", [0, 2])
def test_the_generators_update_changes_nothing_of_the_critic(steps, monkeypatch):
    model = tiny("unrolled", IMAGE, unrolled_steps=steps, critic_norm="layer")
    objective, seen = model.generator_objective, []

    def watched(*args):
        def now():
            saved = copy.deepcopy(model.trainer.optimizers[0].state_dict())
            gradients = [p.grad.clone() for p in model.critic.parameters()]
            return [state(model.critic), gradients, saved]

        before = now()
        result = objective(*args)
        result[0].backward(retain_graph=True)
        seen.append(differences(before, now()))
        model.generator.zero_grad()
        return result

    monkeypatch.setattr(model, "generator_objective", watched)
    train(model, batches(IMAGE), max_steps=3)
    assert seen == [[]] * 3


def test_a_critic_with_state_of_its_own_is_refused():
    with pytest.raises(ValueError, match="critic_norm must be none or layer"):
        tiny("unrolled", IMAGE, critic_norm="batch")

    for normalize in (nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm):

        class Spectral(unrolled.UnrolledGAN):
            def build_networks(self, normalize=normalize):
                generator, critic = super().build_networks()
                for layer in critic.modules():
                    if isinstance(layer, nn.Linear):
                        normalize(layer)
                return generator, critic

        with pytest.raises(ValueError, match="spectral normalisation: build_networks without it"):
            Spectral(VECTOR, generator_width=8, critic_width=8)
    with pytest.raises(ValueError, match="unrolled_steps must be at least 0"):
        tiny("unrolled", unrolled_steps=-1)


def test_what_unrolled_steps_would_leave_out_is_refused():
    class Mixing(unrolled.UnrolledGAN):
        def build_networks(self):
            generator, critic = super().build_networks()
            critic.features.net.append(nn.BatchNorm1d(critic.features.out_features))
            return generator, critic

    class Penalised(unrolled.UnrolledGAN):
        def critic_regularizers(self):
            return [Regularizer(lambda x, y, fake: (x.new_zeros(()), {}))]

    for technique, reason in ((Mixing, "layers that mix samples"), (Penalised, "regularizers")):
        with pytest.raises(ValueError, match=reason):
            technique(VECTOR, generator_width=8, critic_width=8)


@pytest.mark.parametrize("options", [{"weight_decay": 0.1}, {"amsgrad": True}])
def test_another_optimiser_than_plain_adam_is_refused(options, monkeypatch):
    model = tiny("unrolled")
    monkeypatch.setattr(
        model, "make_optimizer", lambda net, lr: torch.optim.Adam(net.parameters(), lr, **options)
    )
    with pytest.raises(ArgumentError, match="make_optimizer must return that"):
        train(model, batches(), max_steps=1)
    monkeypatch.setattr(
        model, "make_optimizer", lambda net, lr: torch.optim.RMSprop(net.parameters(), lr)
    )
    with pytest.raises(ArgumentError, match="make_optimizer must return that"):
        train(model, batches(), max_steps=1)


# Compiled.


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "num_classes"), [(VECTOR, 0), (IMAGE, 3)])
def test_a_traced_objective_has_the_gradient_of_the_eager_one(shape, num_classes):
    model, adam = trained(shape, num_classes, unrolled_steps=2)
    given = arguments(model)
    objective = torch.compile(
        type(model).generator_objective, fullgraph=True, dynamic=False, backend="aot_eager"
    )
    gradients = []
    for run in (type(model).generator_objective, objective):
        torch.manual_seed(0)
        model.generator.zero_grad()
        loss, _ = run(model, *given, None, adam)
        loss.backward()
        gradients.append([loss.detach(), *(p.grad.clone() for p in model.generator.parameters())])
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_a_decaying_rate_compiles_once():
    frames = []

    def count(graph, inputs):
        frames.append(graph)
        return graph.forward

    model, adam = trained(unrolled_steps=1)
    given = arguments(model)
    objective = torch.compile(
        type(model).generator_objective, fullgraph=True, dynamic=False, backend=count
    )
    for i in range(3):
        changed = adam._replace(lr=adam.lr * 0.5**i, step=adam.step + i)
        objective(model, *given, None, changed)
    assert len(frames) == 1
