"""Communication between ranks; on a single process, each function returns its argument."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed import (
    ProcessGroup,
    ReduceOp,
    all_reduce,
    broadcast,
    broadcast_object_list,
    gather_object,
    get_backend,
    get_rank,
    get_world_size,
    group,
    is_available,
    is_initialized,
    new_group,
)

from gan_lightning.utils.errors import UserError

T = TypeVar("T")


def several_ranks() -> bool:
    """Whether a process group of more than one rank is running."""
    return is_available() and is_initialized() and get_world_size() > 1


def number_of_ranks() -> int:
    """How many ranks there are; 1 on a single process."""
    return get_world_size() if several_ranks() else 1


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        total = x.clone()
        all_reduce(total, op=ReduceOp.SUM)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401
        return sum_over_ranks(gradients[0])


def sum_over_ranks(x: Tensor) -> Tensor:
    """The sum of every rank's ``x``, of any shape; gradients flow back to each rank."""
    return _Sum.apply(x) if several_ranks() else x


def mean_over_ranks(x: Tensor) -> Tensor:
    """The mean of every rank's ``x``, of any shape; gradients flow back to each rank."""
    return sum_over_ranks(x) / get_world_size() if several_ranks() else x


def samples_of_ranks(x: Tensor) -> Tensor:
    """Every rank's ``x`` ``(N, ...)``, one after the other; gradients flow back to each rank."""
    if not several_ranks():
        return x
    # A sum with zeros, for which there are gradients and one kind of communication.
    parts = [torch.zeros_like(x) for _ in range(get_world_size())]
    parts[get_rank()] = x
    return sum_over_ranks(torch.cat(parts))


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their means over all ranks, which must have gradients of the same ones.

    In one all-reduce for each dtype, which waits for no device.
    """
    if not several_ranks():
        return
    of_dtype: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if (gradient := parameter.grad) is not None:
            of_dtype.setdefault(gradient.dtype, []).append(gradient)
    for gradients in of_dtype.values():
        flat = torch.cat([gradient.flatten() for gradient in gradients]).div_(get_world_size())
        all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in gradients])
        means = [part.view(each.shape) for part, each in zip(parts, gradients, strict=True)]
        torch._foreach_copy_(gradients, means)


def max_over_ranks(x: Tensor) -> Tensor:
    """The largest of every rank's ``x``, of any shape."""
    if several_ranks():
        x = x.clone()
        all_reduce(x, op=ReduceOp.MAX)
    return x


def share_buffers(module: nn.Module) -> None:
    """Copy the first rank's buffers to all: running statistics differ between ranks."""
    if several_ranks():
        for buffer in module.buffers():
            broadcast(buffer, src=0)


@lru_cache(maxsize=1)
def _gloo_group(world: ProcessGroup) -> Any:  # noqa: ANN401
    """A group of all ranks; ``world`` is the one that is running, which tells it from others."""
    return new_group(backend="gloo")


def _host_group() -> Any:  # noqa: ANN401
    """A group that sends objects from host to host; None for the one that is running.

    NCCL would send them through the memory of the GPUs, each as large as the largest.
    """
    if get_backend() != "nccl":
        return None
    assert group.WORLD is not None
    return _gloo_group(group.WORLD)


def gather_on_first(x: T) -> list[T]:
    """Every rank's ``x``, in the order of ranks, on the first; nothing on the others."""
    if not several_ranks():
        return [x]
    first = get_rank() == 0
    parts: list[T] | None = [x for _ in range(get_world_size())] if first else None
    gather_object(x, parts, dst=0, group=_host_group())
    return parts or []


def from_first(compute: Callable[[], T]) -> T:
    """Run ``compute`` on the first rank; every rank returns its result, or raises its error."""
    if not several_ranks():
        return compute()
    result: list[T | Exception | None] = [None]
    if get_rank() == 0:
        try:
            result = [compute()]
        except UserError as error:
            result = [error]
        except Exception as error:
            # Every rank must stop, also where the error cannot be pickled.
            result = [RuntimeError(f"{type(error).__name__}: {error}")]
    broadcast_object_list(result, src=0, group=_host_group())
    if isinstance(result[0], Exception):
        raise result[0]
    return result[0]  # type: ignore[return-value]
