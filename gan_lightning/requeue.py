"""A job of SLURM that was put back in the queue goes on in its run's folder."""

import os
import shutil
import subprocess
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_warn

from gan_lightning.checkpoints import newest_checkpoint
from gan_lightning.files import whole_file


def job() -> str | None:
    """The number of the job, or of the task of an array, that this process is part of."""
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"
    return os.environ.get("SLURM_JOB_ID") or None


def remember(root: Path, run: Path) -> None:
    """Keep which folder below ``root`` the job's run has."""
    if (name := job()) is None:
        return
    with whole_file(_place(root, name), "w") as file:
        file.write(str(run.absolute()))


def last_checkpoint_of_job(root: Path) -> Path | None:
    """Where a job that was put back goes on; None for a new one, or where nothing was saved."""
    name = job()
    if name is None or not os.environ.get("SLURM_RESTART_COUNT", "0").strip("0"):
        return None
    path = _place(root, name)
    if not path.is_file():
        return None
    return newest_checkpoint(Path(path.read_text()) / "checkpoints")


def put_back() -> None:
    """Ask SLURM to start the job again."""
    name, scontrol = job(), shutil.which("scontrol")
    if name is None:
        return
    asked = scontrol and subprocess.run([scontrol, "requeue", name], check=False)
    if not asked or asked.returncode:
        rank_zero_warn(f"SLURM could not be asked to start job {name} again")


def _place(root: Path, name: str) -> Path:
    return root / ".slurm" / f"{''.join(c for c in name if c.isalnum() or c == '_')}.run"
