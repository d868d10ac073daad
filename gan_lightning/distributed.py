"""What ranks share; each function is itself on a single process."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed import (
    ReduceOp,
    all_gather_object,
    all_reduce,
    broadcast,
    broadcast_object_list,
    gather_object,
    get_rank,
    get_world_size,
    is_available,
    is_initialized,
)

from gan_lightning.errors import UserError, WrongFileError

#: Of a rank's generators, by their kind; loads without pickle.
RNGState = dict[str, Any]
T = TypeVar("T")
#: In the environment of ranks, the process that has started them.
PARENT = "GAN_LIGHTNING_PARENT"
#: What no process can refuse.
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has no other


def end_with_parent() -> None:
    """Where another process has started this one as a rank, end when that one has ended.

    It would wait for it: for half an hour where they had not met yet.
    """
    if not int(os.environ.get("LOCAL_RANK") or 0):
        os.environ[PARENT] = str(os.getpid())  # for those that this one is to start
        return
    # torchrun starts all of them, and another takes over from a parent that has ended before.
    known = None if "TORCHELASTIC_RUN_ID" in os.environ else os.environ.get(PARENT)
    parent = int(known or os.getppid())
    threading.Thread(target=_end_after, args=[parent], daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), KILL)


def several_ranks() -> bool:
    """Whether a process group of more than one rank is running."""
    return is_available() and is_initialized() and get_world_size() > 1


def sum_over_ranks(x: Tensor) -> Tensor:
    """The sum of every rank's ``x``, of any shape."""
    if several_ranks():
        x = x.clone()
        all_reduce(x, op=ReduceOp.SUM)
    return x


def mean_over_ranks(x: Tensor) -> Tensor:
    """The mean of every rank's ``x``, of any shape."""
    return sum_over_ranks(x) / get_world_size() if several_ranks() else x


def max_over_ranks(x: Tensor) -> Tensor:
    """The largest of every rank's ``x``, of any shape."""
    if several_ranks():
        x = x.clone()
        all_reduce(x, op=ReduceOp.MAX)
    return x


def share_buffers(module: nn.Module) -> None:
    """Give every rank the buffers of the first one's module: running statistics differ."""
    if several_ranks():
        for buffer in module.buffers():
            broadcast(buffer, src=0)


def gather_on_first(x: T) -> list[T]:
    """Every rank's ``x``, in the order of ranks, on the first; nothing on the others."""
    if not several_ranks():
        return [x]
    first = get_rank() == 0
    parts: list[T] | None = [x for _ in range(get_world_size())] if first else None
    gather_object(x, parts, dst=0)
    return parts or []


def from_first(compute: Callable[[], T]) -> T:
    """What ``compute`` returns, or raises, on the first rank, on every rank; others wait for it."""
    if not several_ranks():
        return compute()
    told: list[T | Exception | None] = [None]
    if get_rank() == 0:
        try:
            told = [compute()]
        except UserError as error:
            told = [error]
        except Exception as error:
            # Every rank is to stop for it, whether or not it can be pickled.
            told = [RuntimeError(f"{type(error).__name__}: {error}")]
    broadcast_object_list(told, src=0)
    if isinstance(told[0], Exception):
        raise told[0]
    return told[0]  # type: ignore[return-value]


def gather_rng_states() -> list[RNGState]:
    """The random state of every rank, in the order of ranks: torch's, Python's and NumPy's."""
    numpys = np.random.get_state(legacy=False)  # noqa: NPY002  (a user's own code may draw from it)
    numpys["state"]["key"] = torch.from_numpy(numpys["state"]["key"].astype(np.int64))
    state = {"cpu": torch.get_rng_state(), "python": random.getstate(), "numpy": numpys}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    if not several_ranks():
        return [state]
    states: list[RNGState] = [{} for _ in range(get_world_size())]
    all_gather_object(states, state)
    return states


def restore_rng_state(state: RNGState) -> None:
    """Set this rank's generators to a state that ``gather_rng_states`` returned.

    Raises:
        WrongFileError: it is none.
    """
    try:
        _restore(state)
    except Exception as error:
        # The generators of Python, NumPy and torch raise what they please.
        raise WrongFileError(
            f"the checkpoint holds no random state to go on from ({type(error).__name__})"
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
