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
    apply_changes,
    changes,
    describe_fit,
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
from gan_lightning.training.seeds import keep_seed
from gan_lightning.utils.errors import WrongFileError
from gan_lightning.utils.ranks import several_ranks

#: What is kept of a fit when it ends, beside ``FIT``: its random state, and that of its loaders.
RNG, LOADERS = "rng", "loaders"
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
        self._found: Changes = {}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the random states, and save optimisers as those of a plain iteration."""
        fit, random_state = _last_fit(pl_module), rng_state()
        if FIT in fit:
            checkpoint[FIT] = fit[FIT]
        if trainer.state.fn != TrainerFn.FITTING and RNG in fit:
            random_state = fit[RNG]
            checkpoint["loops"]["fit_loop"]["state_dict"] = fit[LOADERS]
        checkpoint["rng_states"] = gather_rng_states(random_state)
        if getattr(pl_module, "cuda_graph", False):
            uncaptured(checkpoint["optimizer_states"], checkpoint["lr_schedulers"])

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the random states until training starts, and correct the counters."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        data: object = trainer.datamodule  # type: ignore[attr-defined]
        self._found = changes(checkpoint, pl_module, data, trainer.world_size)
        refuse_other_data(self._found)
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
        made = options_of(trainer.optimizers)
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is not None:
            self._check_and_apply(checkpoint, trainer)
        # On the module, since the next command on this trainer replaces this callback.
        kept = _last_fit(pl_module)
        kept.clear()
        kept[FIT] = describe_fit(trainer, made)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep what the next command on this trainer moves or drops."""
        state = trainer.fit_loop.state_dict()["state_dict"]
        _last_fit(pl_module).update({RNG: rng_state(), LOADERS: state})

    def _check_and_apply(self, checkpoint: dict[str, Any], trainer: pl.Trainer) -> None:
        """Have optimisers and schedules load what is right for this fit, and say what is not."""
        found, optimizers = self._found, trainer.optimizers
        schedules = [each.scheduler for each in trainer.lr_scheduler_configs]
        check_options(checkpoint["optimizer_states"], optimizers)
        apply_changes(checkpoint, found, optimizers, schedules)
        check_optimizers(checkpoint["optimizer_states"], optimizers)
        check_schedules(checkpoint["lr_schedulers"], schedules)
        keep_seed(checkpoint.get(FIT, {}).get("seed"))
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


def _last_fit(model: pl.LightningModule) -> dict[str, Any]:
    """What is kept of a model's last fit."""
    kept: dict[str, Any] = model.last_fit  # type: ignore[assignment]
    return kept


def rng_state() -> RNGState:
    """The random state of this rank: torch's, Python's and NumPy's."""
    numpys = np.random.get_state(legacy=False)  # noqa: NPY002  (a user's own code may draw from it)
    numpys["state"]["key"] = torch.from_numpy(numpys["state"]["key"].astype(np.int64))
    state = {"cpu": torch.get_rng_state(), "python": random.getstate(), "numpy": numpys}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def gather_rng_states(state: RNGState | None = None) -> list[RNGState]:
    """The random states of all ranks, in their order; each may give one in place of its present."""
    state = state or rng_state()
    if not several_ranks():
        return [state]
    states: list[RNGState] = [{} for _ in range(get_world_size())]
    all_gather_object(states, state)
    return states


def restore_rng_state(state: RNGState) -> None:
    """Set this rank's generators to a state that ``rng_state`` returned.

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
