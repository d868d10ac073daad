"""Reading ahead in worker processes, in order."""

import os
import signal
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from gan_lightning.utils.errors import UserError, WorkerError

#: Maximum number of worker processes, if there is a core for each.
WORKERS = 16
Item = TypeVar("Item")


def read_ahead(items: "Dataset[Item | UserError]", per_worker: int) -> Iterator[Item]:
    """Yield ``items[0]``, ``items[1]``, ..., computed by one worker per ``per_worker`` items.

    Fewer items than that need no worker. Items are sent as bytes, so they must not contain tensors.
    An error that is returned as an item is raised here, without the traceback of a worker.

    Raises:
        WorkerError: a worker was killed.
        UserError: an item is this error.
    """
    count = len(items)  # type: ignore[arg-type]
    loader = DataLoader(
        items,
        batch_size=None,
        num_workers=min(WORKERS, _count_cores(), count // per_worker),
        collate_fn=_identity,
        worker_init_fn=_ignore_interrupts,
        # A separate generator, so that reading does not change the random state of the run.
        generator=torch.Generator(),
    )
    try:
        for item in loader:
            if isinstance(item, UserError):
                raise item
            yield item
    except (RuntimeError, ConnectionError, EOFError) as error:
        raise WorkerError(f"a worker process that reads images was killed ({error})") from error


def _count_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _identity(item: object) -> object:
    return item


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl+C to the parent process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
