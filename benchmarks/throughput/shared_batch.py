"""The time that one generated batch for both updates saves."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.throughput.timing import median_and_range, run_interleaved
from benchmarks.throughput.training import BareLoop, Case

#: Technique, image size and width of both networks, None for the published widths, of techniques
#: with one critic update.
SETTINGS = (
    ("dcgan", 64, 64),
    ("dcgan", 64, None),
    ("dcgan", 32, 64),
    ("dcgan", 32, 16),
    ("lsgan", 32, 64),
    ("began", 32, 32),
    ("sagan", 32, 32),
)


class SharedBatch(nn.Module):
    """A generator whose batch in the critic's update is also that of the generator's update.

    It generates with an autograd graph where gradients are off, as they are in the critic's
    objective, and returns the batch without it. The next call with gradients returns the same batch
    with its graph, whatever its latents. So the objectives compute all else as before.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self._batch: Tensor | None = None

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Samples of ``z``, or those of the last call without gradients."""
        if not torch.is_grad_enabled():
            with torch.enable_grad():
                batch: Tensor = self.generator(z, y)
            self._batch = batch
            return batch.detach()
        if self._batch is None:
            raise RuntimeError("a generator's update needs a critic's update before it")
        batch, self._batch = self._batch, None
        return batch


def build_loops(case: Case) -> tuple[BareLoop, BareLoop]:
    """A loop that generates a batch for each update, and one with a batch for both, on the CPU."""
    ours, shared = (BareLoop(case, torch.device("cpu")) for _ in range(2))
    shared.gan.generator = SharedBatch(shared.gan.generator)
    return ours, shared


def measure_shared_batch(case: Case, updates: int, rounds: int) -> dict[str, Any]:
    """Processor time and operations of an update with one generated batch, relative to two.

    The processor time is that of all threads of this process. Unlike the time on a clock, it
    excludes the time in which other processes run.
    """
    ours, shared = build_loops(case)
    loops = {"ours": ours, "shared batch": shared}
    cases: dict[str, Callable[[], float]] = {
        name: partial(_processor_seconds, loop, updates) for name, loop in loops.items()
    }
    seconds = run_interleaved(cases, rounds)
    flops = {name: loop.counts()[0] for name, loop in loops.items()}
    ratios = [b / a for a, b in zip(seconds["ours"], seconds["shared batch"], strict=True)]
    return {
        "technique": type(ours.gan).__name__,
        "shape": list(case.shape),
        "batch_size": case.batch_size,
        "generator_width": ours.gan.generator_width,
        "critic_width": ours.gan.critic_width,
        "updates": updates,
        "flops": flops,
        "processor_milliseconds": {
            name: median_and_range([1e3 * second for second in rounds_of])
            for name, rounds_of in seconds.items()
        },
        "relative_flops": flops["shared batch"] / flops["ours"],
        "relative_processor_time": median_and_range(ratios),
    }


def _processor_seconds(loop: BareLoop, updates: int) -> float:
    started = time.process_time()
    for _ in range(updates):
        loop.update()
    return (time.process_time() - started) / updates
