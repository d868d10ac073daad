"""The time of a technique's iteration with Lightning, in each mode, and in a bare loop."""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
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

from benchmarks.throughput.timing import median_and_range, run_interleaved, synchronize
from gan_lightning import GAN, TECHNIQUES
from gan_lightning.data import GANDataModule, TensorLoader
from gan_lightning.data.base import Split
from gan_lightning.training.loggers import ContinuedCSVLogger

#: Updates before the timing: compilation, graph capture and filling of caches.
WARM_UP_UPDATES = 5
#: Updates between logged rows; Lightning's default.
LOG_EVERY = 50
#: Batches per epoch.
EPOCH = 100


@dataclass(frozen=True)
class Mode:
    """One way to train.

    Args:
        options: the options of the module.
        precision: the precision of the trainer.
        fused: whether one fused kernel updates all parameters of a network.
        on_cpu: whether the mode runs on a CPU.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    fused: bool = True
    on_cpu: bool = True


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
    case: Case, device: torch.device, updates: int, rounds: int, modes: Mapping[str, Mode] = MODES
) -> dict[str, Any]:
    """Milliseconds per generator update in each mode, and the operations of an update."""
    torch._dynamo.reset()
    loops: dict[str, Callable[[], Loop]] = {BARE: lambda: BareLoop(case, device)}
    if device.type == "cuda":
        loops[BARE_GRAPH] = lambda: BareLoop(case, device, captured=True)
    for name, mode in modes.items():
        if device.type == "cuda" or mode.on_cpu:
            loops[name] = partial(LightningLoop, case, device, mode)
    built = {name: build() for name, build in loops.items()}
    times = run_interleaved(
        {name: partial(loop.seconds, updates) for name, loop in built.items()}, rounds
    )
    del built
    bare = BareLoop(case, device)
    images = case.batch_size * bare.gan.n_critic
    flops, operators = bare.counts()
    rows = {
        name: {
            "milliseconds": median_and_range([1e3 * second for second in seconds]),
            "images_per_second": median_and_range([images / second for second in seconds]),
            "flops_per_second": flops / statistics.median(seconds),
            "precision": modes[name].precision if name in modes else Mode().precision,
        }
        for name, seconds in times.items()
    }
    if device.type == "cuda":
        for name, build in loops.items():
            rows[name] |= _gpu_statistics(build, updates, device)
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
        "modes": rows,
    }


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
        self._iterate: Callable[[Tensor], None] = self.iterate
        if captured:
            for optimizer in (self.critic_optimizer, self.generator_optimizer):
                for group in optimizer.param_groups:
                    group["capturable"] = True
            self._iterate = self._captured()

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
        self._iterate(next(self._batches)[0])

    def seconds(self, updates: int, inside: AbstractContextManager[Any] | None = None) -> float:
        """The average time of one of ``updates`` updates, which run ``inside`` a context."""
        for _ in range(WARM_UP_UPDATES):
            self.update()
        synchronize(self.device)
        with inside or nullcontext():
            started = time.perf_counter()
            for _ in range(updates):
                self.update()
            synchronize(self.device)
            return (time.perf_counter() - started) / updates

    def counts(self) -> tuple[int, int]:
        """The floating-point operations and the tensor operations of one update."""
        with OperationCounter() as counter:
            self.iterate(next(self._batches)[0])
        return counter.flops, counter.operators

    def _captured(self) -> Callable[[Tensor], None]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.iterate(next(self._batches)[0])
        torch.cuda.current_stream().wait_stream(stream)
        static, graph = next(self._batches)[0].clone(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.iterate(static)

        def replay(x: Tensor) -> None:
            static.copy_(x)
            graph.replay()

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


def _gpu_statistics(
    build: Callable[[], Loop], updates: int, device: torch.device
) -> dict[str, float]:
    """Launches by the host and kernels on the device, per update, and the peak memory.

    Memory copies and fills count as launches and as kernels.
    """
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    loop = build()
    loop.seconds(updates)
    peak = torch.cuda.max_memory_allocated(device)
    profiler = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
    loop.seconds(updates, inside=profiler)
    events = profiler.events() or []
    on_device = [event for event in events if event.device_type == DeviceType.CUDA]
    return {
        "peak_memory_bytes": peak - before,
        "launches": sum(event.name.startswith(LAUNCHES) for event in events) / updates,
        "kernels": sum(not event.is_user_annotation for event in on_device) / updates,
    }


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
