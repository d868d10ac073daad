"""How an iteration runs: operation by operation, compiled, or captured as one CUDA graph."""

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim import Optimizer

from gan_lightning.training.lightning_internals import count_step
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.ranks import average_gradients

#: Takes tensors; returns a loss and the terms to log, and may return more.
Objective = Callable[..., tuple[Any, ...]]
#: Makes an update with a loss: the critic's, 0, or the generator's, 1.
Update = Callable[[int, Tensor], None]

#: Iterations of a kind that run eagerly before one is captured: libraries choose kernels in them.
WARM_UP = 3


def look_for_gpus_once() -> None:
    """Spare torch, where there are no GPUs, to look for them at every step of an optimiser."""
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


def reset_moments(optimizers: Iterable[Optimizer]) -> None:
    """Have optimisers forget the gradients that they saw, where these are kept in memory."""
    for optimizer in optimizers:
        for state in optimizer.state.values():
            for value in state.values():
                if isinstance(value, Tensor):
                    value.zero_()


class Kind(NamedTuple):
    """What iterations that share one captured graph have in common, beside their shapes.

    Args:
        critic_updates: the number of critic updates.
        critic_due: the indices of the critic's regularizers that count.
        generator_due: the indices of the generator's.
        level: the level of networks that grow.
    """

    critic_updates: int
    critic_due: tuple[int, ...] = ()
    generator_due: tuple[int, ...] = ()
    level: int = -1


class Iteration:
    """Runs iterations operation by operation, with objectives that are compiled or not.

    Args:
        iterate: computes an iteration, of samples ``x``, labels, its kind, the two objectives and a
            function that makes an update. It must not wait for the device.
        objectives: the critic's and the generator's.
        optimizers: returns the critic's and the generator's, as Lightning wraps them.
        backward: of a loss.
        averages: whether gradients are averaged here over all ranks, as no one else does it.
        is_compiled: whether the objectives compile themselves when they are first called.

    Attributes:
        preparation_seconds: the time of iterations that were compiled or captured first.
    """

    def __init__(
        self,
        iterate: Callable[..., dict[str, Tensor]],
        objectives: tuple[Objective, Objective],
        optimizers: Callable[[], Sequence[LightningOptimizer]],
        backward: Callable[[Tensor], None],
        *,
        averages: bool = False,
        is_compiled: bool = False,
    ) -> None:
        self._iterate = iterate
        self._objectives = objectives
        self._optimizers = optimizers
        self._backward = backward
        self._averages = averages
        self._is_compiled = is_compiled
        self._seen: set[tuple[Kind, torch.Size]] = set()
        self.preparation_seconds = 0.0

    def __call__(self, x: Tensor, y: Tensor | None, kind: Kind) -> dict[str, Tensor]:
        """One iteration; returns the terms to log, over which the next one may write."""
        if self._is_ready(x, kind):
            return self._compute(x, y, kind)
        synchronize(x.device)
        started = time.monotonic()
        terms = self._compute(x, y, kind)
        synchronize(x.device)
        self.preparation_seconds += time.monotonic() - started
        return terms

    def _is_ready(self, x: Tensor, kind: Kind) -> bool:
        """Whether an iteration like this one has nothing to compile any more."""
        if not self._is_compiled:
            return True
        ready = (kind, x.shape) in self._seen
        self._seen.add((kind, x.shape))
        return ready

    def _compute(self, x: Tensor, y: Tensor | None, kind: Kind) -> dict[str, Tensor]:
        optimizers = self._optimizers()

        def update(which: int, loss: Tensor) -> None:
            optimizer = optimizers[which]
            optimizer.zero_grad()
            self._backward(loss)
            if self._averages:
                average_gradients(p for group in optimizer.param_groups for p in group["params"])
            optimizer.step()

        return self._iterate(x, y, kind, self._objectives, update)


class CapturedIteration(Iteration):
    """An iteration whose kernels are captured once, and from then on launched as one.

    The first iterations of each kind and shape run eagerly, on a stream of their own; the next one
    is captured, and it and all that follow are replayed, on copies of their arguments. So each is
    computed once, and draws the random numbers that it would have drawn.

    What is not done on the device, such as a counter in Python, keeps the value that it had when
    captured, and what an iteration changes must stay where it is in memory. Lightning's part in an
    update, which runs on the host, is left out, but for the count of updates.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stream = side_stream()
        self._bare = [optimizer.optimizer for optimizer in self._optimizers()]
        for optimizer in self._bare:
            keep_on_device(optimizer)
        self._graphs: dict[tuple[Kind, torch.Size], _Graph] = {}

    def _is_ready(self, x: Tensor, kind: Kind) -> bool:
        """Whether the graph is captured."""
        return (kind, x.shape) in self._graphs and self._graphs[kind, x.shape].is_captured

    def _compute(self, x: Tensor, y: Tensor | None, kind: Kind) -> dict[str, Tensor]:
        if any(other.level != kind.level for other, _ in self._graphs):
            self._graphs.clear()  # networks that grow do not shrink, and each graph takes memory
        key = kind, x.shape
        if key not in self._graphs:
            self._graphs[key] = _Graph(self._stream, partial(self._run, kind))
        terms = self._graphs[key](x, y)
        count_step(self._optimizers()[1])
        return terms

    def _run(self, kind: Kind, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        return self._iterate(x, y, kind, self._objectives, self._update)

    def _update(self, which: int, loss: Tensor) -> None:
        self._bare[which].zero_grad()
        loss.backward()
        self._bare[which].step()


class _Graph:
    """The graph of one kind of iteration, once it is captured."""

    def __init__(
        self,
        stream: torch.cuda.Stream,
        run: Callable[[Tensor, Tensor | None], dict[str, Tensor]],
    ) -> None:
        self._stream = stream
        self._run = run
        self._made = 0
        self._arguments: tuple[Tensor, Tensor | None] | None = None
        self._replay: Callable[[], None] | None = None
        self._terms: dict[str, Tensor] = {}

    @property
    def is_captured(self) -> bool:
        return self._replay is not None

    def __call__(self, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        if self._made < WARM_UP:
            self._made += 1
            return run_on(self._stream, lambda: self._run(x, y))
        if self._arguments is None or self._replay is None:
            kept = x.clone(), None if y is None else y.clone()
            self._arguments = kept
            self._replay, self._terms = capture(self._stream, lambda: self._run(*kept))
        else:
            _copy(self._arguments, (x, y))
        self._replay()
        return self._terms


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def side_stream() -> torch.cuda.Stream:
    """A stream that captures can be made on."""
    return torch.cuda.Stream()


def run_on(
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
    """Returns what computes the function again, and the tensors that it then writes to."""
    graph = torch.cuda.CUDAGraph()
    with _without_garbage_collection():
        # What cuBLAS needs is then allocated with the graph, and no end of another frees it.
        torch._C._cuda_clearCublasWorkspaces()
        # Other threads, which fetch the next batches, may continue meanwhile.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            result = function()
    return graph.replay, result


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Collect garbage now and not inside: to free another graph would spoil a capture."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def check_one_gpu(device: torch.device, world_size: int) -> None:
    """Raises UserError where an iteration cannot be captured: on a CPU, or several devices."""
    if device.type != "cuda" or world_size > 1:
        raise UserError(
            "cuda_graph captures what one GPU does, and this run is on "
            f"{world_size} {device.type.upper()}{'s' * (world_size > 1)}: leave it out"
        )


def keep_on_device(optimizer: Optimizer) -> None:
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
        device = group["params"][0].device
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=device)
        group["capturable"] = device.type == "cuda"
        if group["capturable"] and "betas" in group and not group.get("fused"):
            # A schedule may change them; fused steps take numbers alone.
            group["betas"] = tuple(
                torch.as_tensor(beta, dtype=torch.float32, device=device) for beta in group["betas"]
            )
    for parameter, state in optimizer.state.items():
        if "step" in state:
            state["step"] = torch.as_tensor(state["step"], device=parameter.device)


def lay_out_as_parameters(optimizer: Optimizer) -> None:
    """Give the optimiser's moments the memory format of their parameters, as fused steps need.

    A checkpoint may have been written with another format.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if name != "step" and isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def uncaptured(
    optimizer_states: Iterable[dict[str, Any]], schedules: Iterable[dict[str, Any]]
) -> None:
    """Turn saved states, in place, into those of optimisers whose steps are not captured."""
    for state in optimizer_states:
        for group in state["param_groups"]:
            group["lr"], group["capturable"] = _as_float(group["lr"]), False
            if "betas" in group:
                group["betas"] = tuple(map(_as_float, group["betas"]))
    for schedule in schedules:
        schedule["_last_lr"] = [_as_float(lr) for lr in schedule["_last_lr"]]


def set_rate(group: dict[str, Any], lr: float) -> None:
    """Set the learning rate of a group of parameters, also where it is a tensor."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def set_betas(group: dict[str, Any], betas: tuple[float, float]) -> None:
    """Set Adam's betas of a group of parameters, also where they are tensors."""
    if isinstance(group["betas"][0], Tensor):
        for kept, beta in zip(group["betas"], betas, strict=True):
            kept.fill_(beta)
    else:
        group["betas"] = betas


def _copy(kept: tuple[Tensor, Tensor | None], given: tuple[Tensor, Tensor | None]) -> None:
    for ours, theirs in zip(kept, given, strict=True):
        if ours is not None and theirs is not None:
            ours.copy_(theirs)


def _as_float(number: float | Tensor) -> float:
    """A number as it was before it was rounded to a float32."""
    return float(f"{float(number):.7g}") if isinstance(number, Tensor) else number
