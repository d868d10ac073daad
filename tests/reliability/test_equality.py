"""Two processes train as one does on all of their samples."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gan_lightning import TECHNIQUES

SCRIPT = Path(__file__).with_name("train_on_devices.py")
#: Hyperparameters that have more than one update of the critic, and everything that evolves.
EVERYTHING = {
    "dcgan": {"n_critic": 2},
    "lsgan": {"n_critic": 2, "decay_steps": 40},
    "began": {"n_critic": 2, "halving_interval": 5, "network": "dcgan"},
    "sagan": {"n_critic": 2},
}


def train(path, **said):
    """What each rank ends with."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(said | {"path": str(path)})],
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(f"{path}.{rank}") for rank in range(said["devices"])]


def assert_equal(tmp_path, measured, name, **said):
    """Measures the largest difference of a tensor, relative to its own largest value."""
    said |= {"name": name, "model": EVERYTHING.get(name, {})}
    (one,) = train(tmp_path / "one", devices=1, **said)
    both = train(tmp_path / "two", devices=2, **said)
    assert one.keys() == both[0].keys()
    largest = 0.0
    for key, expected in one.items():
        torch.testing.assert_close(both[1][key], both[0][key], rtol=0, atol=0)
        # Relative to the largest: single weights may be nothing but rounding.
        size = float(expected.double().abs().nan_to_num(posinf=0).max())
        difference = float((both[0][key].double() - expected).nan_to_num(0).abs().max())
        largest = max(largest, difference / size if size > 1e-6 else 0)
        bound = 1e-5 * size + 1e-9
        torch.testing.assert_close(
            both[0][key], expected, rtol=0, atol=bound, msg=lambda m, key=key: f"{key}: {m}"
        )
    measured("largest relative difference", largest)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", TECHNIQUES)
def test_two_processes_end_with_the_weights_of_one(name, tmp_path, record_property):
    # In float64: in float32 Adam makes full steps of gradients that are nothing but rounding.
    assert_equal(tmp_path, record_property, name, precision="64-true")


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("name", "points"),
    # There is no conditional BEGAN.
    [
        (name, points)
        for name in TECHNIQUES
        for points in (True, False)
        if points or name != "began"
    ],
)
def test_they_do_on_points_and_with_labels_too(name, points, tmp_path, thorough, record_property):
    if not thorough and name != "wgan_gp":
        pytest.skip("all techniques with --thorough")
    said = {"precision": "64-true", "points": points, "classes": not points}
    assert_equal(tmp_path, record_property, name, **said)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("strategy", ["ddp", "ddp_find_unused_parameters_true"])
def test_no_strategy_of_ddp_needs_to_be_told_of_unused_parameters(strategy, tmp_path):
    train(tmp_path / "two", name="wgan_gp", devices=2, updates=2, strategy=strategy)


@pytest.mark.timeout(200)
def test_without_synchronisation_batch_statistics_are_each_ranks_own(tmp_path):
    said = {"name": "dcgan", "precision": "64-true", "updates": 2, "synchronised": False}
    (one,) = train(tmp_path / "one", devices=1, **said)
    two, _ = train(tmp_path / "two", devices=2, **said)
    name = "critic.features.net.2.weight"
    assert float((one[name] - two[name]).abs().max()) > 1e-4


@pytest.mark.timeout(90)
def test_two_processes_come_to_their_end(program, time):
    name = [technique.__name__ for technique in TECHNIQUES.values()][time % len(TECHNIQUES)]
    code, said = program(
        *(f"--model={name}", "--data=Digits", "--data.batch_size=16"),
        *("--model.generator_width=8", "--model.critic_width=8"),
        *("--trainer.max_steps=20", "--trainer.val_check_interval=10"),
        devices=2,
    ).ended(within=80)
    assert code == 0, said
