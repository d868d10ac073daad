"""What makes an iteration fast: compiled objectives, and one CUDA graph of all that it does."""

import os
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from gan_lightning.errors import UserError

Objective = Callable[..., tuple[Tensor, dict[str, Tensor]]]
Iteration = Callable[[Tensor, Tensor | None], dict[str, Tensor]]

#: Iterations that run as usual before one is captured: libraries choose their kernels in them.
WARM_UP = 3


def look_for_gpus_once() -> None:
    """Where there are none, spare torch to look for them at every step of an optimiser."""
    if not torch.cuda.is_available():
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


@cache
def compiled(objective: Objective) -> Objective:
    """The objective as one graph of compiled kernels, with the same random draws.

    A plain function, the module its first argument: so nothing of it is in a module's state.
    """
    return torch.compile(
        objective, fullgraph=True, dynamic=False, options={"fallback_random": True}
    )


class CapturedIteration:
    """An iteration whose kernels are captured once, and from then on launched as one.

    The first iterations train as usual, on a stream of their own; the next one is captured, and it
    and all that follow are replayed, on copies of their arguments. So each is made once, and draws
    the random numbers that it would have drawn.

    Args:
        iterate: of samples ``x`` and labels; terms, each a tensor. It must not wait for the device,
            and what it changes must stay where it is in memory.
    """

    def __init__(self, iterate: Iteration) -> None:
        self._iterate = iterate
        self._made = 0
        self._arguments: tuple[Tensor, Tensor | None] | None = None
        self._replay: Callable[[], None] | None = None
        self._terms: dict[str, Tensor] = {}

    def __call__(self, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        """One iteration; the next one writes over its terms."""
        if self._made < WARM_UP:
            self._made += 1
            return beside(lambda: self._iterate(x, y))
        if self._arguments is None or self._replay is None:
            kept = x.clone(), None if y is None else y.clone()
            self._arguments = kept
            self._replay, self._terms = capture(lambda: self._iterate(*kept))
        else:
            _copy(self._arguments, (x, y))
        self._replay()
        return self._terms


def beside(function: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What the function returns, computed on the kind of stream that captures are made on."""
    here, stream = torch.cuda.current_stream(), torch.cuda.Stream()
    stream.wait_stream(here)
    with torch.cuda.stream(stream):
        result = function()
    here.wait_stream(stream)
    return result


def capture(
    function: Callable[[], dict[str, Tensor]],
) -> tuple[Callable[[], None], dict[str, Tensor]]:
    """Computes the function again at each call, and the tensors that it then writes."""
    graph = torch.cuda.CUDAGraph()
    # Other threads, which fetch the next batches, may go on meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = function()
    return graph.replay, result


def check_one_gpu(device: torch.device, world_size: int) -> None:
    """Raises UserError where an iteration cannot be captured: on a CPU, or several devices."""
    if device.type != "cuda" or world_size > 1:
        raise UserError(
            "cuda_graph captures what one GPU does, and this run is on "
            f"{world_size} {device.type.upper()}{'s' * (world_size > 1)}: leave it out"
        )


def keep_on_device(optimizer: Optimizer, device: torch.device) -> None:
    """Keep rates and counts as tensors on the device, where a captured step reads them."""
    for group in optimizer.param_groups:
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=device)
        group["capturable"] = device.type == "cuda"
    for state in optimizer.state.values():
        state["step"] = torch.as_tensor(state["step"], device=device)


def as_usual(
    optimizer_states: Iterable[dict[str, Any]], schedules: Iterable[dict[str, Any]]
) -> None:
    """Turn saved states back into those of optimisers whose steps are not captured."""
    for state in optimizer_states:
        for group in state["param_groups"]:
            group["lr"], group["capturable"] = _as_float(group["lr"]), False
    for schedule in schedules:
        schedule["_last_lr"] = [_as_float(lr) for lr in schedule["_last_lr"]]


def set_rate(group: dict[str, Any], lr: float) -> None:
    """Give a group of parameters a learning rate, where it is a tensor too."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def _copy(kept: tuple[Tensor, Tensor | None], given: tuple[Tensor, Tensor | None]) -> None:
    for ours, theirs in zip(kept, given, strict=True):
        if ours is not None and theirs is not None:
            ours.copy_(theirs)


def _as_float(lr: float | Tensor) -> float:
    """A rate as it was before it was rounded to a float32."""
    return float(f"{float(lr):.7g}") if isinstance(lr, Tensor) else lr
