"""The time of a technique's iteration with Lightning, in each mode, and in a bare loop."""

import gc
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.optim import Optimizer
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.quiet import quiet
from benchmarks.throughput.timing import median_and_range
from gan_lightning import GAN, TECHNIQUES
from gan_lightning.data import GANDataModule, TensorLoader
from gan_lightning.data.base import Split
from gan_lightning.training.iteration import capture, run_on, side_stream, synchronize
from gan_lightning.training.loggers import ContinuedCSVLogger

#: Updates before the timing: compilation, graph capture and filling of caches.
WARM_UP_UPDATES = 5
#: Updates between logged rows; Lightning's default.
LOG_EVERY = 50
#: Batches per epoch.
EPOCH = 100
#: Updates whose launches are counted: each leaves thousands of events.
PROFILED_UPDATES = 2
ON_GPU = (ProfilerActivity.CPU, ProfilerActivity.CUDA)


@dataclass(frozen=True)
class Mode:
    """One way to train.

    Args:
        options: the options of the module.
        precision: the precision of the trainer.
        fused: whether one fused kernel updates all parameters of a network.
        on_cpu: whether the mode runs on a CPU.
        benchmark: whether cuDNN times its kernels and takes the fastest, as with
            ``--trainer.benchmark``.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    fused: bool = True
    on_cpu: bool = True
    benchmark: bool = False


BARE, BARE_GRAPH, EAGER = "bare loop", "bare loop, CUDA graph", "Lightning"
#: The data type of the peak that each precision is compared with.
PRECISIONS = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}
#: Name prefixes of the host's calls that launch work on the device.
LAUNCHES = ("cudaLaunch", "cudaGraphLaunch", "cudaMemcpyAsync", "cudaMemsetAsync", "cuLaunch")
_FAST = {"cuda_graph": True, "compile": True, "channels_last": True}
MODES = {
    EAGER: Mode(),
    f"{EAGER}, optimisers not fused": Mode(fused=False),
    f"{EAGER}, channels last": Mode({"channels_last": True}),
    f"{EAGER}, bfloat16": Mode(precision="bf16-mixed"),
    f"{EAGER}, compiled": Mode({"compile": True}),
    f"{EAGER}, CUDA graph": Mode({"cuda_graph": True}, on_cpu=False),
    f"{EAGER}, CUDA graph, benchmark": Mode({"cuda_graph": True}, on_cpu=False, benchmark=True),
    f"{EAGER}, CUDA graph, compiled": Mode({"cuda_graph": True, "compile": True}, on_cpu=False),
    f"{EAGER}, CUDA graph, compiled, channels last, bfloat16": Mode(
        _FAST, precision="bf16-mixed", on_cpu=False
    ),
}


@dataclass(frozen=True)
class Case:
    """A technique and its networks and batches.

    Args:
        technique: the key in ``TECHNIQUES``.
        shape: the shape of one sample.
        batch_size: the batch size of one critic update.
        width: the width of both networks; None for the published widths.
        network: the network family; None for the technique's default.
    """

    technique: str
    shape: tuple[int, ...]
    batch_size: int
    width: int | None = None
    network: str | None = None

    def build(self, **options: Any) -> GAN:
        """Build the module."""
        if self.network is not None:
            options["network"] = self.network
        return TECHNIQUES[self.technique](
            shape=self.shape,
            generator_width=self.width,
            critic_width=self.width,
            **options,
        )


class Noise(GANDataModule):
    """Random samples with the shape of a case."""

    def __init__(self, case: Case, n_critic: int) -> None:
        super().__init__(batch_size=case.batch_size, placement="device")
        self.shape, self.count = case.shape, EPOCH * n_critic * case.batch_size

    def load(self, split: Split) -> tuple[Tensor, None]:
        """Random samples of either split."""
        if len(self.shape) == 3:
            return torch.randint(0, 256, (self.count, *self.shape), dtype=torch.uint8), None
        return torch.randn(self.count, *self.shape), None


def measure_training(
    case: Case,
    device: torch.device,
    updates: int,
    rounds: int,
    modes: Mapping[str, Mode] = MODES,
    until: float = math.inf,
    report: Callable[[dict[str, Any]], None] = lambda result: None,
) -> dict[str, Any]:
    """Milliseconds per generator update in each mode, and the operations of an update.

    The modes run in turn, so that other load on the machine affects all of them equally, and a
    first round does not count.

    Args:
        case: what is trained.
        device: where.
        updates: generator updates of a round.
        rounds: of each mode.
        modes: beside the bare loop.
        until: no measurement starts that would end after it, on the clock ``time.monotonic``; a
            mode that has none is None in the result.
        report: is given the result so far after each measurement.
    """
    torch._dynamo.reset()
    loops: dict[str, Callable[[], Loop]] = {BARE: lambda: BareLoop(case, device)}
    if device.type == "cuda":
        loops[BARE_GRAPH] = lambda: BareLoop(case, device, captured=True)
    for name, mode in modes.items():
        if device.type == "cuda" or mode.on_cpu:
            loops[name] = partial(LightningLoop, case, device, mode)
    bare = BareLoop(case, device)
    flops, operators = bare.counts()
    images = case.batch_size * bare.gan.n_critic
    measured = {name: _Measured(device, build, updates) for name, build in loops.items()}

    def result() -> dict[str, Any]:
        return {
            "technique": type(bare.gan).__name__,
            "shape": list(case.shape),
            "batch_size": case.batch_size,
            "critic_updates": bare.gan.n_critic,
            "generator_width": bare.gan.generator_width,
            "critic_width": bare.gan.critic_width,
            "updates": updates,
            "flops": flops,
            "operators": operators,
            "modes": {
                name: each.row(images, flops, modes.get(name, Mode()).precision)
                for name, each in measured.items()
            },
        }

    steps = [_Measured.warm_up] + [_Measured.measure] * rounds
    for step in steps + [_Measured.profile] * (device.type == "cuda"):
        for each in measured.values():
            if each.fits(until):
                step(each)
                report(result())
    return result()


class _Measured:
    """What is known of one mode by now."""

    def __init__(self, device: torch.device, build: Callable[[], "Loop"], updates: int) -> None:
        self._device, self._build, self._updates = device, build, updates
        self._loop: Loop | None = None
        self._longest = 0.0
        self._seconds: list[float] = []
        self._statistics: dict[str, float] = {}

    def fits(self, until: float) -> bool:
        """Whether the next step would end in time, as far as the steps before tell."""
        return time.monotonic() + self._longest <= until

    def warm_up(self) -> None:
        """Build the loop, compile it and fill caches; its memory is that of this loop alone."""
        gc.collect()
        on_gpu = self._device.type == "cuda"
        if on_gpu:
            torch.cuda.empty_cache()
            before = torch.cuda.memory_allocated(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
        self._loop = self._build()
        self._loop.seconds(self._updates)
        if on_gpu:
            peak = torch.cuda.max_memory_allocated(self._device)
            self._statistics["peak_memory_bytes"] = peak - before

    def measure(self) -> None:
        """Measure one round."""
        if self._loop is not None:
            started = time.monotonic()
            self._seconds.append(self._loop.seconds(self._updates))
            self._longest = max(self._longest, time.monotonic() - started)

    def profile(self) -> None:
        """Count launches and kernels."""
        if self._loop is not None:
            self._statistics |= count_launches(self._loop)

    def row(self, images: int, flops: int, precision: str) -> dict[str, Any] | None:
        """What is written, of updates on so many images; None before the first round."""
        if not self._seconds:
            return None
        return {
            "milliseconds": median_and_range([1e3 * second for second in self._seconds]),
            "images_per_second": median_and_range([images / second for second in self._seconds]),
            "flops_per_second": flops / statistics.median(self._seconds),
            "precision": precision,
            **self._statistics,
        }


def compile_ahead(cases: Sequence[Case], device: torch.device, modes: Mapping[str, Mode]) -> None:
    """Compile what the modes compile, all cases side by side, for the compiler's cache on disk."""
    compiled = {name: mode for name, mode in modes.items() if mode.options.get("compile")}
    if device.type != "cuda":
        compiled = {name: mode for name, mode in compiled.items() if mode.on_cpu}
    if not compiled:
        return
    workers = min(len(cases), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(_compile, case, device, compiled) for case in cases]:
            done.result()


def _compile(case: Case, device: torch.device, modes: Mapping[str, Mode]) -> None:
    torch.set_num_threads(1)
    with quiet():
        for mode in modes.values():
            LightningLoop(case, device, mode).seconds(1)


class BareLoop:
    """A loop written without Lightning, with the same networks, losses and optimisers."""

    def __init__(self, case: Case, device: torch.device, captured: bool = False) -> None:
        self.device = device
        self.gan = case.build().to(device)
        self.critic_optimizer = self.gan.make_optimizer(self.gan.critic, self.gan.critic_lr)
        self.generator_optimizer = self.gan.make_optimizer(
            self.gan.generator, self.gan.generator_lr
        )
        x, _ = Noise(case, self.gan.n_critic).load("train")
        loader = TensorLoader(x.to(device), None, self.gan.n_critic * case.batch_size, seed=0)
        self._batches = chain.from_iterable(repeat(loader))
        self._is_captured = captured
        if captured:
            for optimizer in (self.critic_optimizer, self.generator_optimizer):
                for group in optimizer.param_groups:
                    group["capturable"] = True

    def iterate(self, x: Tensor) -> None:
        """``n_critic`` critic updates and a generator update."""
        gan = self.gan
        for part in x.chunk(gan.n_critic):
            part = gan.prepare(part)
            z = gan.draw_latents(len(part))
            loss, _, scores = gan.critic_objective(part, None, z)
            _step(self.critic_optimizer, loss)
            gan.after_critic_step(*scores)
        gan.critic.requires_grad_(False)
        z = gan.draw_latents(len(part) * gan.generator_batch)
        loss, _ = gan.generator_objective(part, None, z)
        _step(self.generator_optimizer, loss)
        gan.critic.requires_grad_(True)

    def update(self) -> None:
        """One iteration on the next batch."""
        self.iterate(next(self._batches)[0])

    def seconds(self, updates: int, inside: AbstractContextManager[Any] | None = None) -> float:
        """The average time of one of ``updates`` updates, which run ``inside`` a context."""
        # Captured each time: the end of a graph can spoil others, of the loops in between.
        iterate = self._captured() if self._is_captured else self.iterate
        for _ in range(WARM_UP_UPDATES):
            iterate(next(self._batches)[0])
        synchronize(self.device)
        with inside or nullcontext():
            started = time.perf_counter()
            for _ in range(updates):
                iterate(next(self._batches)[0])
            synchronize(self.device)
            return (time.perf_counter() - started) / updates

    def counts(self) -> tuple[int, int]:
        """The floating-point operations and the tensor operations of one update."""
        with OperationCounter() as counter:
            self.iterate(next(self._batches)[0])
        return counter.flops, counter.operators

    def _captured(self) -> Callable[[Tensor], None]:
        stream = side_stream()

        def run(x: Tensor) -> dict[str, Tensor]:
            self.iterate(x)
            return {}

        for _ in range(3):
            run_on(stream, lambda: run(next(self._batches)[0]))
        static = next(self._batches)[0].clone()
        launch, _ = capture(stream, lambda: run(static))

        def replay(x: Tensor) -> None:
            static.copy_(x)
            launch()

        return replay


class LightningLoop:
    """The module in a trainer that logs every 50th update, as by default."""

    def __init__(self, case: Case, device: torch.device, mode: Mode) -> None:
        self.device, self.mode = device, mode
        self.gan = case.build(**mode.options)
        if not mode.fused:
            self.gan.make_optimizer = _unfused_optimizer(self.gan)  # type: ignore[assignment]
        self._data = Noise(case, self.gan.n_critic)

    def seconds(self, updates: int, inside: AbstractContextManager[Any] | None = None) -> float:
        """The average time of one of ``updates`` updates, which run ``inside`` a context."""
        watch = _Stopwatch(self.device, inside or nullcontext())
        with tempfile.TemporaryDirectory() as folder:
            trainer = pl.Trainer(
                accelerator="gpu" if self.device.type == "cuda" else "cpu",
                devices=1,
                precision=self.mode.precision,
                benchmark=self.mode.benchmark,
                max_steps=WARM_UP_UPDATES + updates,
                logger=ContinuedCSVLogger(folder),
                log_every_n_steps=LOG_EVERY,
                callbacks=[watch],
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(self.gan, self._data)
        return watch.seconds / updates


Loop = BareLoop | LightningLoop


class _Stopwatch(pl.Callback):
    """Times the updates after the warm-up, inside a context."""

    def __init__(self, device: torch.device, inside: AbstractContextManager[Any]) -> None:
        self.device = device
        self.inside = inside
        self.seconds = 0.0
        self._started = 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.global_step == WARM_UP_UPDATES:
            synchronize(self.device)
            self.inside.__enter__()
            self._started = time.perf_counter()
        elif trainer.global_step == trainer.max_steps:
            synchronize(self.device)
            self.seconds = time.perf_counter() - self._started
            self.inside.__exit__(None, None, None)


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Peak floating-point operations per second over some matrix products and convolutions.

    For float32, products use TF32 if the GPU supports it, as torch's convolutions do by default.
    """
    best, matrices = 0.0, torch.backends.cuda.matmul
    precision, matrices.fp32_precision = matrices.fp32_precision, "tf32"
    for flops, compute in _large_computations(device, dtype):
        compute()
        synchronize(device)
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < 0.3:
            compute()
            count += 1
            synchronize(device)
        best = max(best, flops * count / (time.perf_counter() - started))
    matrices.fp32_precision = precision
    return best


def _large_computations(
    device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[int, Callable[[], Tensor]]]:
    """Computations that keep a device busy, with their floating-point operations."""
    for size in (512, 1024, 2048) if device.type == "cpu" else (2048, 4096, 8192):
        a, b = torch.randn(2, size, size, device=device).to(dtype)
        yield 2 * size**3, partial(torch.matmul, a, b)
    batch, channels, size = (16, 128, 32) if device.type == "cpu" else (256, 512, 32)
    for order in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(batch, channels, size, size, device=device).to(dtype, memory_format=order)
        weight = torch.randn(channels, channels, 3, 3, device=device).to(dtype, memory_format=order)
        flops = 2 * 9 * batch * (channels * size) ** 2
        yield flops, partial(torch.conv2d, x, weight, padding=1)


def count_launches(
    loop: "Loop", activities: Sequence[ProfilerActivity] = ON_GPU
) -> dict[str, float]:
    """Launches by the host and kernels on the device, per update.

    Memory copies and fills count as launches and as kernels.
    """
    profiler = profile(activities=activities)
    loop.seconds(PROFILED_UPDATES, inside=profiler)
    # Not events(), which takes minutes to build a tree of them.
    recorded = profiler.profiler
    assert recorded is not None
    assert recorded.kineto_results is not None
    events = recorded.kineto_results.events()
    launches = sum(event.name().startswith(LAUNCHES) for event in events)
    kernels = sum(
        event.device_type() == DeviceType.CUDA and not event.is_user_annotation()
        for event in events
    )
    return {"launches": launches / PROFILED_UPDATES, "kernels": kernels / PROFILED_UPDATES}


class OperationCounter(TorchDispatchMode):
    """Counts the operations that Python and autograd send to the device.

    The floating-point operations are those of matrix products and convolutions. torch's
    ``FlopCounterMode`` also adds hooks, which fail on the gradient penalty's inner gradient.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators = self.flops = 0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        self.operators += 1
        if func.overloadpacket in flop_registry:
            self.flops += flop_registry[func.overloadpacket](
                *args, **(kwargs or {}), out_val=result
            )
        return result


def _step(optimizer: Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _unfused_optimizer(gan: GAN) -> Callable[[nn.Module, float], Optimizer]:
    make_fused = gan.make_optimizer

    def make_optimizer(network: nn.Module, lr: float) -> Optimizer:
        optimizer = make_fused(network, lr)
        for group in optimizer.param_groups:
            if "fused" in group:
                group["fused"] = None  # torch's default
        return optimizer

    return make_optimizer
