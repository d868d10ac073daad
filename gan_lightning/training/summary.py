"""A summary of the networks before training."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelSummary, RichModelSummary
from rich.console import Console
from rich.table import Table

from gan_lightning.training.lightning_internals import depth_of


class NetworkSummary(ModelSummary):
    """Prints a table of the networks and their parameters.

    Lightning's own also has a column of FLOPs, which are 0 unless a module has an example input,
    and of modes, which change all the time in a GAN.
    """

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        *args: Any,
        **options: Any,
    ) -> None:
        """Print the table, and the number of parameters that are trained."""
        columns = dict(summary_data)
        table = Table("network", "class")
        table.add_column("parameters", justify="right")
        for row in zip(*(columns[name] for name in ("Name", "Type", "Params")), strict=True):
            table.add_row(*row)
        console = Console()
        console.print(table)
        console.print(f"{trainable_parameters:,} of {total_parameters:,} parameters are trained")


def replace_summaries(trainer: pl.Trainer) -> None:
    """Have a table of the networks in place of Lightning's own, whose numbers would be wrong."""
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for i, callback in enumerate(callbacks):
        if isinstance(callback, ModelSummary) and type(callback) in (
            ModelSummary,
            RichModelSummary,
        ):
            callbacks[i] = NetworkSummary(depth_of(callback))
