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
    # DDP would part the graph at the ends of its buckets, which no second gradient survives.
    torch._dynamo.config.optimize_ddp = False
    # Each shape of networks that a process trains is one more compilation of the same function.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    return torch.compile(
        objective, fullgraph=True, dynamic=False, options={"fallback_random": True}
    )


class CapturedIteration:
    """An iteration whose kernels are captured once, and from then on launched as one.

    The first iterations train as usual, on a stream of their own; the next one is captured, and it
    and all that follow are replayed, on copies of their arguments. So each is made once, and draws
    the random numbers that it would have drawn.

    What is not done on the device, as by a counter in Python, stays as it was when captured. A
    batch of another size is computed as usual.

    Args:
        iterate: of samples ``x`` and labels; terms, each a tensor. It must not wait for the device,
            and what it changes must stay where it is in memory.
    """

    def __init__(self, iterate: Iteration) -> None:
        self._iterate = iterate
        self._stream = side_stream()
        self._made = 0
        self._arguments: tuple[Tensor, Tensor | None] | None = None
        self._replay: Callable[[], None] | None = None
        self._terms: dict[str, Tensor] = {}

    def __call__(self, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        """One iteration; the next one writes over its terms."""
        if self._made < WARM_UP or not self._takes(x):
            self._made += 1
            return beside(self._stream, lambda: self._iterate(x, y))
        if self._arguments is None or self._replay is None:
            kept = x.clone(), None if y is None else y.clone()
            self._arguments = kept
            self._replay, self._terms = capture(self._stream, lambda: self._iterate(*kept))
        else:
            _copy(self._arguments, (x, y))
        self._replay()
        return self._terms

    def _takes(self, x: Tensor) -> bool:
        return self._arguments is None or self._arguments[0].shape == x.shape


def side_stream() -> torch.cuda.Stream:
    """One that captures can be made on."""
    return torch.cuda.Stream()


def beside(
    stream: torch.cuda.Stream, function: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """What the function returns, computed on another stream."""
    here = torch.cuda.current_stream()
    stream.wait_stream(here)
    with torch.cuda.stream(stream):
        result = function()
    here.wait_stream(stream)
    return result


def capture(
    stream: torch.cuda.Stream, function: Callable[[], dict[str, Tensor]]
) -> tuple[Callable[[], None], dict[str, Tensor]]:
    """Computes the function again at each call, and the tensors that it then writes."""
    graph = torch.cuda.CUDAGraph()
    # Other threads, which fetch the next batches, may go on meanwhile.
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
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
    """Keep rates and counts as tensors on the device, where a captured step reads them.

    Raises:
        UserError: steps of this kind of optimiser cannot be captured.
    """
    if "capturable" not in optimizer.defaults:
        raise UserError(
            f"cuda_graph cannot capture the steps of {type(optimizer).__name__}: leave it out, or "
            "make_optimizer one that has capturable, such as Adam"
        )
    for group in optimizer.param_groups:
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=device)
        group["capturable"] = device.type == "cuda"
    for state in optimizer.state.values():
        if "step" in state:
            state["step"] = torch.as_tensor(state["step"], device=device)


def lay_out_as_parameters(optimizer: Optimizer) -> None:
    """Give the optimiser's moments their parameters' order in memory, which fused steps rely on.

    A checkpoint may have been written with another one.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if name != "step" and isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


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
