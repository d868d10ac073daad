"""A summary of the networks before training."""

from typing import Any

from pytorch_lightning.callbacks import ModelSummary
from rich.console import Console
from rich.table import Table


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
