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
    """Shows updates done, time left, the losses as last logged and the last scores.

    Every validation's scores stay as a line of their own, which is all that a log file gets.
    Losses are read only when they are logged, so that the bar costs a step nothing.

    Args:
        refresh_rate: updates between two drawings of the bar.
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
        """Show nothing; Lightning asks for it on all ranks but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show again."""
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the bar where a resumed run goes on."""
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
        """Move on."""
        if self._progress is None:
            return
        step = trainer.global_step
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and step % every == 0:
            self._losses = _in_short(trainer.callback_metrics, ("loss/critic", "loss/generator"))
        if step % self.refresh_rate == 0 or step == trainer.max_steps:
            self._draw(step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the scores in sight; outside of ``fit`` Lightning prints them."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        names = [name for name in trainer.callback_metrics if is_full_name(name)]
        self._scores = _in_short(trainer.callback_metrics, names)
        if self._enabled and self._scores:
            said = f"update {trainer.global_step}: {self._scores}"
            # Whole, as those who read it by program need it.
            self._console.print(said, highlight=False, soft_wrap=True)
        self._draw(trainer.global_step)
        if trainer.global_step == trainer.max_steps:
            # Before Lightning writes that it has stopped, or the bar would be drawn around that.
            self._stop()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the finished bar on the screen."""
        self._stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give the terminal back."""
        self._stop()

    def _draw(self, step: int) -> None:
        if self._progress is not None:
            values = "  ".join(filter(None, (self._losses, self._scores)))
            self._progress.update(self._progress.task_ids[0], completed=step, values=values)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _in_short(metrics: Mapping[str, Tensor], names: "list[str] | tuple[str, ...]") -> str:
    return "  ".join(f"{name} {float(metrics[name]):.3f}" for name in names if name in metrics)
