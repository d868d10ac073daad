"""What an exact resume needs beyond what Lightning saves, as a callback that every GAN brings."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from pytorch_lightning.utilities.seed import isolate_rng
from torch.distributed import all_gather_object, get_world_size

from gan_lightning.training.changes import (
    FIT,
    Changes,
    Options,
    apply_changes,
    changes,
    describe_fit,
    keep_seed,
    listed,
    options_of,
    refuse_other_data,
)
from gan_lightning.training.iteration import lay_out_as_parameters, uncaptured
from gan_lightning.training.lightning_internals import without_empty_hooks
from gan_lightning.training.saved_states import (
    check_optimizers,
    check_options,
    check_progress,
    check_schedules,
)
from gan_lightning.utils.errors import WrongFileError
from gan_lightning.utils.ranks import several_ranks

#: The state of a rank's random generators, by their kind; loads without pickle.
RNGState = dict[str, Any]


@without_empty_hooks
class ExactResume(pl.Callback):
    """Lets a resumed fit compute the same bits as one that was never stopped.

    A ``GAN`` brings it by itself. A checkpoint gets the random states of all ranks, and its
    counters are corrected where Lightning would lose a batch or a validation. Where there is no
    state to restore, or it is of another number of ranks, each rank gets noise of its own.

    A fit may resume with other hyperparameters, which hold from the checkpoint's update on; but
    not with others that decide which samples an update gets. What a checkpoint would load is
    compared with the model, its optimisers and schedules before anything is written.

    Raises:
        WrongFileError: the checkpoint does not fit, or a hyperparameter cannot be changed.
    """

    def __init__(self) -> None:
        self._rng_states: list[RNGState] | None = None
        self._validated: dict[str, int] | None = None
        self._checkpoint: dict[str, Any] | None = None
        self._made: Options = []

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the random states, and save optimisers as those of a plain iteration."""
        checkpoint["rng_states"] = gather_rng_states()
        checkpoint[FIT] = describe_fit(trainer, self._made)
        if getattr(pl_module, "cuda_graph", False):
            uncaptured(checkpoint["optimizer_states"], checkpoint["lr_schedulers"])

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the random states until training starts, and correct the counters."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        refuse_other_data(_changes(checkpoint, trainer, pl_module))
        self._checkpoint = checkpoint
        self._rng_states = checkpoint.get("rng_states")
        with isolate_rng():  # whether they can be restored, before anything is written
            self._restore_or_spread(trainer)
        loop, fresh = checkpoint["loops"]["fit_loop"], trainer.fit_loop.state_dict()
        counts = {name: count for name, count in fresh.items() if name.endswith("progress")}
        check_progress(loop, counts, "loops.fit_loop")
        self._validated = repeat_validation(loop)
        rewind_to_batch_end(loop)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare what is going to be loaded with optimisers and schedules, and apply changes."""
        self._made = options_of(trainer.optimizers)
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is None:
            return
        optimizers, schedules = trainer.optimizers, trainer.lr_scheduler_configs
        found = _changes(checkpoint, trainer, pl_module)
        check_options(checkpoint["optimizer_states"], optimizers)
        apply_changes(checkpoint, found, optimizers, [each.scheduler for each in schedules])
        check_optimizers(checkpoint["optimizer_states"], optimizers)
        check_schedules(checkpoint["lr_schedulers"], [each.scheduler for each in schedules])
        keep_seed(checkpoint)
        if found:
            rank_zero_info(f"the fit resumes with {listed(found)}")
        if len(self._rng_states or ()) != trainer.world_size:
            rank_zero_warn(
                f"the checkpoint holds the random states of {len(self._rng_states or ())} ranks, "
                f"not {trainer.world_size}: the fit resumes with other noise"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore what was kept."""
        self._restore_or_spread(trainer)
        if self._validated is not None:
            loop = trainer.fit_loop.epoch_loop.val_loop
            loop.batch_progress.total.load_state_dict(self._validated)
        self._rng_states = self._validated = None
        for optimizer in trainer.optimizers:
            lay_out_as_parameters(optimizer)

    def _restore_or_spread(self, trainer: pl.Trainer) -> None:
        """Restore this rank's random state, or move it away from the other ranks'."""
        rank, world_size = trainer.global_rank, trainer.world_size
        if self._rng_states is not None and len(self._rng_states) == world_size:
            restore_rng_state(self._rng_states[rank])
        elif world_size > 1:
            torch.manual_seed(torch.initial_seed() + rank)


def _changes(checkpoint: dict[str, Any], trainer: pl.Trainer, model: pl.LightningModule) -> Changes:
    return changes(checkpoint, model, trainer.datamodule, trainer.world_size)  # type: ignore[attr-defined]


def rewind_to_batch_end(fit_loop: dict[str, Any]) -> None:
    """Turn the counters after the last batch of an epoch into those at the end of that batch.

    Resumed from the end of an epoch, Lightning first runs one batch of the next epoch in the old
    one, and the rest of the next epoch is lost; resumed from the end of a batch it continues
    exactly. A fit that stops in the middle of an epoch ends it too.
    """
    batches, epochs = fit_loop["epoch_loop.batch_progress"], fit_loop["epoch_progress"]
    ended = epochs["total"]["processed"] == epochs["total"]["ready"] > 0
    validated = batches["is_last_batch"] and (
        batches["total"]["completed"] == batches["total"]["ready"]
    )
    for count in ("total", "current"):
        if ended or validated:
            batches[count]["completed"] = batches[count]["ready"] - 1
        if ended:
            epochs[count]["processed"] = epochs[count]["completed"] = epochs[count]["ready"] - 1


def repeat_validation(fit_loop: dict[str, Any]) -> dict[str, int]:
    """Have a validation run that was due where the checkpoint was written, at the end of a batch.

    Lightning takes it for done, and its scores would be lost where the process was killed in it.
    Returns the counts of validated batches, which must be restored when training starts.
    """
    batches = fit_loop["epoch_loop.batch_progress"]["total"]
    validated = fit_loop["epoch_loop.val_loop.batch_progress"]
    before = dict(validated["total"])
    if batches["completed"] == batches["processed"] - 1:
        # As in the first of its batches: from there, it starts again.
        validated["total"] |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}
        validated["current"] |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    return before


def gather_rng_states() -> list[RNGState]:
    """The random state of every rank, in the order of ranks: torch's, Python's and NumPy's."""
    numpys = np.random.get_state(legacy=False)  # noqa: NPY002  (a user's own code may draw from it)
    numpys["state"]["key"] = torch.from_numpy(numpys["state"]["key"].astype(np.int64))
    state = {"cpu": torch.get_rng_state(), "python": random.getstate(), "numpy": numpys}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    if not several_ranks():
        return [state]
    states: list[RNGState] = [{} for _ in range(get_world_size())]
    all_gather_object(states, state)
    return states


def restore_rng_state(state: RNGState) -> None:
    """Set this rank's generators to a state that ``gather_rng_states`` returned.

    Raises:
        WrongFileError: it is something else.
    """
    try:
        _restore(state)
    except Exception as error:
        # The generators of Python, NumPy and torch raise what they please.
        raise WrongFileError(
            f"the checkpoint holds no random state to resume from ({type(error).__name__})"
        ) from error


def _restore(state: RNGState) -> None:
    # torch 2.15 crashes on a view with a storage offset, which a loaded tensor can be.
    torch.set_rng_state(state["cpu"].cpu().clone())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu().clone())
    if "python" in state:  # the first checkpoints had torch's alone
        random.setstate(state["python"])
        key = state["numpy"]["state"]["key"].numpy().astype(np.uint32)
        inner = {**state["numpy"]["state"], "key": key}
        np.random.set_state({**state["numpy"], "state": inner})  # noqa: NPY002
