"""Weights & Biases offline, through the command line: what a run's file says afterwards."""

import json
import socket
from pathlib import Path

import pytest
import wandb
from wandb.proto.wandb_internal_pb2 import Record

from gan_lightning.cli import main

BLOCK, HEADER = 32768, 7


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The only server that W&B knows of: it listens, and nobody must call."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
        monkeypatch.delenv("WANDB_API_KEY", raising=False)
        for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
            monkeypatch.setenv(name, str(tmp_path / "home"))
        yield server
        wandb.finish()
        wandb.teardown()


def records(path):
    """The records of an offline run's file, which is a LevelDB log after a header of its own."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    position, parts = HEADER, []
    while position + HEADER <= len(data):
        if BLOCK - position % BLOCK < HEADER:  # no header fits into the rest of the block
            position += BLOCK - position % BLOCK
            continue
        length = int.from_bytes(data[position + 4 : position + 6], "little")
        kind = data[position + 6]  # 1: a whole record, 2: its beginning, 3: its middle, 4: its end
        position += HEADER
        parts.append(data[position : position + length])
        position += length
        if kind in (1, 4):
            yield Record.FromString(b"".join(parts))
            parts = []


def read(items):
    """Keys, nested ones joined by dots, and values."""
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def test_an_offline_run_holds_scalars_pictures_and_the_config(server, tmp_path):
    main(
        [
            "fit",
            "--model=WGANGP",
            "--data=Digits",
            "--model.generator_width=8",
            "--model.critic_width=8",
            "--data.batch_size=8",
            "--trainer.accelerator=cpu",
            "--trainer.max_steps=2",
            "--trainer.log_every_n_steps=1",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            "--trainer.logger=WandbLogger",
            "--trainer.logger.offline=true",
            f"--trainer.logger.save_dir={tmp_path}",
        ]
    )
    wandb.finish()
    wandb.teardown()  # waits for the process that writes the file

    (run,) = Path(tmp_path, "wandb").glob("offline-run-*")
    (file,) = run.glob("*.wandb")
    written = list(records(file))
    history = [read(record.history.item) for record in written if record.HasField("history")]

    losses = {row["trainer/global_step"]: row for row in history if "loss/critic" in row}
    assert sorted(losses) == [1, 2]
    scores = {row["trainer/global_step"]: row for row in history if "fd1797_digits_cnn" in row}
    assert sorted(scores) == [0, 2]
    assert all(row["fd1797_digits_cnn"] > 100 for row in scores.values())

    pictures = {row["trainer/global_step"]: row for row in history if "samples.filenames" in row}
    assert sorted(pictures) == [0, 2]
    (logged,) = tmp_path.rglob("step_000002.png")
    (name,) = pictures[2]["samples.filenames"]
    assert (run / "files" / name).read_bytes() == logged.read_bytes()

    config = {}
    for record in written:
        for update in (record.config.update, record.run.config.update):
            config |= read(update)
    assert config["model"]["class_path"] == "gan_lightning.WGANGP"
    assert config["model"]["init_args"]["generator_width"] == 8
    assert config["data"]["class_path"] == "gan_lightning.data.Digits"
    assert config["trainer"]["max_steps"] == 2

    with pytest.raises(BlockingIOError):
        server.accept()
