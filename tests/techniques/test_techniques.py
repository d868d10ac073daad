"""What is specific to each technique: defaults of its paper, losses, constraints and latents."""

import inspect

import pytest
import pytorch_lightning as pl
import torch
from helpers import (
    CASES,
    CLASSES,
    CONDITIONAL,
    IMAGE,
    VECTOR,
    batches,
    every_kind,
    every_technique,
    families,
    state,
    techniques,
    tiny,
    train,
)
from torch import nn
from torch.nn.functional import logsigmoid
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.data import DataLoader, TensorDataset

import gan_lightning
from gan_lightning import GAN, TECHNIQUES, losses
from gan_lightning.networks.autoencoder import TwoConvs
from gan_lightning.networks.spectral import FullPrecisionSpectralNorm
from gan_lightning.penalties import gradient_penalty
from gan_lightning.techniques import began

SHAPES = [VECTOR, IMAGE]
CLASS_COUNTS = [0, CLASSES]

NAMES = {
    "dcgan": "DCGAN",
    "wgan": "WGAN",
    "wgan_gp": "WGANGP",
    "lsgan": "LSGAN",
    "began": "BEGAN",
    "sngan": "SNGAN",
    "sagan": "SAGAN",
    "feature_matching": "FeatureMatching",
    "minibatch_discrimination": "MinibatchDiscrimination",
    "unrolled": "UnrolledGAN",
    "progressive": "ProgressiveGAN",
    "biggan": "BigGAN",
    "stylegan": "StyleGAN",
    "stylegan2": "StyleGAN2",
    "r3gan": "R3GAN",
}

# Each value with its source, by default a section of the technique's paper.
DEFAULTS = {
    # Radford et al. 2016.
    "dcgan": {
        "latent_dim": (100, "section 4, figure 1"),
        "n_critic": (1, "arXiv:1406.2661, Algorithm 1"),
        "critic_lr": (2e-4, "section 4"),
        "generator_lr": (2e-4, "section 4"),
        "betas": ((0.5, 0.999), "section 4"),
        "network": ("dcgan", "section 3"),
        "critic_norm": ("batch", "section 3"),
        "objective": ("non_saturating", "arXiv:1406.2661, section 3"),
        "real_label": (1, "arXiv:1406.2661, eq. 1"),
        "fake_label": (0, "arXiv:1406.2661, eq. 1"),
    },
    # Arjovsky et al. 2017.
    "wgan": {
        "clip": (0.01, "Algorithm 1"),
        "long_n_critic": (0, "Algorithm 1"),
        "latent_dim": (100, "section 4.1, as DCGAN"),
        "n_critic": (5, "Algorithm 1"),
        "critic_lr": (5e-5, "Algorithm 1"),
        "generator_lr": (5e-5, "Algorithm 1"),
        "network": ("dcgan", "section 4.1"),
        "critic_norm": ("batch", "section 4.1, as DCGAN"),
    },
    # Gulrajani et al. 2017.
    "wgan_gp": {
        "penalty_weight": (10, "Algorithm 1"),
        "penalty_target": (1, "eq. 3"),
        "one_sided": (False, "section 4"),
        "latent_dim": (128, "appendix F"),
        "n_critic": (5, "Algorithm 1"),
        "critic_lr": (1e-4, "Algorithm 1"),
        "generator_lr": (1e-4, "Algorithm 1"),
        "betas": ((0, 0.9), "Algorithm 1"),
        "network": ("wgan_gp_resnet", "appendix F"),
        "critic_norm": ("none", "section 4"),
        "generator_batch": (2, "the authors' code for CIFAR-10"),
        "dequantize": (True, "the authors' code for CIFAR-10"),
    },
    # Mao et al. 2017.
    "lsgan": {
        "fake_target": (0, "eq. 9"),
        "real_target": (1, "eq. 9"),
        "generator_target": (1, "eq. 9"),
        "latent_dim": (1024, "section 4, the authors' code"),
        "n_critic": (1, "the authors' code"),
        "critic_lr": (1e-3, "section 4"),
        "generator_lr": (1e-3, "section 4"),
        "betas": ((0.5, 0.999), "section 4"),
        "network": ("dcgan", "section 3.3, without its 1 x 1 strides"),
        "critic_norm": ("batch", "section 3.3"),
    },
    # Berthelot et al. 2017.
    "began": {
        "gamma": (0.5, "section 4.1"),
        "lambda_k": (1e-3, "section 3.4"),
        "latent_dim": (64, "section 4.1"),
        "n_critic": (1, "section 3.4"),
        "critic_lr": (1e-4, "section 4.1"),
        "generator_lr": (1e-4, "section 4.1"),
        "betas": ((0.9, 0.999), "section 4.1, the defaults of Adam"),
        "network": ("autoencoder", "section 3.5"),
        "skip_connections": (False, "an option of section 3.5.1"),
        "residual_steps": (0, "an option of section 3.5.1"),
    },
    # Miyato et al. 2018.
    "sngan": {
        "objective": ("hinge", "eq. 16, 17"),
        "latent_dim": (128, "appendix B.4"),
        "n_critic": (5, "section 4.2"),
        "critic_lr": (2e-4, "section 4.2"),
        "generator_lr": (2e-4, "section 4.2"),
        "betas": ((0, 0.9), "section 4.2"),
        "network": ("resnet", "appendix B.4"),
        "generator_batch": (2, "the authors' code"),
        "dequantize": (True, "the authors' code"),
    },
    # Zhang et al. 2019.
    "sagan": {
        "latent_dim": (128, "the authors' code"),
        "n_critic": (1, "section 4.2"),
        "critic_lr": (4e-4, "section 5"),
        "generator_lr": (1e-4, "section 5"),
        "betas": ((0, 0.9), "section 5"),
        "network": ("sagan", "section 3"),
        "objective": ("hinge", "eq. 4"),
    },
    # Metz et al. 2017; the authors' code is their demo.
    "unrolled": {
        "unrolled_steps": (5, "the authors' code"),
        "latent_dim": (256, "the authors' code"),
        "n_critic": (1, "section 2.2"),
        "critic_lr": (1e-4, "the authors' code"),
        "generator_lr": (1e-3, "the authors' code"),
        "betas": ((0.5, 0.999), "the authors' code"),
        "network": ("dcgan", "the default of GAN"),
        "critic_norm": ("none", "the steps are only tried"),
    },
    # Karras et al. 2018.
    "progressive": {
        "phase_images": (600_000, "the authors' code"),
        "penalty_weight": (10, "appendix A.1"),
        "penalty_target": (1, "the authors' code, which divides the weight by its square"),
        "drift_weight": (1e-3, "appendix A.1"),
        "latent_dim": (512, "table 2"),
        "n_critic": (1, "appendix A.1"),
        "critic_lr": (1e-3, "appendix A.1"),
        "generator_lr": (1e-3, "appendix A.1"),
        "betas": ((0, 0.99), "appendix A.1"),
        "network": ("progressive", "table 2"),
        "critic_norm": ("none", "appendix A.1"),
        "ema_decay": (0.999, "appendix A.1"),
    },
    # Brock et al. 2019; the authors' code is launch_cifar_ema.sh of their PyTorch version.
    "biggan": {
        "orthogonal_weight": (0, "the authors' code"),
        "latent_dim": (128, "the authors' code"),
        "n_critic": (4, "the authors' code"),
        "critic_lr": (2e-4, "the authors' code"),
        "generator_lr": (2e-4, "the authors' code"),
        "betas": ((0, 0.999), "the authors' code; section 3"),
        "network": ("biggan_flat", "the authors' code"),
        "critic_norm": ("none", "appendix B"),
        "ema_decay": (0.9999, "section 3"),
        "ema_start": (1000, "the authors' code"),
    },
    # Salimans et al. 2016; the paper leaves most of the settings to its code.
    "feature_matching": {
        "feature_norm": ("l1", "the authors' code; l2 in section 3.1"),
        "history_weight": (0, "an option of section 3.3"),
        "latent_dim": (100, "the authors' code"),
        "n_critic": (1, "the authors' code"),
        "critic_lr": (3e-4, "the authors' code"),
        "generator_lr": (3e-4, "the authors' code"),
        "betas": ((0.5, 0.999), "the authors' code"),
        "network": ("improved_gan", "the authors' code for CIFAR-10"),
        "critic_norm": ("none", "the authors' code: weight normalisation"),
    },
    "minibatch_discrimination": {
        "objective": ("non_saturating", "the authors' code saturates: deviation 2"),
        "kernels": (100, "the authors' code for CIFAR-10"),
        "kernel_dim": (5, "the authors' code for CIFAR-10"),
        "latent_dim": (100, "the authors' code"),
        "n_critic": (1, "the authors' code has 1 for 3 updates of the generator"),
        "critic_lr": (3e-4, "the authors' code"),
        "generator_lr": (3e-4, "the authors' code"),
        "betas": ((0.5, 0.999), "the authors' code"),
        "network": ("improved_gan_noise", "the authors' code for CIFAR-10"),
        "critic_norm": ("none", "the authors' code: weight normalisation"),
    },
    # Karras et al. 2019.
    "stylegan": {
        "gamma": (10, "appendix C"),
        "r1_interval": (1, "the authors' code"),
        "mixing": (0.9, "table 2"),
        "mapping_layers": (8, "section 2"),
        "minibatch_group": (4, "the authors' code"),
        "ema_half_life": (10_000, "the authors' code"),
        "ema_rampup": (0, "the authors' code"),
        "latent_dim": (512, "section 2"),
        "n_critic": (1, "the authors' code"),
        "critic_lr": (1e-3, "appendix C"),
        "generator_lr": (1e-3, "appendix C"),
        "betas": ((0, 0.99), "the authors' code"),
        "network": ("stylegan", "section 2"),
        "critic_norm": ("none", "the authors' code"),
    },
    # Karras et al. 2020; the later code is that of arXiv:2006.06676.
    "stylegan2": {
        "gamma": (None, "the authors' later code"),
        "r1_interval": (16, "section 3.1"),
        "path_weight": (2, "the authors' code"),
        "path_interval": (4, "appendix B"),
        "mixing": (0.9, "the authors' code"),
        "mapping_layers": (8, "appendix B"),
        "minibatch_group": (4, "the authors' code"),
        "ema_half_life": (10_000, "the authors' code"),
        "ema_rampup": (0.05, "the authors' later code"),
        "latent_dim": (512, "the authors' code"),
        "n_critic": (1, "the authors' code"),
        "critic_lr": (2e-3, "appendix B"),
        "generator_lr": (2e-3, "appendix B"),
        "betas": ((0, 0.99), "appendix B"),
        "network": ("stylegan2", "section 4"),
        "critic_norm": ("none", "the authors' code"),
    },
    # Huang et al. 2024; all values are those of the authors' preset for CIFAR-10.
    "r3gan": {
        "gamma": (0.05, "the authors' code"),
        "last_gamma": (0.005, "the authors' code"),
        "last_rate": (0.25, "the authors' code: 2e-4 to 5e-5"),
        "last_beta2": (0.99, "the authors' code"),
        "last_p": (0.55, "the authors' code"),
        "ema_half_life": (5_000_000, "the authors' code"),
        "schedule_images": (20_000_000, "the authors' code"),
        "latent_dim": (64, "the authors' code"),
        "n_critic": (1, "the authors' code"),
        "critic_lr": (2e-4, "the authors' code"),
        "generator_lr": (2e-4, "the authors' code"),
        "betas": ((0, 0.9), "the authors' code"),
        "network": ("r3gan", "section 3.3"),
        "critic_norm": ("none", "section 3.3"),
    },
}

# Channels of the generator and critic at an image size, with their source.
WIDTHS = {
    ("dcgan", 64): (128, 64, "section 4, figure 1; the critic's is the usual choice"),
    ("wgan", 64): (128, 64, "section 4.1, as DCGAN"),
    ("wgan_gp", 32): (128, 128, "appendix F, CIFAR-10"),
    ("wgan_gp", 64): (64, 64, "appendix F, the 64 px ResNet"),
    ("began", 64): (64, 64, "section 4.1"),
    ("sngan", 32): (256, 128, "appendix B.4, table 4"),
    ("sngan", 128): (64, 64, "appendix B.4, table 6"),
    ("sagan", 128): (64, 64, "the authors' code"),
    ("progressive", 32): (512, 512, "table 2"),
    ("feature_matching", 32): (128, 96, "the authors' code"),
    ("minibatch_discrimination", 32): (128, 96, "the authors' code"),
    ("biggan", 32): (256, 256, "the authors' code"),
    ("stylegan", 128): (512, 512, "the authors' code"),
    ("stylegan2", 128): (512, 512, "the authors' code"),
    ("r3gan", 32): (768, 768, "the authors' code, CIFAR-10"),
}

LOSSES = {
    "dcgan": (losses.logistic_critic_loss, losses.logistic_generator_loss),
    "wgan": (losses.wasserstein_critic_loss, losses.wasserstein_generator_loss),
    "wgan_gp": (losses.wasserstein_critic_loss, losses.wasserstein_generator_loss),
    "lsgan": (losses.least_squares_critic_loss, losses.least_squares_generator_loss),
    "sngan": (losses.hinge_critic_loss, losses.hinge_generator_loss),
    "sagan": (losses.hinge_critic_loss, losses.hinge_generator_loss),
    # Feature matching minimises another loss of the generator: test_salimans.py.
    "feature_matching": (losses.logistic_critic_loss, losses.logistic_generator_loss),
    "minibatch_discrimination": (losses.logistic_critic_loss, losses.logistic_generator_loss),
    "unrolled": (losses.logistic_critic_loss, losses.minimax_generator_loss),
    "progressive": (
        lambda real, fake: losses.wasserstein_critic_loss(real, fake) + 1e-3 * (real**2).mean(),
        losses.wasserstein_generator_loss,
    ),
    "biggan": (losses.hinge_critic_loss, losses.hinge_generator_loss),
    "stylegan": (losses.logistic_critic_loss, losses.logistic_generator_loss),
    "stylegan2": (losses.logistic_critic_loss, losses.logistic_generator_loss),
    "r3gan": (losses.relativistic_critic_loss, losses.relativistic_generator_loss),
}


# All techniques.


def test_the_package_exports_every_technique():
    assert {name: technique.__name__ for name, technique in TECHNIQUES.items()} == NAMES
    for name, technique in TECHNIQUES.items():
        assert getattr(gan_lightning, NAMES[name]) is technique
        assert NAMES[name] in gan_lightning.__all__
        assert issubclass(technique, GAN)


@every_technique
def test_defaults_match_the_papers(name):
    parameters = inspect.signature(TECHNIQUES[name]).parameters
    for key, (value, source) in DEFAULTS[name].items():
        assert parameters[key].default == value, f"{key}: {source}"
    for disabled in {"num_classes", "ema_decay", "decay_steps"} - DEFAULTS[name].keys():
        default = (parameters.get(disabled) or inspect.signature(GAN).parameters[disabled]).default
        assert default == 0


@pytest.mark.parametrize(("name", "size"), WIDTHS)
def test_widths_match_the_papers(name, size, monkeypatch):
    # Spectral normalisation's first power iterations are slow on the meta device.
    monkeypatch.setattr(_SpectralNorm, "_power_method", lambda *_: None)
    generator_width, critic_width, source = WIDTHS[name, size]
    with torch.device("meta"):
        model = TECHNIQUES[name]((3, size, size))
    assert (model.generator_width, model.critic_width) == (generator_width, critic_width), source


@every_kind
def test_default_widths_depend_only_on_the_network(name, monkeypatch):
    monkeypatch.setattr(_SpectralNorm, "_power_method", lambda *_: None)
    for network, family in families(name).items():
        with torch.device("meta"):
            model = TECHNIQUES[name]((3, 32, 32), network=network)
        assert (model.generator_width, model.critic_width) == family.widths


@every_technique
def test_the_optimisers_use_the_defaults(name):
    defaults = {key: value for key, (value, _) in DEFAULTS[name].items()}
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
def test_the_optimisers_use_given_values(name):
    betas = {"betas": [0.3, 0.7]} if "betas" in DEFAULTS[name] else {}
    model = tiny(name, critic_lr=0.25, generator_lr=0.125, **betas)
    groups = [optimizer.param_groups[0] for optimizer in model.configure_optimizers()[0]]
    assert [group["lr"] for group in groups] == [0.25, 0.125]
    assert not betas or all(tuple(group["betas"]) == (0.3, 0.7) for group in groups)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_match_the_papers(name):
    model = tiny(name)
    real, fake = torch.randn(2, 16)
    critic_loss, generator_loss = LOSSES[name]
    assert torch.equal(model.critic_loss(real, fake), critic_loss(real, fake))
    scores = (fake, real) if model.pairs else (fake,)
    assert torch.equal(model.generator_loss(*scores), generator_loss(*scores))


def test_began_balances_its_critic_with_k():
    model = tiny("began")
    model.k.fill_(0.25)
    real, fake = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    assert model.critic_loss(real, fake).item() == 1.5 - 0.25 * 4
    assert model.generator_loss(fake).item() == 4


def test_every_technique_has_its_losses_tested():
    assert LOSSES.keys() | {"began"} == DEFAULTS.keys() == TECHNIQUES.keys()


@every_technique
def test_latents_match_the_papers(name):
    z = tiny(name, latent_dim=50).draw_latents(400)
    assert z.shape == (400, 50)
    if name in ("feature_matching", "minibatch_discrimination"):
        assert z.min() >= 0
        z = z * 2 - 1
    assert z.mean().item() == pytest.approx(0, abs=0.05)
    if name in ("dcgan", "lsgan", "began", "feature_matching", "minibatch_discrimination"):
        # Uniform, whose standard deviation is 1 / sqrt(3).
        assert -1 <= z.min() < -0.99
        assert 0.99 < z.max() <= 1
        assert z.std().item() == pytest.approx(3**-0.5, abs=0.02)
    else:
        # Normal: some of 20,000 values exceed 3, and 68 % are within 1.
        assert z.abs().max() > 3
        assert z.std().item() == pytest.approx(1, abs=0.03)
        assert (z.abs() < 1).float().mean().item() == pytest.approx(0.683, abs=0.02)


@every_technique
def test_only_the_techniques_of_these_papers_have_regularizers(name):
    model = tiny(name, IMAGE)
    of_critic = {
        "wgan_gp": [("penalty", 1)],
        "progressive": [("penalty", 1)],
        "stylegan": [("r1", 1)],
        "stylegan2": [("r1", 16)],
        "r3gan": [("penalties", 1)],
    }
    of_generator = {"stylegan2": [("path_length", 4)]}
    for regularizers, expected in (
        (model.critic_regularizers(), of_critic),
        (model.generator_regularizers(), of_generator),
    ):
        found = [(each.term.__name__, each.every) for each in regularizers]
        assert found == expected.get(name, [])


# Logged quantities.


@pytest.mark.parametrize("name", ["wgan", "wgan_gp", "progressive"])
def test_the_wasserstein_estimate_is_the_difference_of_the_means(name):
    real, fake = torch.tensor([3.0, 5.0]), torch.tensor([1.0, -2.0])
    assert tiny(name).watch(real, fake)["wasserstein"].item() == 4.5


def test_accuracy_is_the_share_of_correctly_classified_samples():
    terms = tiny("dcgan").watch(
        torch.tensor([1.0, -1.0, 2.0, 3.0]), torch.tensor([-1.0, 2.0, 4.0, 6.0])
    )
    assert {key: value.item() for key, value in terms.items()} == {
        "accuracy/real": 0.75,
        "accuracy/fake": 0.25,
    }


def test_began_logs_the_convergence_measure_of_its_paper():
    model = tiny("began", gamma=0.5)
    model.k.fill_(0.3)
    terms = model.watch(torch.tensor([1.0, 3.0]), torch.tensor([0.5, 0.7]))
    # 2 + |0.5 * 2 - 0.6|
    assert terms["convergence"].item() == pytest.approx(2.4)
    assert terms["k"].item() == pytest.approx(0.3)


# Options of the losses.


#: Those whose paper is about something else than a loss of its own.
WITH_OBJECTIVE = ["dcgan", "sngan", "sagan", "minibatch_discrimination"]


def test_techniques_whose_paper_is_the_loss_take_no_objective():
    taking = [
        name
        for name, technique in TECHNIQUES.items()
        if "objective" in inspect.signature(technique).parameters
    ]
    assert taking == WITH_OBJECTIVE


@pytest.mark.parametrize("objective", losses.ADVERSARIAL)
@pytest.mark.parametrize("name", WITH_OBJECTIVE)
def test_an_objective_is_the_same_in_every_technique(name, objective):
    model, (real, fake) = tiny(name, objective=objective), torch.randn(2, 16)
    critic, generator = {
        "non_saturating": (losses.logistic_critic_loss, -logsigmoid(fake).mean()),
        "minimax": (losses.logistic_critic_loss, logsigmoid(-fake).mean()),
        "hinge": (losses.hinge_critic_loss, -fake.mean()),
    }[objective]
    assert torch.equal(model.critic_loss(real, fake), critic(real, fake))
    torch.testing.assert_close(model.generator_loss(fake), generator)
    assert model.hparams["objective"] == objective


@pytest.mark.parametrize("name", WITH_OBJECTIVE)
def test_an_unknown_objective_is_rejected(name):
    with pytest.raises(ValueError, match="there is no objective 'wasserstein': choose from"):
        tiny(name, objective="wasserstein")


def test_the_hinge_loss_has_no_labels_to_smooth():
    for labels in ({"real_label": 0.9}, {"fake_label": 0.1}):
        with pytest.raises(ValueError, match="the hinge loss has no labels to smooth"):
            tiny("dcgan", objective="hinge", **labels)


def test_labels_of_dcgan_can_be_smoothed():
    model = tiny("dcgan", real_label=0.9, fake_label=0.1)
    real, fake = torch.randn(2, 16)
    expected = losses.logistic_critic_loss(real, fake, 0.9, 0.1)
    assert torch.equal(model.critic_loss(real, fake), expected)
    for labels in ({"real_label": 0.1, "fake_label": 0.9}, {"real_label": 1.1}):
        with pytest.raises(ValueError, match="labels must be"):
            tiny("dcgan", **labels)


def test_targets_of_lsgan_can_be_set():
    model = tiny("lsgan", fake_target=-1, real_target=1, generator_target=0)
    real, fake = torch.tensor([2.0, 1.0]), torch.tensor([0.0, 1.0])
    assert model.critic_loss(real, fake).item() == pytest.approx((1 + 0) / 4 + (1 + 4) / 4)
    assert model.generator_loss(fake).item() == pytest.approx(1 / 4)


def test_softplus_is_another_name_for_the_non_saturating_objective_of_sngan(tmp_path):
    model = tiny("sngan", objective="softplus")
    assert model.objective == "non_saturating"
    # As a checkpoint of version 0.1 has it.
    trainer = train(model, batches(), max_steps=1)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    checkpoint["hyper_parameters"]["objective"] = "softplus"
    torch.save(checkpoint, tmp_path / "last.ckpt")
    assert gan_lightning.load(tmp_path / "last.ckpt").objective == "non_saturating"
    for name in ("dcgan", "sagan"):
        with pytest.raises(ValueError, match="there is no objective 'softplus'"):
            tiny(name, objective="softplus")


@pytest.mark.parametrize(("one_sided", "target"), [(True, 1.0), (False, 0.0), (True, 0.5)])
def test_the_penalty_of_wgan_gp_can_be_one_sided_and_has_a_target(one_sided, target):
    model = tiny("wgan_gp", one_sided=one_sided, penalty_target=target)
    real, fake = torch.randn(2, 6, 2)
    torch.manual_seed(1)
    expected = 10 * gradient_penalty(model.critic, real, fake, None, target, one_sided)
    torch.manual_seed(1)
    torch.testing.assert_close(model.penalty(real, None, fake)[0], expected)


# WGAN.


def test_long_phases_of_wgan_match_the_code_of_the_authors():
    model = tiny("wgan", n_critic=5, long_n_critic=100)
    updates = {update: model.critic_updates(update) for update in range(1002)}
    long = {update for update, count in updates.items() if count == 100}
    assert long == {*range(25), 500, 1000}
    assert set(updates.values()) == {5, 100}
    assert {tiny("wgan").critic_updates(update) for update in range(1002)} == {5}
    with pytest.raises(ValueError, match="long_n_critic must be 0 or at least n_critic"):
        tiny("wgan", n_critic=5, long_n_critic=3)


def test_a_long_phase_reuses_the_batch_with_new_noise(monkeypatch):
    model = tiny("wgan", n_critic=2, long_n_critic=5)
    seen = []
    objective = model.critic_objective
    monkeypatch.setattr(
        *(model, "critic_objective"),
        lambda x, y, z, due: seen.append((x, z)) or objective(x, y, z, due),
    )
    trainer = train(model, batches(), max_steps=1)
    assert trainer.global_step == 1
    xs, zs = zip(*seen, strict=True)
    assert len(seen) == 5
    assert all(torch.equal(x, xs[i % 2]) for i, x in enumerate(xs))
    assert len(torch.cat(zs).unique(dim=0)) == sum(map(len, zs))


@pytest.mark.parametrize("clip", [0.01, 0.003])
@pytest.mark.parametrize("num_classes", CLASS_COUNTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_critic_of_wgan_is_clipped(shape, num_classes, clip, monkeypatch):
    # With this learning rate, a single step leaves the range.
    model = tiny("wgan", shape, num_classes, clip=clip, n_critic=2, critic_lr=0.1)
    limit = pytest.approx(clip)

    def largest():
        return [p.abs().max().item() for p in model.critic.parameters()]

    assert max(largest()) == limit
    reached = []
    clip_critic = model.after_critic_step

    def clip_and_record(real, fake):
        before = max(largest())
        clip_critic(real, fake)
        reached.append((before > clip, max(largest())))

    monkeypatch.setattr(model, "after_critic_step", clip_and_record)
    train(model, batches(shape), max_steps=2)
    assert reached == [(True, limit)] * 4


def test_the_generator_of_wgan_is_not_clipped():
    assert max(p.abs().max() for p in tiny("wgan").generator.parameters()) > 0.1


# WGAN-GP.

NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
)


@pytest.mark.parametrize("num_classes", CLASS_COUNTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_critic_of_wgan_gp_has_no_normalisation(shape, num_classes):
    critic = tiny("wgan_gp", shape, num_classes).critic
    assert not [m for m in critic.modules() if isinstance(m, NORMS)]
    assert not [m for m in critic.modules() if is_parametrized(m)]


def test_the_critic_of_wgan_gp_allows_layer_norm_but_not_batch_norm():
    critic = tiny("wgan_gp", IMAGE, critic_norm="layer").critic
    assert [m for m in critic.modules() if isinstance(m, nn.GroupNorm)]
    with pytest.raises(ValueError, match="critic_norm must be none or layer"):
        tiny("wgan_gp", IMAGE, critic_norm="batch")


@pytest.mark.parametrize("num_classes", CLASS_COUNTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_wgan_gp_weights_the_gradient_penalty(shape, num_classes):
    model = tiny("wgan_gp", shape, num_classes, penalty_weight=3)
    real, fake = torch.randn(2, 6, *shape)
    y = torch.arange(6) % CLASSES if num_classes else None
    torch.manual_seed(1)
    expected = 3 * gradient_penalty(model.critic, real, fake, y)
    torch.manual_seed(1)
    penalty, terms = model.penalty(real, y, fake)
    torch.testing.assert_close(penalty, expected)
    assert terms.keys() == {"gradient_norm"}


# BEGAN.


def test_k_of_began_follows_its_update_rule():
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
        # Each mean is over two samples.
        model.after_critic_step(torch.tensor([0, 2 * real]), torch.tensor([fake, fake]))
        assert model.k.item() == pytest.approx(k, abs=1e-6)


def test_k_of_began_is_updated_after_each_critic_update(monkeypatch):
    model = tiny("began", gamma=2.0, lambda_k=0.05, n_critic=3)
    ks, scores = [0.0], []
    objective, move_k = model.critic_objective, model.after_critic_step

    def record_scores(*arguments):
        loss, terms, passed = objective(*arguments)
        real, fake = terms["score/real"].item(), terms["score/fake"].item()
        assert loss.item() == pytest.approx(real - ks[-1] * fake, rel=1e-4)
        scores.append((real, fake))
        return loss, terms, passed

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


def test_k_of_began_is_saved_but_not_trained():
    model = tiny("began")
    model.k.fill_(0.25)
    assert state(model)["k"].item() == 0.25
    assert "k" not in dict(model.named_parameters())


def learning_rates(model):
    return [optimizer.param_groups[0]["lr"] for optimizer in model.trainer.optimizers]


def test_began_halves_learning_rates_when_its_convergence_measure_stalls(monkeypatch):
    model = tiny("began", halving_interval=2, critic_lr=0.008, generator_lr=0.004, least_lr=0.0015)
    # Two updates each: falling, rising, falling but not below the minimum, falling below it.
    measures = iter([5.0, 5.0, 3.0, 3.0, 4.0, 4.0, 3.5, 3.5, 2.0, 2.0])
    monkeypatch.setattr(model, "_measure", lambda real, fake: torch.tensor(next(measures)))
    monkeypatch.setattr(model, "watch", lambda real, fake: {})
    seen = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            seen.append(learning_rates(pl_module))

    train(model, batches(), max_steps=10, callbacks=Watch())
    # The learning rate of the generator is not halved to below the minimum.
    whole, half, quarter = [0.008, 0.004], [0.004, 0.002], [0.002, 0.0015]
    assert seen == [whole] * 5 + [half] * 2 + [quarter] * 3
    assert model.least_convergence_sum.item() == 4


@pytest.mark.parametrize("arguments", [{"halving_interval": 0}, {"decay_steps": 1000}])
def test_began_does_not_halve_learning_rates_when_disabled(arguments):
    model = tiny("began", **({"halving_interval": 1} | arguments))
    assert model.halving_interval == 0
    train(model, batches(), max_steps=4)
    decay = 1 - 4 / 1000 if "decay_steps" in arguments else 1
    assert learning_rates(model) == pytest.approx([1e-4 * decay] * 2)


def test_began_does_not_change_a_learning_rate_below_the_minimum(monkeypatch):
    model = tiny("began", halving_interval=1, critic_lr=1e-6, generator_lr=1e-6)
    monkeypatch.setattr(model, "_measure", lambda real, fake: torch.tensor(1.0))
    train(model, batches(), max_steps=3)
    assert learning_rates(model) == [1e-6, 1e-6]


def test_began_halves_again_after_an_interval_that_is_not_a_number(monkeypatch):
    model = tiny("began", halving_interval=1, least_lr=0.0)
    measures = iter([3.0, 3.0, float("nan"), float("nan"), 4.0, 4.0])
    monkeypatch.setattr(model, "_measure", lambda real, fake: torch.tensor(next(measures)))
    train(model, batches(), max_steps=3)
    assert model.least_convergence_sum.item() == 3
    assert learning_rates(model) == [0.5e-4, 0.5e-4]


def test_began_balances_over_all_ranks(monkeypatch):
    model = tiny("began", gamma=0.5, lambda_k=0.1)
    # The other rank has errors of 3 and 0.6.
    monkeypatch.setattr(began, "mean_over_ranks", lambda x: (x + torch.tensor([3.0, 0.6])) / 2)
    model.after_critic_step(torch.tensor([1.0]), torch.tensor([0.2]))
    assert model.k.item() == pytest.approx(0.1 * (0.5 * 2 - 0.4))
    assert model.convergence_sum.item() == pytest.approx(2 + abs(0.5 * 2 - 0.4))


def test_residuals_of_began_vanish():
    model = tiny("began", IMAGE, residual_steps=4, ema_decay=0.5)
    seen = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            carries = {
                m.carry.item()
                for network in (model.generator, model.generator_ema, model.critic)
                for m in network.modules()
                if isinstance(m, TwoConvs)
            }
            seen.append(carries)

    train(model, batches(IMAGE), max_steps=6, callbacks=Watch())
    assert seen == [{1.0}, {0.75}, {0.5}, {0.25}, {0.0}, {0.0}]


def test_began_offers_its_options_only_with_auto_encoders():
    for options in ({"skip_connections": True}, {"residual_steps": 10}):
        with pytest.raises(ValueError, match="need network autoencoder"):
            tiny("began", IMAGE, network="resnet", **options)
        with pytest.raises(ValueError, match="need network autoencoder"):
            tiny("began", VECTOR, **options)
    model = tiny("began", (1, 16, 16), skip_connections=True)
    assert model.generator.skip_connections
    assert model.critic.decoder.skip_connections


# Spectral normalisation.

MATRICES = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)
SPECTRAL = {
    "sngan": ["critic"],
    "sagan": ["critic", "generator"],
    "biggan": ["critic", "generator"],
}


@pytest.mark.parametrize(("name", "shape", "num_classes"), CASES)
def test_spectral_normalisation_is_placed_as_in_the_papers(name, shape, num_classes):
    model = tiny(name, shape, num_classes)
    for key in ("critic", "generator"):
        for module in getattr(model, key).modules():
            if not isinstance(module, MATRICES):
                continue
            steps = module.parametrizations.weight if is_parametrized(module) else []
            # A generator's embeddings are scales and shifts of its batch normalisation.
            matrix = key == "critic" or not isinstance(module, nn.Embedding)
            expected = [FullPrecisionSpectralNorm] * (matrix and key in SPECTRAL.get(name, []))
            assert [type(step) for step in steps] == expected


@every_technique
def test_only_sagan_has_attention_and_in_both_networks(name):
    model = tiny(name, IMAGE)
    for network in (model.generator, model.critic):
        found = [m for m in network.modules() if type(m).__name__ == "SelfAttention2d"]
        assert len(found) == (name == "sagan")


@pytest.mark.parametrize("name", CONDITIONAL)
def test_critics_of_conditional_techniques_project_the_label(name):
    for shape in SHAPES:
        projection = tiny(name, shape, CLASSES).critic.head.projection
        projection = getattr(projection, "embed", projection)  # StyleGAN2 maps it further
        assert projection.weight.shape[0] == CLASSES


# Learning.

# Learning rates of the papers are for hundreds of thousands of updates.
FAST = {
    "dcgan": {"critic_lr": 2e-3, "generator_lr": 5e-4},
    "wgan": {"clip": 0.1, "critic_lr": 1e-3, "generator_lr": 1e-3},
    "wgan_gp": {"critic_lr": 3e-3, "generator_lr": 1e-3, "penalty_weight": 1},
    # An auto-encoder must be narrower than the plane, or it reproduces everything.
    "began": {"latent_dim": 1, "critic_lr": 2e-3, "generator_lr": 1e-3},
    "sngan": {"critic_lr": 1e-3, "generator_lr": 1e-3},
    "sagan": {"critic_lr": 4e-3, "generator_lr": 1e-3},
    "feature_matching": {"critic_lr": 2e-3, "generator_lr": 1e-3},
    # With 100 kernels, the generator of so small a batch only learns to spread its samples.
    "minibatch_discrimination": {"generator_lr": 1e-3, "kernels": 20},
    "unrolled": {"unrolled_steps": 1, "critic_lr": 2e-3},
    "progressive": {"n_critic": 5, "critic_lr": 3e-3, "penalty_weight": 1, "ema_decay": 0.9},
    "stylegan": {"gamma": 0.1, "ema_half_life": 100},
    "r3gan": {"critic_lr": 3e-3, "generator_lr": 3e-3, "ema_half_life": 100},
}


@pytest.mark.parametrize("name", techniques("dcgan", "began"))
def test_every_technique_learns_the_mean_of_the_data(name):
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
