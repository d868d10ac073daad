"""One progress bar over the whole run, in generator updates."""

from collections.abc import Mapping

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.trainer.states import TrainerFn
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from gan_lightning.metrics.measures import is_full_name


class StepProgressBar(ProgressBar):
    """Shows the finished updates, the time left, the last logged losses and the last scores.

    The scores of every validation are also printed on a line of their own; a log file gets only
    these lines. Losses are read only when they are logged, so that the bar slows down no step.

    Args:
        refresh_rate: the number of updates between two redraws of the bar.
    """

    def __init__(self, refresh_rate: int = 20) -> None:
        super().__init__()
        self.refresh_rate = refresh_rate
        self._enabled = True
        self._console = Console()
        self._progress: Progress | None = None
        self._losses = ""
        self._scores = ""

    def disable(self) -> None:
        """Show nothing; Lightning calls this on all ranks but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar again."""
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the bar, at the update from which a run resumes."""
        if not self._enabled:
            return
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[values]}"),
            console=self._console,
        )
        total = trainer.max_steps if trainer.max_steps > 0 else None
        self._progress.add_task(
            type(pl_module).__name__, total=total, completed=trainer.global_step, values=""
        )
        self._progress.start()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Advance the bar."""
        if self._progress is None:
            return
        step = trainer.global_step
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and step % every == 0:
            self._losses = _format_metrics(
                trainer.callback_metrics, ("loss/critic", "loss/generator")
            )
        if step % self.refresh_rate == 0 or step == trainer.max_steps:
            self._draw(step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the scores during ``fit``; otherwise Lightning prints them."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        names = [name for name in trainer.callback_metrics if is_full_name(name)]
        self._scores = _format_metrics(trainer.callback_metrics, names)
        if self._enabled and self._scores:
            message = f"update {trainer.global_step}: {self._scores}"
            # On one line, for programs that read it.
            self._console.print(message, highlight=False, soft_wrap=True)
        self._draw(trainer.global_step)
        if trainer.global_step == trainer.max_steps:
            # Before Lightning prints that it has stopped, which would break up the bar.
            self._stop()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the finished bar on the screen."""
        self._stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Release the terminal."""
        self._stop()

    def _draw(self, step: int) -> None:
        if self._progress is not None:
            values = "  ".join(filter(None, (self._losses, self._scores)))
            self._progress.update(self._progress.task_ids[0], completed=step, values=values)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _format_metrics(metrics: Mapping[str, Tensor], names: "list[str] | tuple[str, ...]") -> str:
    return "  ".join(f"{name} {float(metrics[name]):.3f}" for name in names if name in metrics)
