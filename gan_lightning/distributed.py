"""What ranks share; each function is itself on a single process."""

import torch
from torch import Tensor
from torch.distributed import (
    ReduceOp,
    all_gather_object,
    all_reduce,
    get_world_size,
    is_available,
    is_initialized,
)

RNGState = dict[str, Tensor]


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


def gather(x: Tensor) -> Tensor:
    """Every rank's ``x``, on the CPU and of any length, one behind the other."""
    if not several_ranks():
        return x
    parts: list[Tensor] = [x for _ in range(get_world_size())]
    all_gather_object(parts, x)
    return torch.cat(parts)


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
