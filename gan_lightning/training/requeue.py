"""A job of SLURM that was put back in the queue goes on in its run's folder."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from pytorch_lightning.utilities import rank_zero_warn

from gan_lightning.training.checkpoints import newest_checkpoint
from gan_lightning.utils.errors import WrongFileError
from gan_lightning.utils.files import whole_file


class Run(NamedTuple):
    """The folder of a run, and its newest checkpoint."""

    folder: Path
    checkpoint: Path


def job() -> str | None:
    """The number of the job, or of the task of an array, that this process is part of."""
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"
    return os.environ.get("SLURM_JOB_ID") or None


def remember(root: Path, run: Path, checkpoints: Path) -> None:
    """Keep, below ``root``, which folders this command's run in the job has."""
    if (name := job()) is None:
        return
    with whole_file(_place(root, name), "w") as file:
        json.dump({"run": str(run.absolute()), "checkpoints": str(checkpoints.absolute())}, file)


def remembered(root: Path) -> Run | None:
    """Where a job that was put back goes on; None for a new one, or where nothing was saved.

    Raises:
        WrongFileError: what ``remember`` wrote is something else now.
    """
    name = job()
    if name is None or not os.environ.get("SLURM_RESTART_COUNT", "0").strip("0"):
        return None
    path = _place(root, name)
    if not path.is_file():
        return None
    try:
        places = json.loads(path.read_text())
        run, checkpoints = Path(places["run"]), Path(places["checkpoints"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WrongFileError(f"{path} does not say where the job's run is: delete it") from error
    checkpoint = newest_checkpoint(checkpoints)
    return None if checkpoint is None else Run(run, checkpoint)


def put_back() -> None:
    """Ask SLURM to start the job again."""
    name, scontrol = job(), shutil.which("scontrol")
    if name is None:
        return
    asked = scontrol and subprocess.run([scontrol, "requeue", name], check=False)
    if not asked or asked.returncode:
        rank_zero_warn(f"SLURM could not be asked to start job {name} again")


def _place(root: Path, name: str) -> Path:
    """One job may run several commands, in turn or side by side."""
    command = hashlib.sha256(repr(sys.argv[1:]).encode()).hexdigest()[:12]
    return root / ".slurm" / f"{''.join(c for c in name if c.isalnum() or c == '_')}-{command}.json"
