"""A run that is killed and goes on ends with the bits of one that was not."""

import random
import signal
import time as clock

import pytest
import torch
import yaml
from helpers import techniques
from program import LONG, assert_same, checkpoints, rows, run_of
from wandb_log import read, records

from gan_lightning import TECHNIQUES
from gan_lightning.training.checkpoints import newest_checkpoint

CLASSES = {key: technique.__name__ for key, technique in TECHNIQUES.items()}


def killed(program, arguments, root, moment, number=signal.SIGKILL, **options):
    """Start a run and end it after its first checkpoint; the arguments with which it goes on."""
    run = program(*arguments, root=root, **options)
    run.until(lambda: checkpoints(root))
    clock.sleep(moment)
    run.kill(number)
    code, said = run.ended()
    assert code == (-9 if number == signal.SIGKILL else 128 + number), said
    folder = run_of(root)
    newest = newest_checkpoint(folder / "checkpoints")
    assert 0 < torch.load(newest, weights_only=True)["global_step"] < 60
    return f"--config={folder / 'config.yaml'}", f"--ckpt_path={newest}"


@pytest.mark.parametrize("name", techniques("dcgan"))
def test_a_killed_run_goes_on_exactly(program, tmp_path, name, time):
    arguments = (f"--model={CLASSES[name]}", *LONG)
    whole = program(*arguments, root=tmp_path / "whole")
    moment = random.Random(f"{name} {time}").uniform(0, 0.7)
    goes_on = killed(program, arguments, tmp_path / "killed", moment)
    for run in (whole, program(*goes_on, root=tmp_path / "killed")):
        code, said = run.ended()
        assert code == 0, said
    assert_same(run_of(tmp_path / "killed"), run_of(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.parametrize("name", TECHNIQUES)
def test_two_killed_processes_go_on_exactly(program, tmp_path, name, time):
    arguments = (f"--model={CLASSES[name]}", *LONG)
    # One of them as a new Python each time, with sets in another order.
    anew = [{"anew": True, "PYTHONHASHSEED": seed} if name == "sngan" else {} for seed in "123"]
    whole = program(*arguments, root=tmp_path / "whole", devices=2, **anew[0])
    code, said = whole.ended()
    assert code == 0, said
    moment = random.Random(f"{name} {time}").uniform(0, 0.7)
    goes_on = killed(program, arguments, tmp_path / "killed", moment, devices=2, **anew[1])
    code, said = program(*goes_on, root=tmp_path / "killed", devices=2, **anew[2]).ended()
    assert code == 0, said
    assert_same(run_of(tmp_path / "killed"), run_of(tmp_path / "whole"))


@pytest.mark.parametrize("met", [False, True])
def test_a_rank_whose_first_one_is_killed_ends_too(program, tmp_path, met):
    run = program("--model=DCGAN", *LONG, "--trainer.max_steps=100000", devices=2)
    run.until(lambda: len(run.ranks()) > 1 and (not met or checkpoints(tmp_path)))
    run.process.kill()
    run.assert_all_ended(within=20)


def history(root):
    """By run, in the order in which its files were begun: the updates that have losses."""
    found = {}
    for folder in sorted(root.glob("wandb/offline-run-*")):
        (file,) = folder.glob("*.wandb")
        written = [read(r.history.item) for r in records(file) if r.HasField("history")]
        steps = [row["trainer/global_step"] for row in written if "loss/critic" in row]
        found.setdefault(file.stem.removeprefix("run-"), []).append(steps)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_all_logs_of_a_run_go_on(program, server, tmp_path, number):
    loggers = [
        {
            "class_path": "gan_lightning.training.loggers.ContinuedCSVLogger",
            "init_args": {"save_dir": str(tmp_path), "name": "run", "version": "version_0"},
        },
        {
            "class_path": "pytorch_lightning.loggers.WandbLogger",
            "init_args": {"save_dir": str(tmp_path), "offline": True},
        },
    ]
    config = tmp_path / "loggers.yaml"
    config.write_text(yaml.safe_dump({"trainer": {"logger": loggers}}))
    arguments = ("--model=DCGAN", *LONG, f"--config={config}")
    goes_on = killed(program, arguments, tmp_path, 0.3, number)
    began = int(goes_on[1].rpartition("=")[2].removesuffix(".ckpt"))
    code, said = program(*goes_on, root=tmp_path).ended()
    assert code == 0, said
    saved = (run_of(tmp_path) / "config.yaml").read_text()
    assert "ckpt_path: null" in saved  # or it would go on from there whenever it is used
    (identity,) = history(tmp_path)
    assert identity not in saved
    # One row an update, each once.
    trained = [int(row["step"]) for row in rows(run_of(tmp_path)) if row["loss/critic"]]
    assert trained == list(range(1, 61))
    # One run, whose second file begins where the checkpoint ends.
    ((first, second),) = history(tmp_path).values()
    assert second == list(range(began + 1, 61))
    # W&B keeps up to a block of 32 KiB in memory, which is lost with its process.
    assert first == list(range(1, len(first) + 1))
    if number == signal.SIGTERM:
        assert len(first) == began
