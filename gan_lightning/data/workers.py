"""What other processes read ahead, in order."""

import os
import signal
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from gan_lightning.utils.errors import UserError, WorkerError

#: Processes, at most, where there is a core for each.
WORKERS = 16
Item = TypeVar("Item")


def read_ahead(items: "Dataset[Item | UserError]", each: int) -> Iterator[Item]:
    """``items[0]``, ``items[1]``, ... made by a process for each ``each`` of them, by none for few.

    Items travel as bytes, so they hold no tensors. An error that is handed out as an item is
    raised here, without the traceback of another process.

    Raises:
        WorkerError: a process was killed.
        UserError: one that was handed out.
    """
    count = len(items)  # type: ignore[arg-type]
    loader = DataLoader(
        items,
        batch_size=None,
        num_workers=min(WORKERS, _count_cores(), count // each),
        collate_fn=_as_it_is,
        worker_init_fn=_leave_interrupts_to_the_parent,
        # Its own: what is read must not move the run's random state.
        generator=torch.Generator(),
    )
    try:
        for item in loader:
            if isinstance(item, UserError):
                raise item
            yield item
    except (RuntimeError, ConnectionError, EOFError) as error:
        raise WorkerError(f"a process that reads images was killed ({error})") from error


def _count_cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _as_it_is(item: object) -> object:
    return item


def _leave_interrupts_to_the_parent(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
