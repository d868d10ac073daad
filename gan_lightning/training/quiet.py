"""What a run prints: no hints that do not apply, and warnings as one line without a path."""

import logging
import os
import warnings
from pathlib import Path

import lightning_fabric
import pytorch_lightning as pl

#: What libraries warn of, and what does not apply here.
NOT_APPLICABLE = (
    "LeafSpec",
    # Rows are counted over all epochs.
    "smaller than the logging interval",
    # Checkpoints are of the state after an update.
    "no pre-optimization state was saved",
    "does not have many workers",
    # Every rank logs the same values.
    r"It is recommended to use .self.log.*sync_dist=True",
    "Couldn't infer the batch indices",
    # A run continues in its own folder, and another one is refused.
    "Checkpoint directory .* exists and is not empty",
    # The validation step does nothing, and no loader is needed.
    "You defined a `validation_step` but have no `val_dataloader`",
)
#: Packages whose warnings are of a run, not of a line of code.
PACKAGES = tuple(
    f"{folder}{os.sep}"
    for folder in (
        Path(__file__).parents[1],
        Path(pl.__file__).parent,
        Path(lightning_fabric.__file__).parent,
    )
)


def quiet_libraries() -> None:
    """Silence what libraries say of themselves, and hints of Lightning that do not apply here."""
    for message in NOT_APPLICABLE:
        warnings.filterwarnings("ignore", f".*{message}.*")
    quiet_tips()


def quiet_tips() -> None:
    """Silence hints at other products, which Lightning gives as soon as a trainer is made."""
    log = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    if _applies not in log.filters:
        log.addFilter(_applies)


def _applies(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    # The callbacks that a module brings replace those of an earlier run.
    return "Tip:" not in message and "`LightningModule.configure_callbacks`" not in message


def shorten_warnings() -> None:
    """Print warnings of this package and of Lightning as one line; others stay as they are."""
    before = warnings.formatwarning
    if getattr(before, "__module__", "") == __name__:
        return

    def shortened(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        if filename.startswith(PACKAGES):
            return f"warning: {' '.join(str(message).split())}\n"
        return before(message, category, filename, lineno, line)

    warnings.formatwarning = shortened
