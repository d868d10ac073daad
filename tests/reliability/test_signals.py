"""Signals: a run stops between two updates, and resumes exactly."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import pytorch_lightning as pl
import torch
from helpers import IMAGE, SILENT, batches, tiny
from program import LONG, assert_same, checkpoints, run_of
from pytorch_lightning.callbacks import ModelCheckpoint

from gan_lightning.callbacks import StopOnSignal, signals
from gan_lightning.training.deferred import DeferredReads
from gan_lightning.training.loggers import read_rows
from gan_lightning.utils.errors import StoppedError

#: A SLURM job with one task.
JOB = {
    "SLURM_JOB_ID": "77",
    "SLURM_JOB_NAME": "gan",
    "SLURM_NTASKS": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NODELIST": "127.0.0.1",
}
ARGUMENTS = ("--model=DCGAN", *LONG)


@pytest.fixture
def uninterrupted(program, tmp_path):
    """``uninterrupted(devices)`` starts a run that is not stopped, for comparison."""
    return lambda devices=1: program(*ARGUMENTS, root=tmp_path / "uninterrupted", devices=devices)


def has_logged(root, update=1):
    """A function that returns whether the run below a folder has logged an update."""
    return lambda: any(
        row["step"] == str(update) for file in root.rglob("metrics.csv") for row in read_rows(file)
    )


def last_line(output):
    return output.strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_stopped_by_a_signal_resumes_exactly(
    program, uninterrupted, tmp_path, number, devices
):
    root = tmp_path / "stopped"
    run = program(*ARGUMENTS, root=root, devices=devices)
    run.until(has_logged(root))
    # Only to the first process, as a container runtime does.
    os.kill(run.process.pid, number)
    code, output = run.ended(within=60)
    assert code == 128 + number, output
    run.assert_all_ended()
    assert "Traceback" not in output
    found = re.fullmatch(
        rf"gan-lightning: stopped by {number.name} after update (\d+): "
        r"resume with --ckpt_path=(\S+)",
        last_line(output),
    )
    assert found, output
    assert 0 < int(found[1]) < 60
    assert checkpoints(root) == [int(found[1])]
    config = run_of(root) / "config.yaml"
    resumed = program(f"--config={config}", f"--ckpt_path={found[2]}", root=root, devices=devices)
    for each in (resumed, uninterrupted(devices)):
        code, output = each.ended()
        assert code == 0, output
    assert_same(run_of(root), run_of(tmp_path / "uninterrupted"))


def test_a_second_interrupt_stops_at_once(program, tmp_path):
    # An evaluation that takes a while.
    run = program(*ARGUMENTS, "--trainer.num_sanity_val_steps=0", "--evaluate.num_samples=300000")
    run.until(has_logged(tmp_path, 10))
    os.kill(run.process.pid, signal.SIGINT)
    run.until(lambda: "interrupt again to stop at once" in run.said.read_text())
    os.kill(run.process.pid, signal.SIGINT)
    code, output = run.ended(within=20)
    assert code == 130, output
    assert last_line(output) == "gan-lightning: stopped by SIGINT; the last checkpoint is none"
    assert "Traceback" not in output
    run.assert_all_ended()


class Signal(pl.Callback):
    """Sends SIGTERM to its own process after the third update."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("weights_only", [False, True])
def test_a_stopped_fit_can_be_resumed_in_the_same_process(tmp_path, weights_only):
    model, data = tiny("dcgan", IMAGE), batches(IMAGE)
    model_checkpoint = ModelCheckpoint(tmp_path, filename="{step}", save_weights_only=weights_only)
    arguments = SILENT | {"enable_checkpointing": True, "max_steps": 8}
    trainer = pl.Trainer(callbacks=[Signal(), StopOnSignal(), model_checkpoint], **arguments)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(
        StoppedError, match=r"after update 3: resume with --ckpt_path=\S+step=3.ckpt"
    ):
        trainer.fit(model, data)
    assert signal.getsignal(signal.SIGTERM) == before
    trainer.validate(model, data, verbose=False)
    assert [path.name for path in tmp_path.iterdir()] == ["step=3.ckpt"]
    again = pl.Trainer(callbacks=[StopOnSignal()], **arguments | {"enable_checkpointing": False})
    again.fit(tiny("dcgan", IMAGE), data, ckpt_path=tmp_path / "step=3.ckpt")
    assert again.global_step == 8


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("when", "devices"),
    [("the first evaluation", 1), ("validate", 1), ("validate", 2), ("predict", 2)],
)
def test_a_signal_stops_evaluation_and_prediction_at_once(
    program, tmp_path, number, when, devices, fit
):
    endless = "--evaluate.num_samples=3000000"
    if when == "predict":
        endless = "--data.predict_samples=3000000"
    if when in ("validate", "predict"):
        trained = fit("--model=DCGAN", "--data=Ring", "--trainer.max_steps=1")
        checkpoint = trained / "checkpoints" / "last.ckpt"
        run = program(f"--ckpt_path={checkpoint}", endless, command=when, devices=devices)
    else:
        run = program(*ARGUMENTS, endless)
    # It prints this before it begins.
    sign = "TPU" if when == "the first evaluation" else "Loaded model"
    run.until(lambda: sign in run.said.read_text())
    time.sleep(3)
    os.kill(run.process.pid, number)
    code, output = run.ended(within=20)
    assert code == 128 + number, output
    assert last_line(output) == f"gan-lightning: stopped by {number.name}"
    assert "Traceback" not in output
    run.assert_all_ended()
    assert checkpoints(tmp_path / "Digits-DCGAN") == []


NEW_PID_NAMESPACE = (
    "unshare",
    "--map-root-user",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child",
)


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("unshare") or bool(subprocess.run([*NEW_PID_NAMESPACE, "true"]).returncode),
    reason="this system does not allow new PID namespaces",
)
def test_two_processes_train_when_the_first_has_pid_1(tmp_path):
    train = [
        *(sys.executable, "-m", "gan_lightning", "fit", *ARGUMENTS, "--trainer.max_steps=10"),
        *("--trainer.accelerator=cpu", "--trainer.devices=2"),
        f"--trainer.default_root_dir={tmp_path}",
    ]
    done = subprocess.run([*NEW_PID_NAMESPACE, *train], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert checkpoints(tmp_path) == [10]


def test_a_signal_to_another_rank_is_known_some_updates_later(monkeypatch):
    stop, device = StopOnSignal(), torch.device("cpu")
    stop._deferred = DeferredReads(device)
    stop._deferred.every, stop._deferred.delay = 2, 1
    maxima = iter([0, 15, 15])
    monkeypatch.setattr(signals, "max_over_ranks", lambda x: torch.tensor(next(maxima)))
    assert [stop._agreed_signal(device) for _ in range(5)] == [0, 0, 0, 0, 15]


@pytest.mark.slow
def test_a_requeued_job_resumes_exactly(program, uninterrupted, tmp_path):
    root = tmp_path / "job"
    commands = tmp_path / "bin"
    commands.mkdir()
    scontrol = commands / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked.txt\n')
    scontrol.chmod(0o755)
    environment = {**JOB, "PATH": f"{commands}:{os.environ['PATH']}"}
    run = program(*ARGUMENTS, root=root, **environment)
    run.until(has_logged(root))
    os.kill(run.process.pid, signal.SIGUSR1)
    code, output = run.ended(within=60)
    assert code == 128 + signal.SIGUSR1, output
    assert (tmp_path / "asked.txt").read_text() == "requeue 77\n"
    assert 0 < checkpoints(root)[0] < 60
    # SLURM starts the same command again.
    again = program(*ARGUMENTS, root=root, **environment, SLURM_RESTART_COUNT="1")
    for each in (again, uninterrupted()):
        code, output = each.ended()
        assert code == 0, output
    assert_same(run_of(root), run_of(tmp_path / "uninterrupted"))


@pytest.mark.slow
def test_each_command_of_a_requeued_job_resumes_its_own_run(program, tmp_path):
    runs = {}
    for seed in (0, 1):
        # The second starts from a checkpoint, but does not return to it when it is requeued.
        given = f"--ckpt_path={runs[0]}/checkpoints/step=10.ckpt" if seed else "--ckpt_path=null"
        arguments = (*ARGUMENTS, f"--seed_everything={seed}", given, "--checkpoint.save_top_k=-1")
        done = program(*arguments, f"--trainer.max_steps={20 + 10 * seed}", **JOB)
        code, output = done.ended()
        assert code == 0, output
        (runs[seed],) = set(tmp_path.glob("*/version_*")) - set(runs.values())
    for seed, steps in ((0, 20), (1, 30)):
        given = f"--ckpt_path={runs[0]}/checkpoints/step=10.ckpt" if seed else "--ckpt_path=null"
        arguments = (*ARGUMENTS, f"--seed_everything={seed}", given, "--checkpoint.save_top_k=-1")
        again = program(*arguments, f"--trainer.max_steps={steps}", **JOB, SLURM_RESTART_COUNT="1")
        code, output = again.ended()
        assert code == 0, output
        assert f"{runs[seed]}/checkpoints/step={steps}.ckpt" in output
    assert set(tmp_path.glob("*/version_*")) == set(runs.values())


def test_another_job_in_the_same_folder_starts_a_new_run(program, tmp_path):
    first = program(*ARGUMENTS, "--trainer.max_steps=10", **JOB)
    assert first.ended()[0] == 0
    other = program(*ARGUMENTS, "--trainer.max_steps=10", **JOB | {"SLURM_JOB_ID": "78"})
    code, output = other.ended()
    assert code == 0, output
    assert "Restor" not in output
    assert len(list(tmp_path.glob("*/version_*"))) == 2
