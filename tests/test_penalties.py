"""The gradient penalty, on critics whose gradient is known."""

import pytest
import torch
from torch import nn

from gan_lightning.penalties import (
    gradient_penalty,
    interpolate_gradient_norms,
    norm_penalty,
)

VECTOR, IMAGE = (2,), (3, 4, 4)


class Linear(nn.Module):
    """A linear critic whose gradient has this norm everywhere."""

    def __init__(self, shape, norm):
        super().__init__()
        direction = torch.randn(shape)
        self.weight = nn.Parameter(norm * direction / direction.norm())

    def forward(self, x, y=None):
        return (x * self.weight).flatten(1).sum(dim=1)


class Smooth(nn.Module):
    """A critic whose gradient depends on the sample and, with classes, on the label."""

    def __init__(self, shape, num_classes=0):
        super().__init__()
        dim = torch.Size(shape).numel()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(dim, 8), nn.Tanh())
        self.head = nn.Embedding(max(num_classes, 1), 8)

    def forward(self, x, y=None):
        y = torch.zeros(len(x), dtype=torch.long) if y is None else y
        return (self.net(x) * self.head(y)).sum(dim=1)


def reference(critic, real, fake, y=None):
    """An independent penalty with autograd.grad, one sample at a time."""
    epsilon = torch.rand(len(real), *[1] * (real.dim() - 1))
    x = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
    terms = []
    for i in range(len(x)):
        score = critic(x[i : i + 1], None if y is None else y[i : i + 1]).squeeze()
        (gradient,) = torch.autograd.grad(score, x, create_graph=True)
        terms.append((gradient[i].square().sum().sqrt() - 1) ** 2)
    return sum(terms) / len(terms)


@pytest.mark.parametrize("shape", [VECTOR, IMAGE])
@pytest.mark.parametrize(("norm", "expected"), [(5, 16), (1, 0), (0.5, 0.25)])
def test_a_linear_critic_pays_the_square_of_its_norm_minus_one(shape, norm, expected):
    real, fake = torch.randn(2, 6, *shape)
    value = gradient_penalty(Linear(shape, norm), real, fake)
    assert value.shape == ()
    assert value.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("norm", "target", "one_sided", "expected"),
    [(5, 2, False, 9), (0.5, 0, False, 0.25), (5, 1, True, 16), (0.5, 1, True, 0), (3, 2, True, 1)],
)
def test_the_penalty_can_have_another_target_and_be_one_sided(norm, target, one_sided, expected):
    real, fake = torch.randn(2, 6, *VECTOR)
    value = gradient_penalty(Linear(VECTOR, norm), real, fake, None, target, one_sided)
    assert value.item() == pytest.approx(expected, abs=1e-4)


def test_there_is_one_norm_per_sample_and_they_give_the_penalty():
    critic = Smooth(VECTOR)
    real, fake = torch.randn(2, 6, *VECTOR)
    torch.manual_seed(1)
    norms = interpolate_gradient_norms(critic, real, fake)
    torch.manual_seed(1)
    assert norms.shape == (6,)
    torch.testing.assert_close(norm_penalty(norms), gradient_penalty(critic, real, fake))
    torch.testing.assert_close(norm_penalty(norms), ((norms - 1) ** 2).mean())


@pytest.mark.parametrize("shape", [VECTOR, IMAGE])
def test_each_sample_has_its_own_epsilon(shape):
    seen = []

    def critic(x, y):
        seen.append(x)
        return x.flatten(1).sum(dim=1)

    # Between zeros and ones, an interpolate equals its epsilon.
    gradient_penalty(critic, torch.ones(64, *shape), torch.zeros(64, *shape))
    (x,) = (torch.func.debug_unwrap(x, recurse=True).detach().flatten(1) for x in seen)
    assert (x == x[:, :1]).all()
    epsilon = x[:, 0]
    assert len(epsilon.unique()) == 64
    assert 0 <= epsilon.min() < 0.2
    assert 0.8 < epsilon.max() <= 1


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("shape", [VECTOR, IMAGE])
def test_value_and_parameter_gradients_equal_an_independent_reference(shape, num_classes):
    critic = Smooth(shape, num_classes)
    real, fake = torch.randn(2, 5, *shape)
    y = torch.tensor([0, 1, 2, 1, 0]) if num_classes else None
    results = []
    for penalty in (gradient_penalty, reference):
        torch.manual_seed(1)
        value = penalty(critic, real, fake, y)
        gradients = torch.autograd.grad(value, critic.parameters())
        results.append((value, *gradients))
    torch.testing.assert_close(*results)
    assert all(gradient.abs().max() > 0 for gradient in results[0][1:])


def test_the_labels_reach_the_critic():
    critic = Smooth(VECTOR, num_classes=2)
    real, fake = torch.randn(2, 5, *VECTOR)
    values = []
    for label in (0, 1):
        torch.manual_seed(1)
        values.append(gradient_penalty(critic, real, fake, torch.full((5,), label)).item())
    assert abs(values[0] - values[1]) > 1e-3


def test_the_generator_gets_no_gradient():
    real, fake = torch.randn(2, 5, *VECTOR)
    fake.requires_grad_()
    gradient_penalty(Smooth(VECTOR), real, fake).backward()
    assert fake.grad is None


def test_a_critic_that_mixes_samples_raises():
    critic = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))
    with pytest.raises(RuntimeError, match="in-place operation"):
        gradient_penalty(lambda x, y: critic(x).squeeze(1), *torch.randn(2, 5, *VECTOR))
