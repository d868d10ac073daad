"""Regularisers by name, relativistic losses and top-k, for every technique that takes them."""

import math

import pytest
import torch
from helpers import IMAGE, KINDS, VECTOR, batches, differences, fixed, samples, state, tiny, train
from torch import nn

from gan_lightning import GAN, TECHNIQUES
from gan_lightning.losses import (
    hinge_critic_loss,
    least_squares_critic_loss,
    logistic_critic_loss,
    mean_of_top_share,
    minimax_generator_loss,
    relativistic_scores,
)
from gan_lightning.penalties import (
    consistency_penalty,
    lecam_penalty,
    norm_penalty,
    perturbed_gradient_norms,
)
from gan_lightning.regularizers import REGULARIZERS, LeCam, make_regularizers
from gan_lightning.utils.errors import ArgumentError, WrongFileError

ALL = ",".join(REGULARIZERS)
#: Those with batch normalisation in their critic, which mixes the gradients of samples.
UNNORMALISED = {name: {"critic_norm": "none"} for name in ("dcgan", "lsgan", "wgan")}
#: Those that take none, or not all.
REFUSING = ("unrolled", "began")
#: Those whose losses can be relativistic.
RELATIVE = ("dcgan", "lsgan", "sngan", "sagan", "minibatch_discrimination", "biggan", "stylegan")


def scores(n=32, seed=0):
    return torch.randn(2, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(a):
    return lambda x, y=None: x.flatten(1) @ a


# Identities.


def test_the_dragan_penalty_of_a_linear_critic_is_that_of_its_slope():
    a = torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64)
    x = torch.randn(7, 3, dtype=torch.float64)
    penalty = norm_penalty(perturbed_gradient_norms(linear(a), x))
    assert penalty.item() == pytest.approx((a.norm().item() - 1) ** 2)


def test_perturbed_samples_lie_within_half_a_deviation_above_real_ones():
    seen = []

    def critic(x, y):
        seen.append(x)
        return x.sum(dim=1)

    x = torch.randn(4000, 3)
    perturbed_gradient_norms(critic, x)
    moved = (seen[0] - x) / x.std()
    assert 0 <= moved.min() < 0.01
    assert 0.45 < moved.max() <= 0.5 + 1e-5
    # One share per sample: the largest of many values tells it.
    assert moved.mean().item() == pytest.approx(0.5 / 4, rel=0.05)


def test_consistency_is_nothing_where_nothing_changed():
    one, other = scores()
    assert consistency_penalty(one, one).item() == 0
    assert consistency_penalty(one, other).item() == pytest.approx(
        (one - other).square().mean().item()
    )


def test_lecam_is_nothing_between_the_anchors_and_a_square_outside():
    real, fake = torch.tensor([0.2, 0.9]), torch.tensor([0.1, 0.8])
    low, high = torch.tensor(0.0), torch.tensor(1.0)
    # Real scores below the anchor of generated ones, and these above that of real ones.
    assert lecam_penalty(real, fake, real_anchor=low, fake_anchor=high).item() == 0
    value = lecam_penalty(real, fake, real_anchor=high, fake_anchor=low).item()
    assert value == pytest.approx((0.2**2 + 0.9**2 + 0.9**2 + 0.2**2) / 2)


def test_the_anchors_of_lecam_are_averages_once_it_counts():
    term = LeCam()
    real, fake = (x.float() for x in scores())
    means = torch.stack([real.mean(), fake.mean()])
    term.updates.fill_(LeCam.start - 1)
    value, _ = term(None, None, None, None, (real, fake))
    assert value.item() == 0
    assert torch.equal(term.anchors, means)
    value, logged = term(None, None, None, None, (real + 1, fake + 2))
    after = 0.99 * means + 0.01 * (means + torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(term.anchors, after)
    expected = lecam_penalty(real + 1, fake + 2, after[0], after[1])
    assert value.item() == pytest.approx(expected.item())
    assert logged["lecam"].item() == pytest.approx(expected.item())


@pytest.mark.parametrize("comparison", ["pairs", "averages"])
def test_relativistic_losses_depend_on_differences_alone(comparison):
    real, fake = scores()
    losses = [
        logistic_critic_loss(*relativistic_scores(real + shift, fake + shift, comparison)).item()
        for shift in (0, 5)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    equal = logistic_critic_loss(*relativistic_scores(real, real.flip(0) * 0 + real, "pairs"))
    assert equal.item() / 2 == pytest.approx(math.log(2))
    constant = torch.full_like(real, 0.3)
    both = relativistic_scores(constant, constant, comparison)
    assert logistic_critic_loss(*both).item() / 2 == pytest.approx(math.log(2))


def test_relativistic_losses_are_those_of_the_paper():
    real, fake = scores()
    pairs = relativistic_scores(real, fake, "pairs")
    rsgan = nn.functional.softplus(-(real - fake)).mean()
    assert logistic_critic_loss(*pairs).item() / 2 == pytest.approx(rsgan.item())
    averages = relativistic_scores(real, fake, "averages")
    above, below = real - fake.mean(), fake - real.mean()
    ralsgan = (above - 1).square().mean() + (below + 1).square().mean()
    assert least_squares_critic_loss(*averages, fake_target=-1).item() * 2 == pytest.approx(
        ralsgan.item()
    )
    rahinge = (1 - above).relu().mean() + (1 + below).relu().mean()
    assert hinge_critic_loss(*averages).item() == pytest.approx(rahinge.item())


def test_the_loss_of_all_samples_is_the_plain_one_and_of_few_that_of_the_best():
    _, fake = scores(8)
    model = tiny("dcgan")
    plain = model.generator_loss(fake).item()
    assert mean_of_top_share(model.generator_loss, fake, torch.tensor(1.0)).item() == pytest.approx(
        plain
    )
    best = model.generator_loss(fake.sort(descending=True).values[:4]).item()
    assert mean_of_top_share(model.generator_loss, fake, torch.tensor(0.5)).item() == pytest.approx(
        best
    )
    one = model.generator_loss(fake.max()[None]).item()
    assert mean_of_top_share(
        model.generator_loss, fake, torch.tensor(0.01)
    ).item() == pytest.approx(one)


# The Dirac-GAN: real samples are 0, the generated one is theta, the critic is w x.


class Weight(nn.Module):
    def __init__(self, start):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([start]))


class Dirac(Weight):
    def forward(self, z, y=None):
        return self.weight.expand(len(z), 1)


class Slope(Weight):
    def forward(self, x, y=None):
        return (x * self.weight)[:, 0]


class DiracGAN(GAN):
    latent_dim: int = 1
    n_critic: int = 1
    critic_lr: float = 0.1
    generator_lr: float = 0.1

    critic_loss = TECHNIQUES["dcgan"].critic_loss
    objective = "non_saturating"
    real_label, fake_label = 1.0, 0.0

    def generator_loss(self, fake):
        return minimax_generator_loss(fake)

    def build_networks(self):
        return Dirac(0.5), Slope(0.5)

    def make_optimizer(self, network, lr):
        return torch.optim.SGD(network.parameters(), lr=lr)


@pytest.mark.parametrize(
    ("options", "ends"),
    [
        ({}, (0.9, 1.2)),
        # The generator's loss does not saturate, which is enough to come nearer, but very slowly.
        ({"relativistic": "pairs"}, (0.4, 1.2)),
        ({"regularize": "r1=1"}, (0, 0.02)),
        ({"regularize": "r2=1"}, (0, 0.02)),
        ({"regularize": "r1=0.5,r2=0.5", "relativistic": "pairs"}, (0, 0.02)),
    ],
)
def test_a_dirac_gan_orbits_without_a_penalty_and_spirals_in_with_one(options, ends):
    model = DiracGAN((1,), **options)
    train(model, torch.utils.data.DataLoader(torch.zeros(2400, 1), 8), 300)
    theta, w = model.generator.weight.item(), model.critic.weight.item()
    low, high = ends
    # In units of the radius at the start.
    assert low <= math.hypot(theta, w) / math.hypot(0.5, 0.5) <= high


# Every technique.


def with_regularizers(name, shape, regularize, **options):
    return tiny(name, shape, regularize=regularize, **(UNNORMALISED.get(name, {}) | options))


@pytest.mark.parametrize("name", [name for name in TECHNIQUES if name not in REFUSING])
def test_every_technique_trains_with_all_regularizers(name):
    options = {"network": "dcgan"} if name not in ("progressive",) else {}
    model = with_regularizers(name, IMAGE, ALL, **options)
    x, _ = samples(IMAGE, 8)
    loss, terms, _ = model.critic_objective(x, None, model.draw_latents(8))
    loss.backward()
    assert loss.isfinite()
    logged = {"r1", "r2", "gradient_norm/real", "lecam", "consistency", "consistency/fake"}
    assert logged <= set(terms)
    assert all(p.grad.isfinite().all() for p in model.critic.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", [*REGULARIZERS])
def test_a_regularizer_adds_its_weighted_value_to_the_critics_loss(name):
    x, _ = samples(IMAGE, 8)

    def loss(regularize):
        torch.manual_seed(0)
        model = with_regularizers("dcgan", IMAGE, regularize).double()
        if name == "lecam" and regularize != "none":
            model.regularizers["lecam"].updates.fill_(LeCam.start)
        z = torch.rand(8, 4, generator=torch.Generator().manual_seed(0)).double()
        torch.manual_seed(1)
        value, terms, _ = model.critic_objective(x.double(), None, z)
        return value.item(), terms.get("penalty", torch.zeros(())).item()

    plain, none = loss("none")
    once, penalty = loss(f"{name}=1")
    twice, _ = loss(f"{name} = 2")
    assert none == 0
    assert penalty > 0
    assert once - plain == pytest.approx(penalty, rel=1e-6)
    assert twice - plain == pytest.approx(2 * penalty, rel=1e-6)


def test_the_weight_of_a_name_alone_is_the_papers():
    weights = {name: term.weight for name, term in make_regularizers(ALL).items()}
    assert weights == {"r1": 10, "r2": 10, "dragan": 10, "lecam": 0.3, "cr": 10, "bcr": 10}
    assert "weight=0.3" in repr(make_regularizers("lecam"))
    assert not make_regularizers("none")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lecamm", "there is no regularizer lecamm: did you mean lecam"),
        ("", "there is no regularizer "),
        ("r1,", "there is no regularizer "),
        ("r1,r1=2", "regularize names r1 twice"),
        ("r1=", "the weight of r1 must be a number from 0 on, got none"),
        ("r1=x", "the weight of r1 must be a number from 0 on, got x"),
        ("r1=-1", "the weight of r1 must be a number from 0 on, got -1"),
        ("r1=nan", "the weight of r1 must be a number from 0 on, got nan"),
    ],
)
def test_what_names_no_regularizer_is_told(text, said):
    with pytest.raises(ArgumentError, match=said):
        make_regularizers(text)


@pytest.mark.parametrize(
    ("name", "shape", "options", "said"),
    [
        ("dcgan", IMAGE, {"regularize": "r1"}, "r1 penalises each sample's gradient"),
        ("wgan_gp", VECTOR, {"regularize": "cr"}, "cr is for images"),
        ("began", IMAGE, {"regularize": "lecam"}, "BEGAN gives real samples low scores, and lecam"),
        ("unrolled", VECTOR, {"regularize": "r1"}, "without regularizers"),
        ("wgan_gp", VECTOR, {"relativistic": "pairs"}, "WGANGP compares scores already"),
        ("began", VECTOR, {"relativistic": "pairs"}, "BEGAN gives real samples low scores"),
        ("unrolled", VECTOR, {"relativistic": "pairs"}, "UnrolledGAN has an objective of its own"),
        ("lsgan", VECTOR, {"relativistic": "averages"}, "take fake_target -1 with real_target 1"),
        ("dcgan", VECTOR, {"relativistic": "both"}, "choose from none, pairs, averages"),
        ("dcgan", VECTOR, {"relativistic": "pairs", "top_k": 0.5}, "does not fit a loss of pairs"),
        ("feature_matching", IMAGE, {"top_k": 0.5}, "FeatureMatching has an objective of its own"),
        ("began", VECTOR, {"top_k": 0.5}, "BEGAN gives real samples low scores, and top_k"),
        ("dcgan", VECTOR, {"top_k": 0.0}, r"top_k must be in \(0, 1\], got 0"),
    ],
)
def test_what_does_not_fit_a_technique_is_told(name, shape, options, said):
    with pytest.raises(ValueError, match=said):
        tiny(name, shape, **options)


@pytest.mark.parametrize("comparison", ["pairs", "averages"])
@pytest.mark.parametrize("name", RELATIVE)
def test_a_relativistic_generator_has_the_critics_loss_with_roles_exchanged(name, comparison):
    options = {"fake_target": -1.0} if name == "lsgan" else {}
    model = tiny(name, IMAGE, relativistic=comparison, network="dcgan", **options).eval()
    x, _ = samples(IMAGE, 4)
    z = model.draw_latents(4 * model.generator_batch)
    torch.manual_seed(0)
    loss, _ = model.generator_objective(x, None, z)
    torch.manual_seed(0)
    generated = model.generator(z, None)
    real, fake = model.compare(x.repeat(model.generator_batch, 1, 1, 1), generated, None)
    expected = model.critic_loss(*relativistic_scores(fake, real, comparison)) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert expected.item() != pytest.approx(model.generator_loss(fake).item())


@pytest.mark.parametrize("name", [name for name in KINDS if name != "began"])
def test_the_share_falls_with_the_images_that_the_critic_was_shown(name):
    model = tiny(name, top_k=0.98)
    shares = []
    for images in (0, 49_999, 50_000, 100_000, 10**6):
        model.images = images
        model.begin_update(0, [])
        shares.append(model.top_share.item())
    assert shares == pytest.approx([1, 1, 0.99, 0.9801, 0.98])
    train(model, batches(batch_size=10 * model.n_critic), 2)
    assert all(p.isfinite().all() for p in model.generator.parameters())


@pytest.mark.parametrize("name", [name for name in KINDS if name != "began"])
def test_a_mask_of_all_samples_changes_no_gradient(name):
    gradients = []
    for options in ({}, {"top_k": 0.5}):
        torch.manual_seed(0)
        model = tiny(name, IMAGE, network="dcgan", **options)
        x, _ = samples(IMAGE, 6)
        z = model.draw_latents(6)
        loss, _ = model.generator_objective(x, None, z)
        loss.backward()
        gradients.append([p.grad for p in model.generator.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dcgan", {"critic_norm": "none", "regularize": ALL, "augment": "diffaugment"}),
        ("sngan", {"regularize": ALL, "relativistic": "averages"}),
        ("dcgan", {"relativistic": "pairs"}),
        ("sngan", {"top_k": 0.5}),
    ],
)
def test_objectives_with_options_compile_as_one_graph(name, options):
    model = tiny(name, IMAGE, network="dcgan", **options)
    x, _ = samples(IMAGE, 4)
    z = model.draw_latents(4)
    start = state(model)
    for objective in (model.critic_objective, model.generator_objective):
        results = []
        for function in (objective, torch.compile(objective, fullgraph=True, backend="aot_eager")):
            model.load_state_dict(start)
            torch.manual_seed(0)
            loss, terms, *_ = function(x, None, z)
            model.zero_grad()
            loss.backward()
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            results.append((loss, terms, gradients, state(model)))
        torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-6)


def test_a_fit_resumes_the_averages_of_lecam_and_may_change_its_weight(tmp_path, caplog):
    def run(max_steps, name, ckpt_path=None, regularize="lecam"):
        torch.manual_seed(0)
        model = with_regularizers("dcgan", IMAGE, regularize)
        trainer = train(model, fixed(1), max_steps, ckpt_path=ckpt_path)
        trainer.save_checkpoint(tmp_path / name)
        return model

    whole = run(6, "whole.ckpt")
    assert whole.regularizers["lecam"].updates.item() == 6
    run(3, "half.ckpt")
    resumed = run(6, "resumed.ckpt", tmp_path / "half.ckpt")
    assert differences(state(resumed), state(whole)) == []
    other = run(6, "other.ckpt", tmp_path / "half.ckpt", regularize="lecam=0.1")
    assert "the fit resumes with regularize lecam=0.1, not lecam" in caplog.text
    assert other.regularizers["lecam"].updates.item() == 6
    with pytest.raises(WrongFileError, match="regularize lecam, not none"):
        run(6, "dropped.ckpt", tmp_path / "half.ckpt", regularize="none")
