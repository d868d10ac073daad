"""Weights & Biases offline, through the command line: the contents of the run's file."""

import pytest
from wandb_log import read, records

from gan_lightning.cli.program import main

wandb = pytest.importorskip("wandb", reason="NOT TESTED: wandb is not installed")


@pytest.mark.slow
def test_an_offline_run_contains_scalars_images_and_the_config(server, tmp_path):
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
    wandb.teardown()  # wait for the process that writes the file

    (run,) = tmp_path.glob("lightning_logs/*/wandb/offline-run-*")
    (file,) = run.glob("*.wandb")
    written = list(records(file))
    history = [read(record.history.item) for record in written if record.HasField("history")]

    losses = {row["trainer/global_step"]: row for row in history if "loss/critic" in row}
    assert sorted(losses) == [1, 2]
    scores = {row["trainer/global_step"]: row for row in history if "fd1797_digits_cnn" in row}
    assert sorted(scores) == [0, 2]
    assert all(row["fd1797_digits_cnn"] > 100 for row in scores.values())

    images = {row["trainer/global_step"]: row for row in history if "samples.filenames" in row}
    assert sorted(images) == [0, 2]
    (logged,) = tmp_path.rglob("step_000002.png")
    (name,) = images[2]["samples.filenames"]
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
