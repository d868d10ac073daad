"""Several devices: two processes of the real command line, on the loopback interface."""

import csv
import json
from functools import cache

import pytest
import pytorch_lightning as pl
import torch
from helpers import SILENT
from torch.utils.data import DataLoader, TensorDataset

from gan_lightning import DCGAN
from gan_lightning.callbacks import Evaluate
from gan_lightning.data import Digits

EVERY = "fd,is,kd,precision,recall,density,coverage"
TINY = ("--model.generator_width=8", "--model.critic_width=8")


@pytest.fixture
def command(program):
    """``command(name, *arguments, devices=2)`` runs a command; its exit code and output."""

    def run(name, *arguments, devices=2):
        return program(*arguments, command=name, devices=devices).ended()

    return run


@pytest.mark.slow
def test_two_processes_train_and_score_with_the_default_strategy(command, tmp_path):
    code, error = command(
        *("fit", "--model=WGANGP", "--data=Digits", *TINY, "--data.batch_size=16"),
        *("--trainer.max_steps=4", "--trainer.val_check_interval=4"),
    )
    assert code == 0, error
    folder = tmp_path / "Digits-WGANGP" / "version_0"
    with (folder / "metrics.csv").open() as file:
        scored = [row for row in csv.DictReader(file) if row["fd1797_digits_cnn"]]
    assert [int(row["step"]) for row in scored] == [0, 4]
    assert all(float(row["fd1797_digits_cnn"]) > 0 for row in scored)
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4
    # Each rank draws its own noise.
    first, second = (state["cpu"] for state in checkpoint["rng_states"])
    assert not torch.equal(first, second)
    # Ranks have their own running statistics; the generator that was saved is the one scored.
    code, error = command("validate", "--ckpt_path", folder / "checkpoints/last.ckpt", devices=1)
    assert code == 0, error
    again = json.loads((tmp_path / "Digits-WGANGP" / "version_1" / "validate.json").read_text())
    for name in ("fd1797_digits_cnn", "is1797_digits_cnn"):
        assert again[name] == pytest.approx(float(scored[-1][name]), rel=1e-6)


@pytest.fixture(scope="module")
def trained(fit_once):
    """``trained(data)``: a checkpoint of a run on this data set, trained once."""

    @cache
    def train(data):
        # 1,797 and 1,001 real samples.
        sizes = ["--data.num_samples=1001"] if data == "Ring" else ["--data.conditional=true"]
        steps = "--trainer.max_steps=3"
        run = fit_once("--model=DCGAN", f"--data={data}", *TINY, *sizes, steps)
        return run / "checkpoints" / "last.ckpt"

    return train


@pytest.mark.parametrize(
    ("data", "metrics", "names"),
    [
        pytest.param("Digits", EVERY, 7, marks=pytest.mark.slow),
        pytest.param("Digits", "fd,is", 2, marks=pytest.mark.slow),
        pytest.param("Digits", "precision,recall,density,coverage", 4, marks=pytest.mark.slow),
        ("Ring", "swd,modes,high_quality", 3),
    ],
)
def test_two_processes_with_uneven_shares_score_as_one_does(
    command, trained, tmp_path, data, metrics, names
):
    scores = []
    for run, devices in ((0, 1), (1, 2)):
        code, error = command(
            *("validate", "--ckpt_path", trained(data)),
            # Blocks of 100 samples.
            *(f"--evaluate.metrics={metrics}", "--evaluate.num_samples=603"),
            *("--evaluate.batch_size=100", "--evaluate.cache_dir=null"),
            devices=devices,
        )
        assert code == 0, error
        path = tmp_path / f"{data}-DCGAN" / f"version_{run}" / "validate.json"
        scores.append(json.loads(path.read_text()))
    one, two = scores
    assert len(one) == names + 1  # and the step
    assert two == pytest.approx(one, rel=1e-6)


def test_an_error_in_the_first_process_stops_the_others(command):
    code, error = command(
        *("fit", "--model=DCGAN", "--data=Digits", *TINY, "--evaluate.num_samples=5"),
    )
    assert code == 1
    assert "is: at least 10 generated samples are needed, but there are 5" in error
    assert "Traceback" not in error


def padded_scores(devices, num_classes):
    """The scores on a data set that torch's sampler pads, so that ranks have equal shares."""
    pl.seed_everything(0)
    images = Digits().load("train")[0][:101] / 127.5 - 1
    trainer = pl.Trainer(
        devices=devices, callbacks=[Evaluate("digits_cnn", cache_dir=None)], **SILENT
    )
    # Most images are of the last class; the one that is repeated is of the first.
    labels = torch.arange(101).clamp(max=2)
    loader = DataLoader(TensorDataset(images, labels), 10)
    model = DCGAN((1, 8, 8), num_classes, generator_width=8, critic_width=8)
    (scores,) = trainer.validate(model, loader, verbose=False)
    return scores


@pytest.mark.parametrize("num_classes", [0, 3])
def test_samples_that_the_sampler_repeats_count_once(ranks, num_classes):
    two, _ = ranks(padded_scores, 2, num_classes)
    one = padded_scores(1, num_classes)
    assert sorted(one) == sorted(two) == ["fd101_digits_cnn_val", "is101_digits_cnn", "step"]
    assert one == pytest.approx(two, rel=1e-6)
