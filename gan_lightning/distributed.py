"""What ranks share; each function is itself on a single process."""

from collections.abc import Callable
from typing import TypeVar

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

from gan_lightning.errors import UserError

RNGState = dict[str, Tensor]
T = TypeVar("T")


def several_ranks() -> bool:
    """Whether a process group of more than one rank is running."""
    return is_available() and is_initialized() and get_world_size() > 1


def mean_over_ranks(x: Tensor) -> Tensor:
    """The mean of every rank's ``x``, of any shape."""
    if not several_ranks():
        return x
    x = x.clone()
    all_reduce(x, op=ReduceOp.SUM)
    return x / get_world_size()


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
    """The random state of every rank, in the order of ranks; tensors, which load without pickle."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    if not several_ranks():
        return [state]
    states: list[RNGState] = [{} for _ in range(get_world_size())]
    all_gather_object(states, state)
    return states


def restore_rng_state(state: RNGState) -> None:
    """Set this rank's generators to a state that ``gather_rng_states`` returned."""
    # torch 2.15 crashes on a view with a storage offset, which a loaded tensor can be.
    torch.set_rng_state(state["cpu"].cpu().clone())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu().clone())
