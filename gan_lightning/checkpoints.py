"""Checkpoints on disk: whole, or as they were; and read only where they fit."""

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO

from gan_lightning.errors import WrongFileError
from gan_lightning.files import real_path, remove_abandoned, whole_file

#: Of what ``GAN`` adds to Lightning's checkpoints; a later one is not read.
FORMAT = 1
#: What a checkpoint of a run holds.
PARTS = ("state_dict", "global_step", "pytorch-lightning_version")
#: Of these and of others, where they are there.
TYPES: Mapping[str, type] = {
    "state_dict": dict,
    "global_step": int,
    "epoch": int,
    "pytorch-lightning_version": str,
    "technique": str,
    "gan_lightning": dict,
    "hyper_parameters": Mapping,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "rng_states": list,
}
#: In a file's name, the update that it is of.
STEP = re.compile(r"step=(\d+)")
#: In the state of ``ModelCheckpoint``: paths, and scores by path.
PATHS, BEST = ("best_model_path", "last_model_path", "kth_best_model_path"), "best_k_models"
#: The hyperparameters that networks are built from.
OF_NETWORKS = (
    "shape",
    "num_classes",
    "latent_dim",
    "network",
    "generator_width",
    "critic_width",
    "critic_norm",
    "skip_connections",
    "ema_decay",
)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's, but a file is written beside its place and renamed when it is on the disk.

    A process that is killed, or a disk that is full, leaves the file that was there before; what is
    read is compared with its checksums, and holds nothing that runs. Paths that are not of this
    file system are left to Lightning's.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any | None = None,  # noqa: ANN401
    ) -> None:
        """Write the checkpoint.

        Raises:
            StorageError: it cannot be written; nothing has changed.
        """
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, str(path), storage_options)
            return
        with whole_file(Path(path)) as file:
            torch.save(checkpoint, file)
        remove_abandoned(Path(path).parent, ".ckpt")

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Any | None = lambda storage, loc: storage,  # noqa: ANN401
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint; ``weights_only`` is always true.

        Raises:
            WrongFileError: it is not a whole checkpoint, or holds what could run.
        """
        if "://" in str(path):
            try:
                return super().load_checkpoint(str(path), map_location, weights_only=True)
            except Exception as error:
                # A file system of the network raises what it pleases, and torch does.
                raise WrongFileError(f"{path} cannot be read: {type(error).__name__}") from error
        checkpoint = read_checkpoint(Path(path), map_location)
        if not all(part in checkpoint for part in PARTS):
            raise WrongFileError(f"{path} is not a checkpoint of a run")
        return checkpoint


def read_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:  # noqa: ANN401
    """What ``AtomicCheckpointIO``, or Lightning, wrote.

    Raises:
        WrongFileError: the file is damaged, holds something else, or holds what could run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # torch compares no checksums: a tensor would silently have other values.
            damaged = archive.testzip()
        if damaged is not None:
            raise WrongFileError(f"the checkpoint {path} is damaged{beside(path)}")
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise WrongFileError(
            f"{path} holds more than tensors and plain values, and is not read: it could run "
            "anything"
        ) from error
    except FileNotFoundError as error:
        raise WrongFileError(f"there is no file {path}{beside(path)}") from error
    except (WrongFileError, PermissionError):
        raise
    except Exception as error:
        # zipfile and torch raise what they please on a torn file.
        raise WrongFileError(
            f"{path} is not a whole checkpoint ({type(error).__name__}){beside(path)}"
        ) from error
    if not isinstance(checkpoint, dict):
        raise WrongFileError(f"{path} is not a checkpoint")
    for name, kind in TYPES.items():
        if name in checkpoint and not isinstance(checkpoint[name], kind):
            theirs = type(checkpoint[name]).__name__
            raise WrongFileError(f"{path} is not a checkpoint: its {name} is of type {theirs}")
    written = checkpoint.get("gan_lightning", {})
    if not isinstance(number := written.get("format", 0), int) or number > FORMAT:
        raise WrongFileError(
            f"{path} was written by gan_lightning {written.get('version')}, which this version "
            "cannot read: upgrade it"
        )
    return checkpoint


def check_fits(checkpoint: Mapping[str, Any], model: pl.LightningModule, technique: str) -> None:
    """Raises WrongFileError where the checkpoint is of another technique or other networks."""
    theirs = checkpoint.get("technique", technique)
    # A class may have moved to another file.
    if theirs.rpartition(".")[2] != technique.rpartition(".")[2]:
        raise WrongFileError(
            f"the checkpoint is of {theirs.rpartition('.')[2]}, and the model is "
            f"{technique.rpartition('.')[2]}"
        )
    said, state = checkpoint["state_dict"], model.state_dict()
    if not model.strict_loading:
        return
    wrong = [name for name in {**state, **said} if _shape(said, name) != _shape(state, name)]
    if not wrong:
        return
    there = checkpoint.get("hyper_parameters", {})
    differing = [
        f"{name} {_plain(there[name])}, not {_plain(here)}"
        for name in OF_NETWORKS
        if name in there and there[name] != (here := getattr(model, name, there[name]))
        if _plain(there[name]) != _plain(here) and there[name] is not None
    ]
    name = wrong[0]
    raise WrongFileError(
        "the checkpoint is of other networks than the model's: "
        + (
            "; ".join(differing)
            or f"{name} is {_shape(said, name) or 'missing'}, not {_shape(state, name) or 'there'}"
        )
    )


def forget_foreign_paths(checkpoint: dict[str, Any]) -> None:
    """Have the names of other checkpoints in it say where they lead, or strike them out.

    ``ModelCheckpoint`` deletes the one that it remembers for the one before, with all that is in it
    where it is a folder. It looks whether that is below its own folder, but goes by the text:
    ``..`` leads out again, and a path with a protocol is taken for one of its own.
    """
    states = checkpoint.get("callbacks")
    for state in states.values() if isinstance(states, dict) else ():
        if not isinstance(state, dict):
            continue
        for key in PATHS:
            if key in state:
                state[key] = _local(state[key])
        if BEST in state:
            scores = state[BEST] if isinstance(state[BEST], dict) else {}
            state[BEST] = {plain: scores[path] for path in scores if (plain := _local(path))}


def _local(path: object) -> str:
    """A path of this file system without ``..`` on the way; "" for anything else."""
    if not isinstance(path, str) or not path or "::" in path or "://" in path:
        return ""
    return os.path.normpath(path)


def rewind_to_batch_end(fit_loop: dict[str, Any]) -> None:
    """Turn the counters of a finished epoch into those at the end of its last batch.

    Resumed from a finished epoch, Lightning first runs one batch of the next one in the old one,
    and the rest of the next one is lost; from a batch's end it goes on exactly.
    """
    batches, epochs = fit_loop["epoch_loop.batch_progress"], fit_loop["epoch_progress"]
    if batches["is_last_batch"] and epochs["total"]["processed"] == epochs["total"]["ready"]:
        for count in ("total", "current"):
            batches[count]["completed"] = batches[count]["ready"] - 1
            epochs[count]["processed"] = epochs[count]["completed"] = epochs[count]["ready"] - 1


def have_validation_run(fit_loop: dict[str, Any]) -> dict[str, int]:
    """Where a checkpoint was written at a batch's end, have a validation that is due there run.

    Lightning takes it for done, and its scores would be lost where the process was killed in it.
    Returns the batches that were validated before, which are to be restored when training starts.
    """
    batches = fit_loop["epoch_loop.batch_progress"]["total"]
    validated = fit_loop["epoch_loop.val_loop.batch_progress"]
    before = dict(validated["total"])
    if batches["completed"] == batches["processed"] - 1:
        # As in the first of its batches: from there, it starts again.
        validated["total"] |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}
        validated["current"] |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    return before


def last_checkpoint(trainer: pl.Trainer) -> Path | None:
    """The newest one that this run has written or, before that, the one it went on from."""
    names = (getattr(each, "_last_checkpoint_saved", "") for each in trainer.checkpoint_callbacks)
    written = [Path(name) for name in names if name and Path(name).is_file()]
    if not written and trainer.ckpt_path and Path(trainer.ckpt_path).is_file():
        return Path(trainer.ckpt_path)
    return max(written, key=lambda path: path.stat().st_mtime, default=None)


def newest_checkpoint(folder: Path, other_than: Path | None = None) -> Path | None:
    """The newest file in a folder that a checkpoint was written to whole."""
    files = {real_path(file) for file in folder.glob("*.ckpt")}
    files -= {real_path(other_than)} if other_than else set()
    whole = [file for file in files if zipfile.is_zipfile(file)]
    return max(whole, key=lambda file: file.stat().st_mtime, default=None)


def is_newest(path: Path) -> bool:
    """Whether no other checkpoint in its folder is of a later update, as their names tell."""
    folder = path.absolute().parent
    if newest_checkpoint(folder) != real_path(path):
        return False
    own = STEP.search(real_path(path).name)
    others = (STEP.search(real_path(file).name) for file in folder.glob("*.ckpt"))
    return own is None or all(int(other[1]) <= int(own[1]) for other in others if other)


def beside(path: Path) -> str:
    """Words that name the newest checkpoint in the same folder, where there is another."""
    newest = newest_checkpoint(path.absolute().parent, other_than=path)
    return f"; the newest beside it is {newest}" if newest else ""


def _shape(state: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    return tuple(getattr(state[name], "shape", ())) if name in state else None


def _plain(value: Any) -> Any:  # noqa: ANN401
    return tuple(value) if isinstance(value, list) else value
