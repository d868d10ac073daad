"""Every loss against values computed by hand, and the sign of its gradients."""

import pytest
import torch
import torch.nn.functional as F

from gan_lightning import losses

# real = (1, -2), fake = (3, -1). softplus: -1 -> 0.3132617, 2 -> 2.1269280, 3 -> 3.0485874.
VALUES = {
    "logistic_critic_loss": (0.3132617 + 2.1269280) / 2 + (3.0485874 + 0.3132617) / 2,
    "logistic_generator_loss": (0.0485874 + 1.3132617) / 2,
    "minimax_generator_loss": -(3.0485874 + 0.3132617) / 2,
    "wasserstein_critic_loss": 1.0 + 0.5,
    "wasserstein_generator_loss": -1.0,
    "least_squares_critic_loss": (0 + 9) / 2 / 2 + (9 + 1) / 2 / 2,
    "least_squares_generator_loss": (4 + 4) / 2 / 2,
    "hinge_critic_loss": (0 + 3) / 2 + (4 + 0) / 2,
    "hinge_generator_loss": -1.0,
    "equilibrium_critic_loss": -0.5 - 0.25 * 1.0,
    "equilibrium_generator_loss": 1.0,
    # Of the differences (2, 1).
    "relativistic_critic_loss": (2.1269280 + 1.3132617) / 2,
    "relativistic_generator_loss": (0.1269280 + 0.3132617) / 2,
}
CRITIC_LOSSES = [name for name in VALUES if name.endswith("critic_loss")]
GENERATOR_LOSSES = [name for name in VALUES if name.endswith("generator_loss")]


def critic_loss(name, real, fake):
    k = {"k": 0.25} if name.startswith("equilibrium") else {}
    return getattr(losses, name)(real, fake, **k)


def generator_loss(name, real, fake):
    scores = (fake, real) if name.startswith("relativistic") else (fake,)
    return getattr(losses, name)(*scores)


def loss(name, real, fake):
    if name in CRITIC_LOSSES:
        return critic_loss(name, real, fake)
    return generator_loss(name, real, fake)


def test_every_loss_is_tested():
    assert {name for name in vars(losses) if name.endswith("_loss")} == set(VALUES)


@pytest.mark.parametrize("name", VALUES)
def test_a_loss_equals_its_value_computed_by_hand(name):
    value = loss(name, torch.tensor([1.0, -2.0]), torch.tensor([3.0, -1.0]))
    assert value.shape == ()
    assert value.item() == pytest.approx(VALUES[name], abs=1e-6)


@pytest.mark.parametrize("name", CRITIC_LOSSES)
def test_the_critic_raises_real_scores_and_lowers_fake_ones(name):
    # Within every margin. BEGAN's score is a reconstruction error, so its signs are reversed.
    real = torch.tensor([0.3, -0.2], requires_grad=True)
    fake = torch.tensor([0.4, 0.1], requires_grad=True)
    critic_loss(name, real, fake).backward()
    higher_is_real = -1 if name.startswith("equilibrium") else 1
    assert (higher_is_real * real.grad < 0).all()
    assert (higher_is_real * fake.grad > 0).all()


@pytest.mark.parametrize("name", GENERATOR_LOSSES)
def test_the_generator_raises_fake_scores(name):
    fake = torch.tensor([0.4, -0.1], requires_grad=True)
    generator_loss(name, torch.zeros(2), fake).backward()
    higher_is_real = -1 if name.startswith("equilibrium") else 1
    assert (higher_is_real * fake.grad < 0).all()


def test_logistic_losses_are_binary_cross_entropies():
    real, fake = torch.randn(2, 16) * 5
    bce = F.binary_cross_entropy_with_logits
    one, zero = torch.ones(16), torch.zeros(16)
    torch.testing.assert_close(
        losses.logistic_critic_loss(real, fake), bce(real, one) + bce(fake, zero)
    )
    torch.testing.assert_close(losses.logistic_generator_loss(fake), bce(fake, one))


def test_labels_can_be_smoothed_on_one_or_both_sides():
    real, fake = torch.randn(2, 16) * 5
    bce = F.binary_cross_entropy_with_logits
    for alpha, beta in [(0.9, 0.0), (0.9, 0.1), (0.7, 0.3)]:
        torch.testing.assert_close(
            losses.logistic_critic_loss(real, fake, alpha, beta),
            bce(real, torch.full((16,), alpha)) + bce(fake, torch.full((16,), beta)),
        )


def test_a_smoothed_label_has_a_finite_optimal_score():
    # sigma(score) = 0.9 at log 9, where the gradient for a label of 0.9 is zero.
    real = torch.tensor([2.1972246], requires_grad=True)
    losses.logistic_critic_loss(real, torch.zeros(1), real_label=0.9).backward()
    assert real.grad.item() == pytest.approx(0, abs=1e-6)


def test_the_minimax_gradient_vanishes_where_the_critic_is_confident():
    fake = torch.tensor([-20.0], requires_grad=True)
    losses.minimax_generator_loss(fake).backward()
    assert fake.grad.item() == pytest.approx(0, abs=1e-6)


def test_logistic_losses_are_finite_at_large_scores():
    large = torch.tensor([1e4])
    assert losses.logistic_critic_loss(-large, large).item() == pytest.approx(2e4)
    assert losses.logistic_generator_loss(-large).item() == pytest.approx(1e4)


def test_the_non_saturating_gradient_remains_where_the_critic_is_confident():
    fake = torch.tensor([-20.0], requires_grad=True)
    losses.logistic_generator_loss(fake).backward()
    assert fake.grad.item() == pytest.approx(-1, abs=1e-6)


def test_least_squares_targets_can_be_set():
    # Mao et al. 2017, eq. 8: a, b, c = -1, 1, 0.
    real, fake = torch.tensor([2.0, 1.0]), torch.tensor([0.0, 1.0])
    value = losses.least_squares_critic_loss(real, fake, fake_target=-1, real_target=1)
    assert value.item() == pytest.approx((1 + 0) / 2 / 2 + (1 + 4) / 2 / 2)
    assert losses.least_squares_generator_loss(fake, target=0).item() == pytest.approx(0.25)


def test_the_hinge_loss_is_flat_beyond_its_margin():
    real = torch.tensor([1.5, 0.5], requires_grad=True)
    fake = torch.tensor([-1.5, -0.5], requires_grad=True)
    losses.hinge_critic_loss(real, fake).backward()
    assert real.grad.tolist() == [0, -0.5]
    assert fake.grad.tolist() == [0, 0.5]


@pytest.mark.parametrize("k", [0.0, 0.5, torch.tensor(1.0)])
def test_k_weights_only_the_errors_of_generated_samples(k):
    real = torch.tensor([1.0, 3.0], requires_grad=True)
    fake = torch.tensor([4.0, 6.0], requires_grad=True)
    value = losses.equilibrium_critic_loss(real, fake, k)
    value.backward()
    assert value.item() == pytest.approx(2 - 5 * float(k))
    assert real.grad.tolist() == [0.5, 0.5]
    assert fake.grad.tolist() == [-float(k) / 2] * 2
