"""Checkpoints on disk: written whole or not at all, and loaded only where they fit."""

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

from gan_lightning.training.lightning_internals import last_saved
from gan_lightning.utils.errors import WrongFileError
from gan_lightning.utils.files import real_path, remove_abandoned, whole_file
from gan_lightning.utils.tensors import CompressedError, check_stored, load_tensors
from gan_lightning.version import __version__

#: The format of what ``GAN`` adds to Lightning's checkpoints; a later one is not read.
FORMAT = 1
#: What every checkpoint of a run holds.
PARTS = ("state_dict", "global_step", "pytorch-lightning_version")
#: The types of these parts, and of others where they are present.
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
    "fit": dict,
}
#: Parts that are counts, 0 at least.
COUNTS = ("global_step", "epoch")
#: Numbers among what ``GAN`` adds, and the least that they can be.
OWN_COUNTS = {"images": 0, "level": -1}
#: The update that a checkpoint is of, in its file's name.
STEP = re.compile(r"step=(\d+)")
#: Keys in the state of ``ModelCheckpoint``: of paths, and of scores by path.
PATHS, BEST = ("best_model_path", "last_model_path", "kth_best_model_path"), "best_k_models"
#: The hyperparameters that networks are built from.
NETWORK_ARGUMENTS = (
    "shape",
    "num_classes",
    "latent_dim",
    "network",
    "generator_width",
    "critic_width",
    "critic_norm",
    "skip_connections",
    "ema_decay",
    "augment",
    "regularize",
)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's, but a file is written under another name and renamed when it is on the disk.

    A process that is killed, or a disk that is full, leaves the file that was there before. Files
    are compared with their checksums, and loaded without running anything. Paths of other file
    systems are left to Lightning's own.
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
                # Remote file systems and torch raise errors of many kinds.
                raise WrongFileError(f"{path} cannot be read: {type(error).__name__}") from error
        checkpoint = read_checkpoint(Path(path), map_location)
        if not all(part in checkpoint for part in PARTS):
            raise WrongFileError(f"{path} is not a checkpoint of a run")
        return checkpoint


def read_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:  # noqa: ANN401
    """Read a checkpoint that ``AtomicCheckpointIO``, or Lightning, wrote.

    Raises:
        WrongFileError: the file is damaged, holds something else, or holds what could run.
    """
    try:
        check_stored(path)
        with zipfile.ZipFile(path) as archive:
            # torch does not compare checksums: a damaged tensor would load silently.
            damaged = archive.testzip()
        if damaged is not None:
            raise WrongFileError(f"the checkpoint {path} is damaged{beside(path)}")
        checkpoint = load_tensors(path, map_location)
    except pickle.UnpicklingError as error:
        raise WrongFileError(
            f"{path} holds more than tensors and plain values, and is not read: it could run "
            "anything"
        ) from error
    except FileNotFoundError as error:
        raise WrongFileError(f"there is no file {path}{beside(path)}") from error
    except CompressedError as error:
        raise WrongFileError(f"{path} is not a checkpoint: {error}{beside(path)}") from error
    except (WrongFileError, PermissionError):
        raise
    except Exception as error:
        # zipfile and torch raise errors of many kinds on a damaged file.
        raise WrongFileError(
            f"{path} is not a whole checkpoint ({type(error).__name__}){beside(path)}"
        ) from error
    if not isinstance(checkpoint, dict):
        raise WrongFileError(f"{path} is not a checkpoint")
    for name, kind in TYPES.items():
        if name in checkpoint and not isinstance(checkpoint[name], kind):
            theirs = type(checkpoint[name]).__name__
            raise WrongFileError(f"{path} is not a checkpoint: its {name} is of type {theirs}")
    for name in COUNTS:
        if isinstance(count := checkpoint.get(name, 0), bool) or count < 0:
            raise WrongFileError(f"{path} is not a checkpoint: its {name} is {count}")
    written = checkpoint.get("gan_lightning", {})
    for name, least in OWN_COUNTS.items():
        if not isinstance(count := written.get(name, 0), int) or count < least:
            raise WrongFileError(f"{path} is not a checkpoint: its {name} is {count}")
    if not isinstance(number := written.get("format", 0), int) or number > FORMAT:
        raise WrongFileError(
            f"{path} was written by gan_lightning {written.get('version')}, which this version "
            "cannot read: upgrade it"
        )
    return checkpoint


def class_name(technique: type) -> str:
    """The name that checkpoints give a technique: its module's and its own."""
    return f"{technique.__module__}.{technique.__qualname__}"


def describe(checkpoint: dict[str, Any], technique: type, **counts: int) -> None:
    """Write into a checkpoint its technique, the version that writes it, and some counts."""
    checkpoint["technique"] = class_name(technique)
    checkpoint["gan_lightning"] = {
        "format": FORMAT,
        "version": __version__,
        **counts,
    }


def check_fits(
    checkpoint: Mapping[str, Any], model: pl.LightningModule, *, resumed: bool = False
) -> None:
    """Check that a checkpoint can be loaded into a model or, where ``resumed``, trained on.

    Raises:
        WrongFileError: it is of another technique or other networks, holds weights alone, or has no
            learning rate schedules.
    """
    ours = type(model).__qualname__.rpartition(".")[2]
    # A class may have moved to another file.
    theirs = checkpoint.get("technique", ours).rpartition(".")[2]
    if theirs != ours:
        raise WrongFileError(f"the checkpoint is of {theirs}, and the model is {ours}")
    if model.strict_loading:
        check_networks(checkpoint, model, checkpoint["state_dict"], model.state_dict())
    state = checkpoint.get("optimizer_states"), "fit_loop" in checkpoint.get("loops", {})
    if resumed and not (all(state) and "callbacks" in checkpoint):
        raise WrongFileError("the checkpoint holds weights alone: a fit cannot resume from it")
    if resumed and "lr_schedulers" not in checkpoint:
        raise WrongFileError("the checkpoint has no lr_schedulers: a fit cannot resume from it")


def check_networks(
    checkpoint: Mapping[str, Any],
    model: pl.LightningModule,
    theirs: Mapping[str, Any],
    ours: Mapping[str, Any],
) -> None:
    """Check that two states have the same names and shapes.

    Raises:
        WrongFileError: it names the hyperparameters that differ or, where none does, a tensor.
    """
    wrong = [name for name in {**ours, **theirs} if _shape(theirs, name) != _shape(ours, name)]
    if not wrong:
        return
    given = checkpoint.get("hyper_parameters", {})
    differing = []
    for name in NETWORK_ARGUMENTS:
        there, here = as_tuple(given.get(name)), as_tuple(getattr(model, name, None))
        if there is not None and hasattr(model, name) and there != here:
            differing.append(f"{name} {there}, not {here}")
    there, here = _shape(theirs, wrong[0]), _shape(ours, wrong[0])
    differing = differing or [f"{wrong[0]} is {there or 'missing'}, not {here or 'there'}"]
    raise WrongFileError(
        f"the checkpoint is of other networks than the model's: {'; '.join(differing)}"
    )


def forget_foreign_paths(checkpoint: dict[str, Any]) -> None:
    """Normalise the paths of other checkpoints in this one, and remove those of other systems.

    ``ModelCheckpoint`` deletes the file, or the whole folder, that it remembers as its previous
    checkpoint. It checks that the path is below its own folder, but by its text: ``..`` leads out
    again, and a path with a protocol passes.
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
    """The normalised path where it is of this file system; "" for anything else."""
    if not isinstance(path, str) or not path or "::" in path or "://" in path:
        return ""
    return os.path.normpath(path)


def last_checkpoint(trainer: pl.Trainer) -> Path | None:
    """The newest one that this run has written or, before that, the one it resumed from."""
    names = (last_saved(each) for each in trainer.checkpoint_callbacks)
    written = [Path(name) for name in names if name and Path(name).is_file()]
    if not written and trainer.ckpt_path and Path(trainer.ckpt_path).is_file():
        return Path(trainer.ckpt_path)
    return max(written, key=lambda path: path.stat().st_mtime, default=None)


def newest_checkpoint(folder: Path, other_than: Path | None = None) -> Path | None:
    """The newest whole checkpoint in a folder."""
    files = {real_path(file) for file in folder.glob("*.ckpt")}
    files -= {real_path(other_than)} if other_than else set()
    whole = [file for file in files if zipfile.is_zipfile(file)]
    return max(whole, key=lambda file: file.stat().st_mtime, default=None)


def is_newest(path: Path) -> bool:
    """Whether no other checkpoint in its folder is of a later update, by their names."""
    folder = path.absolute().parent
    if newest_checkpoint(folder) != real_path(path):
        return False
    own = STEP.search(real_path(path).name)
    others = (STEP.search(real_path(file).name) for file in folder.glob("*.ckpt"))
    return own is None or all(int(other[1]) <= int(own[1]) for other in others if other)


def beside(path: Path) -> str:
    """A hint that names the newest checkpoint in the same folder; "" where there is no other."""
    newest = newest_checkpoint(path.absolute().parent, other_than=path)
    return f"; the newest beside it is {newest}" if newest else ""


def as_tuple(value: Any) -> Any:  # noqa: ANN401
    """A list of a file or of a command line as the tuple that it stands for, at any depth."""
    return tuple(map(as_tuple, value)) if isinstance(value, list | tuple) else value


def _shape(state: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    return tuple(getattr(state[name], "shape", ())) if name in state else None
