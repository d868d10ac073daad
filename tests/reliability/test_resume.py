"""A run that is killed and resumed ends bit for bit like one that was not interrupted."""

import random
import shutil
import signal
import time as clock

import pytest
import torch
import yaml
from program import LONG, assert_same, checkpoints, rows, run_of
from wandb_log import read, records

from gan_lightning import TECHNIQUES
from gan_lightning.training.checkpoints import newest_checkpoint

CLASSES = {key: technique.__name__ for key, technique in TECHNIQUES.items()}


def killed(program, arguments, root, delay, number=signal.SIGKILL, **options):
    """Start a run, kill it after its first checkpoint, and return the arguments that resume it."""
    while True:
        run = program(*arguments, root=root, **options)
        run.until(lambda: checkpoints(root))
        clock.sleep(delay)
        run.kill(number)
        code, output = run.ended()
        if code != 0 or delay < 0.01:
            break
        # It has ended before: on a fast machine, the moment comes too late.
        shutil.rmtree(root)
        delay /= 2
    assert code == (-9 if number == signal.SIGKILL else 128 + number), output
    folder = run_of(root)
    newest = newest_checkpoint(folder / "checkpoints")
    assert 0 < torch.load(newest, weights_only=True)["global_step"] < 60
    return f"--config={folder / 'config.yaml'}", f"--ckpt_path={newest}"


@pytest.mark.slow
@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_killed_run_resumes_exactly(program, tmp_path, name, time):
    arguments = (f"--model={CLASSES[name]}", *LONG)
    uninterrupted = program(*arguments, root=tmp_path / "uninterrupted")
    delay = random.Random(f"{name} {time}").uniform(0, 0.7)
    resume_arguments = killed(program, arguments, tmp_path / "killed", delay)
    for run in (uninterrupted, program(*resume_arguments, root=tmp_path / "killed")):
        code, output = run.ended()
        assert code == 0, output
    assert_same(run_of(tmp_path / "killed"), run_of(tmp_path / "uninterrupted"))


@pytest.mark.slow
@pytest.mark.parametrize("name", TECHNIQUES)
def test_two_killed_processes_resume_exactly(program, tmp_path, name, time):
    arguments = (f"--model={CLASSES[name]}", *LONG)
    # One technique runs in a new Python each time, with sets in another order.
    anew = [{"anew": True, "PYTHONHASHSEED": seed} if name == "sngan" else {} for seed in "123"]
    uninterrupted = program(*arguments, root=tmp_path / "uninterrupted", devices=2, **anew[0])
    code, output = uninterrupted.ended()
    assert code == 0, output
    delay = random.Random(f"{name} {time}").uniform(0, 0.7)
    resume_arguments = killed(program, arguments, tmp_path / "killed", delay, devices=2, **anew[1])
    code, output = program(
        *resume_arguments, root=tmp_path / "killed", devices=2, **anew[2]
    ).ended()
    assert code == 0, output
    assert_same(run_of(tmp_path / "killed"), run_of(tmp_path / "uninterrupted"))


@pytest.mark.parametrize("connected", [False, True])
def test_the_other_rank_ends_when_the_first_is_killed(program, tmp_path, connected):
    run = program("--model=DCGAN", *LONG, "--trainer.max_steps=100000", devices=2)
    run.until(lambda: len(run.ranks()) > 1 and (not connected or checkpoints(tmp_path)))
    run.process.kill()
    run.assert_all_ended(within=20)


def history(root):
    """For each run, the updates that have losses: a list for each of its files, in order."""
    found = {}
    for folder in sorted(root.rglob("wandb/offline-run-*")):
        (file,) = folder.glob("*.wandb")
        written = [read(r.history.item) for r in records(file) if r.HasField("history")]
        steps = [row["trainer/global_step"] for row in written if "loss/critic" in row]
        found.setdefault(file.stem.removeprefix("run-"), []).append(steps)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_all_logs_of_a_resumed_run_continue(program, server, tmp_path, number):
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
    resume_arguments = killed(program, arguments, tmp_path, 0.3, number)
    resumed_at = int(resume_arguments[1].rpartition("=")[2].removesuffix(".ckpt"))
    code, output = program(*resume_arguments, root=tmp_path).ended()
    assert code == 0, output
    saved = (run_of(tmp_path) / "config.yaml").read_text()
    assert "ckpt_path: null" in saved  # otherwise it would always resume from there
    (identity,) = history(tmp_path)
    assert identity not in saved
    # One row for each update.
    trained = [int(row["step"]) for row in rows(run_of(tmp_path)) if row["loss/critic"]]
    assert trained == list(range(1, 61))
    # One run, whose second file begins where the checkpoint ends.
    ((first, second),) = history(tmp_path).values()
    assert second == list(range(resumed_at + 1, 61))
    # W&B keeps up to a block of 32 KiB in memory, which is lost with its process.
    assert first == list(range(1, len(first) + 1))
    if number == signal.SIGTERM:
        assert len(first) == resumed_at
