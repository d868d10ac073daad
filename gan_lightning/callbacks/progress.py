"""One progress bar over the whole run, in generator updates."""

import math
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Protocol

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.trainer.states import TrainerFn
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text
from torch import Tensor

from gan_lightning.metrics.measures import is_full_name


class StepProgressBar(ProgressBar):
    """Shows the updates done, of how many, per second, the time left and the last logged losses.

    In a terminal of 80 columns or more; in a notebook as a bar of tqdm. The scores of every
    validation are printed on a line of their own; a log file gets only these lines and the finished
    bar. Losses are read only when they are logged, so that the bar slows down no step.

    Args:
        refresh_rate: the number of updates between two redraws of the bar.
    """

    def __init__(self, refresh_rate: int = 20) -> None:
        super().__init__()
        self.refresh_rate = refresh_rate
        self._enabled = True
        self._console = Console()
        self._bar: _Bar | None = None
        self._losses = ""

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
        updates = trainer.estimated_stepping_batches  # -1, or inf, without a limit
        total = int(updates) if 0 < updates < math.inf else None
        name, done = type(pl_module).__name__, trainer.global_step
        self._bar = (
            _NotebookBar(name, total, done)
            if self._console.is_jupyter
            else _TerminalBar(name, total, done, self._console)
        )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Advance the bar."""
        if self._bar is None:
            return
        step = trainer.global_step
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and step % every == 0:
            self._losses = "  ".join(
                f"{name} {float(trainer.callback_metrics[key]):.3g}"
                for name in ("critic", "generator")
                if (key := f"loss/{name}") in trainer.callback_metrics
            )
        if step % self.refresh_rate == 0 or step == trainer.max_steps:
            self._bar.draw(step, self._losses)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the scores during ``fit``; otherwise Lightning prints them."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        names = [name for name in trainer.callback_metrics if is_full_name(name)]
        scores = _format_metrics(trainer.callback_metrics, names)
        if self._enabled and scores:
            message = f"update {trainer.global_step}: {scores}"
            # On one line, for programs that read it.
            self._console.print(message, highlight=False, soft_wrap=True)
        if self._bar is not None:
            self._bar.draw(trainer.global_step, self._losses)
        if trainer.global_step == trainer.max_steps:
            # Before Lightning prints that it has stopped, which would break up the bar.
            self._stop()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the finished bar on the screen."""
        if self._bar is not None:
            self._bar.draw(trainer.global_step, self._losses)
        self._stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Release the terminal."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Bar(Protocol):
    def draw(self, step: int, losses: str) -> None:
        """Show this many updates as done."""

    def close(self) -> None:
        """Leave the bar on the screen."""


class _TerminalBar:
    def __init__(self, name: str, total: int | None, done: int, console: Console) -> None:
        # The bar takes the columns that the rest leaves.
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(max_width=9, no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[losses]}"),
            console=console,
            expand=True,
        )
        self._task = self._progress.add_task(name, total=total, completed=done, losses="")
        self._progress.start()

    def draw(self, step: int, losses: str) -> None:
        self._progress.update(self._task, completed=step, losses=losses)

    def close(self) -> None:
        self._progress.stop()


class _RateColumn(ProgressColumn):
    """Updates per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s", style="progress.data.speed")


class _NotebookBar:
    def __init__(self, name: str, total: int | None, done: int) -> None:
        # Without ipywidgets, tqdm.auto would warn, and a line of text does as well.
        if find_spec("ipywidgets"):
            from tqdm.auto import tqdm  # type: ignore[import-untyped]
        else:
            from tqdm import tqdm  # type: ignore[import-untyped]
        self._tqdm = tqdm(total=total, initial=done, desc=name, unit=" updates")

    def draw(self, step: int, losses: str) -> None:
        self._tqdm.set_postfix_str(losses, refresh=False)
        self._tqdm.update(step - self._tqdm.n)

    def close(self) -> None:
        self._tqdm.close()


def _format_metrics(metrics: Mapping[str, Tensor], names: list[str]) -> str:
    return "  ".join(f"{name} {float(metrics[name]):.3f}" for name in names if name in metrics)
