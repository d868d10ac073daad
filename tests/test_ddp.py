"""Several devices: two processes of the real command line, on the loopback."""

import csv
import os
import subprocess
import sys

import pytest
import torch


@pytest.mark.timeout(240)
def test_two_processes_train_and_score_with_the_default_strategy(tmp_path):
    command = [
        *(sys.executable, "-m", "gan_lightning", "fit", "--model=WGANGP", "--data=Digits"),
        *("--model.generator_width=8", "--model.critic_width=8", "--data.batch_size=16"),
        *("--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.max_steps=4"),
        *("--trainer.val_check_interval=4", "--trainer.enable_progress_bar=false"),
        f"--trainer.default_root_dir={tmp_path}",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ.copy(), capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "Digits-WGANGP" / "version_0"
    with (folder / "metrics.csv").open() as file:
        scored = [row for row in csv.DictReader(file) if row["fd_digits_cnn"]]
    assert [int(row["step"]) for row in scored] == [0, 4]
    assert all(float(row["fd_digits_cnn"]) > 0 for row in scored)
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4
    # Each rank draws noise of its own.
    first, second = (state["cpu"] for state in checkpoint["rng_states"])
    assert not torch.equal(first, second)
