"""Small models, and a bare trainer to run them in."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from gan_lightning import TECHNIQUES
from gan_lightning.data import TensorLoader
from gan_lightning.networks import FAMILIES

VECTOR, IMAGE = (2,), (1, 8, 8)
CLASSES = 3
# Arguments of a trainer that prints and writes nothing.
SILENT = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
# There is no conditional BEGAN.
CONDITIONAL = [name for name in TECHNIQUES if name != "began"]
#: Those whose image networks grow, and which refuse others.
GROWING = ("progressive",)
#: The families whose critics compare the samples of a batch.
MIXING = ("progressive", "stylegan", "stylegan2", "stylegan2_plain")
# Every technique with every kind of sample, with and without labels.
CASES = [
    (name, shape, num_classes)
    for name in TECHNIQUES
    for shape in (VECTOR, IMAGE)
    for num_classes in ((0, CLASSES) if name in CONDITIONAL else (0,))
]


#: One technique of each kind: batch normalisation in the critic, weight clipping, a penalty,
#: state with a critic that reconstructs its input, and spectral normalisation.
KINDS = ("dcgan", "wgan", "wgan_gp", "began", "sngan")


def families(name):
    """The families that a technique takes: UnrolledGAN refuses critics that mix samples."""
    if name in GROWING:
        return {"progressive": FAMILIES["progressive"]}
    refused = MIXING if name == "unrolled" else ()
    return {network: family for network, family in FAMILIES.items() if network not in refused}


def slow_but(fast, cases):
    """Parameters of a test; those of techniques not named in ``fast`` are marked as slow."""
    assert set(fast) <= set(TECHNIQUES)
    slow = pytest.mark.slow
    split = ((case if isinstance(case, tuple) else (case,)) for case in cases)
    return [pytest.param(*case, marks=() if case[0] in fast else slow) for case in split]


def techniques(*fast):
    """All techniques, for a test that need not cover each of them in a fast run."""
    return slow_but(fast, TECHNIQUES)


every_technique = pytest.mark.parametrize("name", TECHNIQUES)
every_conditional = pytest.mark.parametrize("name", slow_but(KINDS, CONDITIONAL))
every_kind = pytest.mark.parametrize("name", techniques(*KINDS))
every_case = pytest.mark.parametrize(("name", "shape", "num_classes"), CASES)
every_case_of_a_kind = pytest.mark.parametrize(
    ("name", "shape", "num_classes"), slow_but(KINDS, CASES)
)


def tiny(name, shape=VECTOR, num_classes=0, **hyperparameters):
    defaults = {"latent_dim": 4, "generator_width": 8, "critic_width": 8, "ema_decay": 0.0}
    if name == "unrolled":
        defaults["unrolled_steps"] = 2  # each takes its time, and more to compile
    if name in ("stylegan", "stylegan2"):
        defaults["mapping_layers"] = 2  # the same
    if name in ("stylegan", "stylegan2", "r3gan"):
        defaults["ema_half_life"] = 0  # no moving average but that of a test
    return TECHNIQUES[name](shape, num_classes, **(defaults | hyperparameters))


def samples(shape=VECTOR, n=40):
    """``n`` samples in [-1, 1] with cycling labels, the same at every call."""
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return x, torch.arange(n) % CLASSES


def batches(shape=VECTOR, batch_size=10, shuffle=False):
    return DataLoader(TensorDataset(*samples(shape)), batch_size, shuffle=shuffle)


def given(batch):
    """A loader of this single batch."""
    return DataLoader([batch], batch_size=None)


def train(model, loader, max_steps, val_loader=None, ckpt_path=None, **arguments):
    trainer = pl.Trainer(max_steps=max_steps, **(SILENT | arguments))
    trainer.fit(model, loader, val_loader, ckpt_path=ckpt_path)
    return trainer


def state(module):
    """A copy of the module's state, to compare with later."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def differences(one, other):
    """The names of the values that differ between two nested states, compared bit for bit."""
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [""]
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        pairs = [(key, one[key], other[key]) for key in one]
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        pairs = [(i, a, b) for i, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        return [] if one == other else [""]
    return [f"{key}.{name}" for key, a, b in pairs for name in differences(a, b)]


def fixed(n_critic, batch_size=4):
    """A loader whose position is saved in the checkpoint."""
    x, _ = samples(IMAGE, n=6 * n_critic * batch_size)
    return TensorLoader(x, None, n_critic * batch_size, seed=0)
