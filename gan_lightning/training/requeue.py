"""A SLURM job that was requeued continues in the folder of its run."""

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

#: The fits that this process has begun: each has a run of its own.
_fits = 0


class Run(NamedTuple):
    """The folder of a run, and its newest checkpoint."""

    folder: Path
    checkpoint: Path


def job() -> str | None:
    """The ID of this process's job, or of its task in a job array; None outside of SLURM."""
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"
    return os.environ.get("SLURM_JOB_ID") or None


def begin_fit(*, first: bool = False) -> None:
    """Count a fit of this process, or start to count."""
    global _fits
    _fits = 0 if first else _fits + 1


def remember(root: Path, run: Path, checkpoints: Path) -> None:
    """Save, below ``root``, which folders this command's run has in the job."""
    if (name := job()) is None:
        return
    with whole_file(_path(root, name), "w") as file:
        json.dump({"run": str(run.absolute()), "checkpoints": str(checkpoints.absolute())}, file)


def remembered(root: Path) -> Run | None:
    """The run that a requeued job continues; None for a new job, or where nothing was saved.

    Raises:
        WrongFileError: the file that ``remember`` wrote holds something else now.
    """
    name = job()
    if name is None or not os.environ.get("SLURM_RESTART_COUNT", "0").strip("0"):
        return None
    path = _path(root, name)
    if not path.is_file():
        return None
    try:
        folders = json.loads(path.read_text())
        run, checkpoints = Path(folders["run"]), Path(folders["checkpoints"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WrongFileError(
            f"{path} does not name the folders of the job's run: delete it"
        ) from error
    checkpoint = newest_checkpoint(checkpoints)
    return None if checkpoint is None else Run(run, checkpoint)


def requeue() -> None:
    """Ask SLURM to put the job back in the queue."""
    name, scontrol = job(), shutil.which("scontrol")
    if name is None:
        return
    asked = scontrol and subprocess.run([scontrol, "requeue", name], check=False)
    if not asked or asked.returncode:
        rank_zero_warn(f"SLURM could not be asked to requeue job {name}")


def _path(root: Path, name: str) -> Path:
    """One file for each fit of each command: a job may run several, in turn or in parallel."""
    command = hashlib.sha256(repr(sys.argv[1:]).encode()).hexdigest()[:12]
    safe_name = "".join(c for c in name if c.isalnum() or c == "_")
    fit = f"-{_fits}" if _fits > 1 else ""
    return root / ".slurm" / f"{safe_name}-{command}{fit}.json"
