"""Checkpoints of earlier versions load, and a fit can resume from them."""

import csv
import gzip
from pathlib import Path

import pytest
import torch

from gan_lightning import WGANGP, load

#: Written after 4 updates by version 0.1.0, on torch 2.14 and Lightning 2.6.6, by ARGUMENTS.
FILE = Path(__file__).parent / "checkpoints" / "ring-wgan_gp-0.1.0.ckpt.gz"
ARGUMENTS = (
    *("--model=WGANGP", "--model.generator_width=4", "--model.critic_width=4"),
    *("--model.latent_dim=2", "--model.ema_decay=0.9"),
    *("--data=Ring", "--data.batch_size=8", "--data.num_samples=128"),
    *("--trainer.val_check_interval=2", "--trainer.log_every_n_steps=1"),
)
#: What version 0.1.0 logged at update 6 when it resumed from the file.
LOGGED = {
    "loss/critic": 8.796806335449219,
    "loss/generator": 0.07990772277116776,
    "gradient_norm": 0.06100672483444214,
    "swd128_train": 0.6838309379151102,
    "diversity/fake": 0.005339947293394117,
}


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old" / "checkpoints" / "step=4.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.decompress(FILE.read_bytes()))
    return path


def test_the_file_was_written_by_version_0_1(old):
    written = torch.load(old, weights_only=True)
    assert written["gan_lightning"] == {"format": 1, "version": "0.1.0"}
    assert written["technique"] == "gan_lightning.techniques.wgan_gp.WGANGP"


def test_a_checkpoint_of_version_0_1_loads(old):
    model = load(old)
    assert type(model) is WGANGP
    assert (model.shape, model.latent_dim, model.ema_decay, model.updates) == ((2,), 2, 0.9, 4)
    written = torch.load(old, weights_only=True)["state_dict"]
    assert written.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, written[name]) for name, tensor in model.state_dict().items())
    assert model.sample(3).isfinite().all()


def test_a_fit_resumes_from_a_checkpoint_of_version_0_1(old, fit):
    run = fit(*ARGUMENTS, "--trainer.max_steps=6", f"--ckpt_path={old}")
    with (run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["step"] == "6"]
    logged = {name: float(row[name]) for row in rows for name in LOGGED if row[name]}
    # Other processors and versions of torch round differently; other noise would be far off.
    assert logged == pytest.approx(LOGGED, rel=1e-3)
    assert load(run / "checkpoints" / "last.ckpt").updates == 6
