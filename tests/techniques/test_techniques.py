"""What is particular to each technique: its paper's defaults, losses, constraints and latents."""

import inspect

import pytest
import torch
from helpers import CASES, CLASSES, CONDITIONAL, IMAGE, VECTOR, batches, state, tiny, train
from torch import nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.data import DataLoader, TensorDataset

import gan_lightning
from gan_lightning import GAN, TECHNIQUES, losses
from gan_lightning.penalties import gradient_penalty

every_technique = pytest.mark.parametrize("name", TECHNIQUES)
SHAPES = [VECTOR, IMAGE]
CLASSES_TOO = [0, CLASSES]

NAMES = {
    "dcgan": "DCGAN",
    "wgan": "WGAN",
    "wgan_gp": "WGANGP",
    "lsgan": "LSGAN",
    "began": "BEGAN",
    "sngan": "SNGAN",
    "sagan": "SAGAN",
}

DEFAULTS = {
    # Radford et al. 2016, section 4.
    "dcgan": {
        "latent_dim": 100,
        "n_critic": 1,
        "critic_lr": 2e-4,
        "generator_lr": 2e-4,
        "betas": (0.5, 0.999),
        "generator_width": 128,
        "critic_width": 64,
    },
    # Arjovsky et al. 2017, Algorithm 1; networks and latents of DCGAN, section 4.
    "wgan": {
        "clip": 0.01,
        "latent_dim": 100,
        "n_critic": 5,
        "critic_lr": 5e-5,
        "generator_lr": 5e-5,
        "generator_width": 128,
        "critic_width": 64,
    },
    # Gulrajani et al. 2017, Algorithm 1; networks of appendix F.
    "wgan_gp": {
        "penalty_weight": 10,
        "latent_dim": 128,
        "n_critic": 5,
        "critic_lr": 1e-4,
        "generator_lr": 1e-4,
        "betas": (0, 0.9),
        "generator_width": 128,
        "critic_width": 128,
    },
    # Mao et al. 2017, section 4.
    "lsgan": {
        "latent_dim": 1024,
        "n_critic": 1,
        "critic_lr": 1e-3,
        "generator_lr": 1e-3,
        "betas": (0.5, 0.999),
    },
    # Berthelot et al. 2017, sections 3.4 and 4.1.
    "began": {
        "gamma": 0.5,
        "lambda_k": 1e-3,
        "latent_dim": 64,
        "n_critic": 1,
        "critic_lr": 1e-4,
        "generator_lr": 1e-4,
        "betas": (0.9, 0.999),
    },
    # Miyato et al. 2018, section 4 and appendix B.4.
    "sngan": {
        "latent_dim": 128,
        "n_critic": 5,
        "critic_lr": 2e-4,
        "generator_lr": 2e-4,
        "betas": (0, 0.9),
        "generator_width": 256,
        "critic_width": 128,
    },
    # Zhang et al. 2019, section 4.
    "sagan": {
        "latent_dim": 128,
        "n_critic": 1,
        "critic_lr": 4e-4,
        "generator_lr": 1e-4,
        "betas": (0, 0.9),
    },
}

LOSSES = {
    "dcgan": (losses.logistic_critic_loss, losses.logistic_generator_loss),
    "wgan": (losses.wasserstein_critic_loss, losses.wasserstein_generator_loss),
    "wgan_gp": (losses.wasserstein_critic_loss, losses.wasserstein_generator_loss),
    "lsgan": (losses.least_squares_critic_loss, losses.least_squares_generator_loss),
    "sngan": (losses.hinge_critic_loss, losses.hinge_generator_loss),
    "sagan": (losses.hinge_critic_loss, losses.hinge_generator_loss),
}


# Every technique.


def test_the_techniques_are_the_seven_that_the_package_exports():
    assert {name: technique.__name__ for name, technique in TECHNIQUES.items()} == NAMES
    for name, technique in TECHNIQUES.items():
        assert getattr(gan_lightning, NAMES[name]) is technique
        assert NAMES[name] in gan_lightning.__all__
        assert issubclass(technique, GAN)


@every_technique
def test_defaults_are_the_papers(name):
    parameters = inspect.signature(TECHNIQUES[name]).parameters
    assert {key: parameters[key].default for key in DEFAULTS[name]} == DEFAULTS[name]
    for off in ("num_classes", "ema_decay", "decay_steps"):
        assert parameters[off].default == 0


@every_technique
def test_the_optimisers_get_the_defaults(name):
    defaults = DEFAULTS[name]
    model = TECHNIQUES[name](VECTOR, generator_width=8, critic_width=8)
    assert model.n_critic == defaults["n_critic"]
    assert model.draw_latents(2).shape == (2, defaults["latent_dim"])
    networks = {"critic": model.critic, "generator": model.generator}
    for (key, network), optimizer in zip(
        networks.items(), model.configure_optimizers()[0], strict=True
    ):
        (group,) = optimizer.param_groups
        assert set(group["params"]) == set(network.parameters())
        assert group["lr"] == defaults[f"{key}_lr"]
        if "betas" in defaults:
            assert isinstance(optimizer, torch.optim.Adam)
            assert tuple(group["betas"]) == defaults["betas"]
        else:
            assert isinstance(optimizer, torch.optim.RMSprop)
        assert group["weight_decay"] == 0


@every_technique
def test_the_optimisers_get_what_is_given(name):
    betas = {"betas": [0.3, 0.7]} if "betas" in DEFAULTS[name] else {}
    model = tiny(name, critic_lr=0.25, generator_lr=0.125, **betas)
    groups = [optimizer.param_groups[0] for optimizer in model.configure_optimizers()[0]]
    assert [group["lr"] for group in groups] == [0.25, 0.125]
    assert not betas or all(tuple(group["betas"]) == (0.3, 0.7) for group in groups)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_the_papers(name):
    model = tiny(name)
    real, fake = torch.randn(2, 16)
    critic_loss, generator_loss = LOSSES[name]
    assert torch.equal(model.critic_loss(real, fake), critic_loss(real, fake))
    assert torch.equal(model.generator_loss(fake), generator_loss(fake))


def test_began_balances_its_critic_with_k():
    model = tiny("began")
    model.k.fill_(0.25)
    real, fake = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    assert model.critic_loss(real, fake).item() == 1.5 - 0.25 * 4
    assert model.generator_loss(fake).item() == 4


def test_every_technique_has_its_losses_tested():
    assert LOSSES.keys() | {"began"} == DEFAULTS.keys() == TECHNIQUES.keys()


@every_technique
def test_latents_are_the_papers(name):
    z = tiny(name, latent_dim=50).draw_latents(400)
    assert z.shape == (400, 50)
    assert z.mean().item() == pytest.approx(0, abs=0.05)
    if name in ("dcgan", "lsgan", "began"):
        # Uniform, whose standard deviation is 1 / sqrt(3).
        assert -1 <= z.min() < -0.99
        assert 0.99 < z.max() <= 1
        assert z.std().item() == pytest.approx(3**-0.5, abs=0.02)
    else:
        # Normal: of 20,000 values some are beyond 3, and 68 % within 1.
        assert z.abs().max() > 3
        assert z.std().item() == pytest.approx(1, abs=0.03)
        assert (z.abs() < 1).float().mean().item() == pytest.approx(0.683, abs=0.02)


@every_technique
def test_only_the_gradient_penalty_is_a_penalty(name):
    model = tiny(name)
    penalty = model.penalty(torch.randn(4, 2), None, torch.randn(4, 2))
    assert (penalty is not None) == (name == "wgan_gp")


# WGAN.


@pytest.mark.parametrize("clip", [0.01, 0.003])
@pytest.mark.parametrize("num_classes", CLASSES_TOO)
@pytest.mark.parametrize("shape", SHAPES)
def test_wgans_critic_stays_within_the_clip(shape, num_classes, clip, monkeypatch):
    # A rate that leaves the range in a single step.
    model = tiny("wgan", shape, num_classes, clip=clip, n_critic=2, critic_lr=0.1)
    limit = pytest.approx(clip)

    def largest():
        return [p.abs().max().item() for p in model.critic.parameters()]

    assert max(largest()) == limit
    reached = []
    clip_critic = model.after_critic_step

    def clip_and_look(real, fake):
        before = max(largest())
        clip_critic(real, fake)
        reached.append((before > clip, max(largest())))

    monkeypatch.setattr(model, "after_critic_step", clip_and_look)
    train(model, batches(shape), max_steps=2)
    assert reached == [(True, limit)] * 4


def test_wgans_generator_is_not_clipped():
    assert max(p.abs().max() for p in tiny("wgan").generator.parameters()) > 0.1


# WGAN-GP.

NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
)


@pytest.mark.parametrize("num_classes", CLASSES_TOO)
@pytest.mark.parametrize("shape", SHAPES)
def test_wgan_gps_critic_does_not_normalise(shape, num_classes):
    critic = tiny("wgan_gp", shape, num_classes).critic
    assert not [m for m in critic.modules() if isinstance(m, NORMS)]
    assert not [m for m in critic.modules() if is_parametrized(m)]


@pytest.mark.parametrize("num_classes", CLASSES_TOO)
@pytest.mark.parametrize("shape", SHAPES)
def test_wgan_gp_weighs_the_gradient_penalty(shape, num_classes):
    model = tiny("wgan_gp", shape, num_classes, penalty_weight=3)
    real, fake = torch.randn(2, 6, *shape)
    y = torch.arange(6) % CLASSES if num_classes else None
    torch.manual_seed(1)
    expected = 3 * gradient_penalty(model.critic, real, fake, y)
    torch.manual_seed(1)
    torch.testing.assert_close(model.penalty(real, y, fake), expected)


# BEGAN.


def test_begans_k_moves_by_the_stated_rule():
    model = tiny("began", gamma=0.5, lambda_k=0.1)
    assert model.k.item() == 0
    # k + 0.1 (0.5 real - fake), by hand.
    for real, fake, k in [
        (1.0, 0.2, 0.03),
        (2.0, 0.5, 0.08),
        (0.4, 0.5, 0.05),
        (0.2, 2.0, 0.0),
        (30.0, 1.0, 1.0),
        (2.0, 1.5, 0.95),
    ]:
        model.after_critic_step(torch.tensor(real), torch.tensor(fake))
        assert model.k.item() == pytest.approx(k, abs=1e-6)


def test_begans_k_follows_the_scores_of_each_critic_update(monkeypatch):
    model = tiny("began", gamma=2.0, lambda_k=0.05, n_critic=3)
    ks, scores = [0.0], []
    objective, move_k = model.critic_objective, model.after_critic_step

    def record_scores(x, y, z):
        loss, terms = objective(x, y, z)
        real, fake = terms["score/real"].item(), terms["score/fake"].item()
        assert loss.item() == pytest.approx(real - ks[-1] * fake, rel=1e-4)
        scores.append((real, fake))
        return loss, terms

    def record_k(real, fake):
        move_k(real, fake)
        ks.append(model.k.item())

    monkeypatch.setattr(model, "critic_objective", record_scores)
    monkeypatch.setattr(model, "after_critic_step", record_k)
    train(model, batches(), max_steps=2)
    assert len(scores) == 6
    for (real, fake), before, after in zip(scores, ks[:-1], ks[1:], strict=True):
        assert after == pytest.approx(before + 0.05 * (2 * real - fake), rel=1e-4)
        assert 0 < after < 1


def test_begans_k_is_saved_and_not_trained():
    model = tiny("began")
    model.k.fill_(0.25)
    assert state(model)["k"].item() == 0.25
    assert "k" not in dict(model.named_parameters())


# Spectral normalisation.

MATRICES = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)
SPECTRAL = {"sngan": ["critic"], "sagan": ["critic", "generator"]}


@pytest.mark.parametrize(("name", "shape", "num_classes"), CASES)
def test_spectral_normalisation_is_where_the_papers_have_it(name, shape, num_classes):
    model = tiny(name, shape, num_classes)
    for key in ("critic", "generator"):
        for module in getattr(model, key).modules():
            if not isinstance(module, MATRICES):
                continue
            steps = module.parametrizations.weight if is_parametrized(module) else []
            # A generator's embeddings are scales and shifts of its batch normalisation.
            matrix = key == "critic" or not isinstance(module, nn.Embedding)
            expected = ["_SpectralNorm"] * (matrix and key in SPECTRAL.get(name, []))
            assert [type(step).__name__ for step in steps] == expected


@pytest.mark.parametrize(
    ("name", "generator", "critic"),
    [
        ("sagan", [32, 16, 8], [8, 16, 16, 16]),
        ("sngan", [8] * 3, [8] * 4),
        ("wgan_gp", [8] * 3, [8] * 4),
    ],
)
def test_only_sagans_residual_networks_widen_as_maps_shrink(name, generator, critic):
    model = tiny(name, (3, 32, 32))
    assert [block.conv1.out_channels for block in model.generator.blocks] == generator
    assert [block.conv1.out_channels for block in model.critic.blocks] == critic


@every_technique
def test_attention_is_in_both_of_sagans_networks_alone(name):
    model = tiny(name, IMAGE)
    for network in (model.generator, model.critic):
        found = [m for m in network.modules() if type(m).__name__ == "SelfAttention2d"]
        assert len(found) == (name == "sagan")


@pytest.mark.parametrize("name", CONDITIONAL)
def test_the_critics_of_all_conditional_techniques_project_the_label(name):
    for shape in SHAPES:
        projection = tiny(name, shape, CLASSES).critic.head.projection
        assert projection.weight.shape[0] == CLASSES


# Learning.

# The papers' rates are for hundreds of thousands of updates.
FAST = {
    "dcgan": {"critic_lr": 2e-3, "generator_lr": 5e-4},
    "wgan": {"clip": 0.1, "critic_lr": 1e-3, "generator_lr": 1e-3},
    "wgan_gp": {"critic_lr": 3e-3, "generator_lr": 1e-3, "penalty_weight": 1},
    # An auto-encoder must be narrower than the plane, or it reproduces everything.
    "began": {"latent_dim": 1, "critic_lr": 2e-3, "generator_lr": 1e-3},
    "sngan": {"critic_lr": 1e-3, "generator_lr": 1e-3},
    "sagan": {"critic_lr": 4e-3, "generator_lr": 1e-3},
}


@every_technique
def test_it_learns_where_the_samples_are(name):
    mean = torch.tensor([2.0, -2.0])
    widths = {"generator_width": 32, "critic_width": 32}
    model = TECHNIQUES[name](VECTOR, **widths, **FAST.get(name, {}))
    x = mean + 0.1 * torch.randn(2560, 2)

    def distance():
        return (model.sample(1000).mean(dim=0) - mean).norm().item()

    before = distance()
    loader = DataLoader(
        TensorDataset(x, torch.zeros(len(x))), 16 * model.n_critic, shuffle=True, drop_last=True
    )
    train(model, loader, max_steps=200)
    assert distance() < before / 2
