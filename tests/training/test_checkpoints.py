"""Checkpoints on disk: written completely, or left unchanged."""

import os

import pytest
import torch

from gan_lightning.training.checkpoints import AtomicCheckpointIO
from gan_lightning.utils.errors import StorageError


def test_a_checkpoint_is_written_and_read(tmp_path):
    path = tmp_path / "new" / "one.ckpt"
    parts = {"state_dict": {"x": torch.ones(3)}, "global_step": 1, "pytorch-lightning_version": "2"}
    AtomicCheckpointIO().save_checkpoint(parts, path)
    assert torch.equal(AtomicCheckpointIO().load_checkpoint(path)["state_dict"]["x"], torch.ones(3))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["os.fsync", "torch.save"])
def test_a_failed_write_leaves_the_earlier_checkpoint(tmp_path, monkeypatch, step):
    path = tmp_path / "one.ckpt"
    AtomicCheckpointIO().save_checkpoint({"x": 1}, path)
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, full)
    with pytest.raises(StorageError, match=r"one.ckpt cannot be written \(No space left"):
        AtomicCheckpointIO().save_checkpoint({"x": 2}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("unique", ["77", "0123456789abcdef"])  # in version 0.1, and now
def test_old_partial_files_of_a_killed_process_are_removed(tmp_path, unique):
    old, new = tmp_path / f"step=1.ckpt.{unique}.part", tmp_path / f"step=2.ckpt.{unique}.part"
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    path = tmp_path / "step=3.ckpt"
    AtomicCheckpointIO().save_checkpoint({"x": 1}, path)
    assert sorted(tmp_path.iterdir()) == [new, path]


def test_the_command_line_writes_checkpoints_atomically(fit, monkeypatch):
    written = []
    save = AtomicCheckpointIO.save_checkpoint

    def watched(self, checkpoint, path, storage_options=None):
        written.append(str(path))
        save(self, checkpoint, path, storage_options)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", watched)
    run = fit(
        *("--model=DCGAN", "--data=Ring", "--model.generator_width=8", "--model.critic_width=8"),
        "--trainer.max_steps=2",
    )
    assert written == [str(run / "checkpoints" / "step=2.ckpt")]
