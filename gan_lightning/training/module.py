"""The part of a GAN that deals with Lightning: batches, logs, checkpoints, the run's callbacks."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from gan_lightning.networks.family import Growing
from gan_lightning.penalties import Regularizer
from gan_lightning.training.batches import Batch, converted, look
from gan_lightning.training.checkpoints import check_fits, describe, forget_foreign_paths
from gan_lightning.training.divergence import FiniteChecks, StopOnDivergence
from gan_lightning.training.iteration import (
    CapturedIteration,
    Iteration,
    Kind,
    Objective,
    check_one_gpu,
    compiled,
)
from gan_lightning.training.lightning_internals import (
    accept_unused_parameters,
    do_not_count_steps,
    take_over_averages,
    trainer_of,
    without_last_epoch,
)
from gan_lightning.training.quiet import quiet_libraries, quiet_tips, shorten_warnings
from gan_lightning.training.resume import ExactResume
from gan_lightning.training.saved_states import check_tensors
from gan_lightning.training.summary import replace_summaries
from gan_lightning.utils.errors import ArgumentError

#: Scalars to log, by name.
Terms = dict[str, Tensor]
#: The names of the critic's learning rate and the generator's, in logs.
RATES = ("lr/critic", "lr/generator")
# A plain trainer is made before it knows what it trains.
quiet_tips()
shorten_warnings()


class TrainingModule(pl.LightningModule):
    """What ``GAN`` is to a trainer; what its paper says is in ``GAN`` and its subclasses."""

    shape: tuple[int, ...]
    num_classes: int
    n_critic: int
    critic: nn.Module
    generator: nn.Module
    make_optimizer: Callable[[nn.Module, float], Optimizer]
    critic_regularizers: Callable[[], Sequence[Regularizer]]
    generator_regularizers: Callable[[], Sequence[Regularizer]]
    critic_updates: Callable[[int], int]
    critic_objective: Objective
    generator_objective: Objective
    iterate: Callable[..., Terms]
    on_first_batch: Callable[..., None]
    critic_lr: float
    generator_lr: float
    decay_steps: int
    compiled: bool
    cuda_graph: bool
    channels_last: bool

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.finite_checks: FiniteChecks | None = None
        #: Real samples that the critic was shown, on all ranks.
        self.images = 0
        #: The level of networks that grow, from 0, or the last; each has its own captured graphs.
        self.level = -1
        #: What ``ExactResume`` keeps of a fit for checkpoints that are saved after it.
        self.last_fit: dict[str, Any] = {}
        self._iteration: Iteration | None = None
        self._averages_gradients = False
        self._loaded_updates = 0
        self._looked_at: set[object] = set()

    def configure_callbacks(self) -> list[pl.Callback]:
        """Exact resume and the stop on divergence; a fit has them also if this is overridden.

        From here on, hints of Lightning that do not apply to a GAN are silenced.
        """
        quiet_libraries()
        return [ExactResume(), StopOnDivergence()]

    def setup(self, stage: str) -> None:
        """Forget an earlier checkpoint and earlier loaders, and prepare DDP and what is printed."""
        self._looked_at = set()
        if stage == "fit":
            self._loaded_updates = 0
            if self.example_input_array is None:
                replace_summaries(self.trainer)
            without_last_epoch(self.trainer)
            for needed in (ExactResume, StopOnDivergence):
                if not any(isinstance(each, needed) for each in self.trainer.callbacks):  # type: ignore[attr-defined]
                    self.trainer.callbacks.insert(0, needed())  # type: ignore[attr-defined]
        accept_unused_parameters(self.trainer.strategy)

    def on_fit_start(self) -> None:
        """Refuse what the loop cannot train with, and leave the eval mode that ``load`` sets.

        Raises:
            ArgumentError: the precision scales losses, which two optimisers would share.
            UserError: ``cuda_graph`` is set and this is not one GPU.
        """
        if self.trainer.precision in ("16-mixed", "16-true"):
            raise ArgumentError(
                f"precision {self.trainer.precision} is not supported: use bf16-mixed or 32-true"
            )
        if self.cuda_graph:
            check_one_gpu(self.device, self.trainer.world_size)
        if not self.training:
            self.train()

    def on_train_start(self) -> None:
        """Have the first step make a new iteration."""
        self._iteration = None
        self._averages_gradients = take_over_averages(self.trainer.strategy)

    def on_fit_end(self) -> None:
        """Free captured graphs."""
        self.free_graphs()

    def free_graphs(self) -> None:
        """Free captured graphs, each of which holds the memory of an iteration."""
        self._iteration = None

    def configure_optimizers(  # type: ignore[override]
        self,
    ) -> tuple[list[Optimizer], list[dict[str, Any]]]:
        """The critic's optimiser and the generator's, in this order, and their schedules."""
        optimizers = [
            self.make_optimizer(self.critic, self.critic_lr),
            self.make_optimizer(self.generator, self.generator_lr),
        ]
        if not self.decay_steps:
            return optimizers, []
        return optimizers, [
            {"scheduler": LambdaLR(optimizer, self._rate), "name": name}
            for name, optimizer in zip(RATES, optimizers, strict=True)
        ]

    def _rate(self, update: int) -> float:
        return max(0.0, 1 - update / self.decay_steps)

    def step_schedules(self) -> None:
        """Move the learning rates on, after a generator update."""
        if self.decay_steps:
            for schedule in self.lr_schedulers():  # type: ignore[union-attr]
                schedule.step()

    def both_optimizers(self) -> tuple[LightningOptimizer, LightningOptimizer]:
        """The critic's and the generator's, as Lightning wraps them; only the latter counts."""
        critic_optimizer, generator_optimizer = self.optimizers()  # type: ignore[attr-defined]
        do_not_count_steps(critic_optimizer)
        return critic_optimizer, generator_optimizer

    @property
    def iteration(self) -> Iteration:
        """How iterations run; made by the first step of a fit."""
        if self._iteration is None:
            objectives = self.critic_objective, self.generator_objective
            if self.compiled:
                cls = type(self)
                objectives = (
                    partial(compiled(cls.critic_objective), self),
                    partial(compiled(cls.generator_objective), self),
                )
            runs = CapturedIteration if self.cuda_graph else Iteration
            self._iteration = runs(
                self.iterate,
                objectives,
                self.both_optimizers,
                self.manual_backward,
                averages=self._averages_gradients,
                is_compiled=self.compiled,
            )
        return self._iteration

    @property
    def preparation_seconds(self) -> float:
        """The time of this fit's iterations that were compiled or captured first."""
        return 0.0 if self._iteration is None else self._iteration.preparation_seconds

    def kind(self, update: int) -> Kind:
        """The kind of the iteration that makes generator update ``update``, from 0."""
        critic_due, generator_due = (
            tuple(i for i, each in enumerate(regularizers) if (update + 1) % each.every == 0)
            for regularizers in (self.critic_regularizers(), self.generator_regularizers())
        )
        return Kind(self.critic_updates(update), critic_due, generator_due, self.level)

    def unpack(self, batch: object, *, needs_labels: bool = True) -> Batch:
        """The samples ``(N, *shape)`` and labels ``(N,)`` of a batch; None for no classes.

        What is unambiguous is converted. Labels of real samples that are only compared with need
        not be there.

        Raises:
            ArgumentError: it does not fit the model.
        """
        dtype = cast("torch.dtype", self.dtype)
        x, y = converted(batch, self.shape, self.num_classes, dtype, needs_labels=needs_labels)
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        return x, y

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        """Look at the values of the first batch, and start layers from it."""
        self._look_once(batch)
        if self.global_step == 0:
            self.on_first_batch(*self.unpack(batch))

    def on_validation_batch_start(
        self, batch: object, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Look at the values of the first batch."""
        self._look_once(batch)

    on_test_batch_start = on_validation_batch_start

    def _look_once(self, batch: object) -> None:
        stage = self.trainer.state.stage
        if stage not in self._looked_at:
            self._looked_at.add(stage)
            look(batch, self.unpack(batch, needs_labels=False), self.num_classes)

    def set_level(self, level: int) -> None:
        """Have the networks that grow reach their level ``level``."""
        self.level = level
        for module in self.modules():
            if isinstance(module, Growing):
                module.level = level

    # Logs.

    @property
    def updates(self) -> int:
        """Generator updates done; outside of ``fit``, those of the checkpoint that was loaded."""
        return max(self.global_step, self._loaded_updates)

    def log_terms(self, terms: Mapping[str, Tensor | float]) -> None:
        """Log what an iteration returned, and rates that decay, where a row is due."""
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and self.global_step % every == 0:
            # The next iteration may write over them.
            values: dict[str, Tensor | float]
            values = {
                n: x.detach().clone() if isinstance(x, Tensor) else x for n, x in terms.items()
            }
            if self.decay_steps:
                optimizers = zip(RATES, self.trainer.optimizers, strict=True)
                values |= {name: float(each.param_groups[0]["lr"]) for name, each in optimizers}
            self.log_scalars(values)

    def log_scalars(self, values: Mapping[str, Tensor | float]) -> None:
        """Give values to callbacks, and to the loggers at the number of updates done.

        In ``fit`` this bypasses Lightning's own step axis, which counts from 0. Elsewhere it does
        not, so that ``trainer.validate()`` returns the values, with the updates under ``step``.
        """
        if self.trainer.state.fn != TrainerFn.FITTING:
            self.log_dict({**values, "step": float(self.updates)})
            return
        self.log_dict(values, logger=False)
        scalars = {name: float(value) for name, value in values.items()}
        for logger in self.loggers:
            logger.log_metrics(scalars, step=self.updates)
            logger.save()

    # The other loops, which callbacks fill.

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: callbacks score samples against the batches of the validation loop."""

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: callbacks score samples against the batches of the test loop."""

    # Checkpoints.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the technique, by which ``load`` finds its class, and this version.

        Raises:
            DivergedError: there is nothing worth saving.
        """
        describe(checkpoint, type(self), images=self.images, level=self.level)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, StopOnDivergence):
                callback.check_all(self.trainer, self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the number of updates done, and drop paths of other file systems.

        Lightning deletes the files that a checkpoint names as earlier ones.

        Raises:
            WrongFileError: its weights are numbers of another kind; or a trainer reads it, and it
                does not fit this model or cannot be resumed.
        """
        forget_foreign_paths(checkpoint)
        if (trainer := trainer_of(self)) is not None:
            check_fits(checkpoint, self, resumed=trainer.state.fn == TrainerFn.FITTING)
        check_tensors(checkpoint["state_dict"], self.state_dict())
        written = checkpoint.get("gan_lightning", {})
        level = written.get("level", self.level)
        self.restore_counts(checkpoint["global_step"], written.get("images", 0), level)

    def restore_counts(self, updates: int, images: int, level: int) -> None:
        """Take the counts of what is loaded: generator updates, real samples seen, the level."""
        self._loaded_updates, self.images = updates, images
        self.set_level(level)

    def __getstate__(self) -> dict[str, Any]:
        """Lightning's, without captured graphs, which no copy can have."""
        return super().__getstate__() | {"_iteration": None, "finite_checks": None}
