"""Where the time of an evaluation goes."""

import statistics
from typing import Any

import torch

from benchmarks.speed.timing import Phases, spread
from gan_lightning import GAN
from gan_lightning.metrics import Extractor, Features, Pool, extract
from gan_lightning.metrics.measures import MEASURES, measured, selected

GENERATED_AT_A_TIME = 256


def evaluation(gan: GAN, extractor: Extractor, samples: int, rounds: int) -> dict[str, Any]:
    """Images per second, and the seconds of each part, of scoring ``samples`` generated images."""
    real, _ = _evaluated(gan, extractor, max(samples // 10, 10), seed=1)  # warms up, too
    runs = [_evaluated(gan, extractor, samples, seed=0, real=real)[1] for _ in range(rounds)]
    return {
        "images_per_second": spread([samples / sum(run.values()) for run in runs]),
        "seconds": {
            name: float(f"{statistics.median(run[name] for run in runs):.4g}") for name in runs[0]
        },
    }


@torch.no_grad()
def _evaluated(
    gan: GAN, extractor: Extractor, samples: int, seed: int, real: Features | None = None
) -> tuple[Features, dict[str, float]]:
    """As ``Evaluate`` does it, with the parts held apart."""
    phases = Phases(gan.device)
    pool = Pool(extractor.num_features, keep=False)
    torch.manual_seed(seed)
    with phases.timed("generate"):
        z, y = gan.draw_inputs(samples)
    for start in range(0, samples, GENERATED_AT_A_TIME):
        part = slice(start, start + GENERATED_AT_A_TIME)
        with phases.timed("generate"):
            x = gan.generate(z[part], None if y is None else y[part])
        with phases.timed("round and featurise"):
            features, logits = extract(extractor, x)
        with phases.timed("sum up"):
            pool.add(features, logits, torch.arange(start, start + len(x)))
    with phases.timed("sum up"):
        fake = pool.gathered()
    names = ["fd", "is"] if extractor.classes else ["fd"]
    for measure in selected(MEASURES, names):
        with phases.timed(f"compute {' and '.join(measure.names)}"):
            measured([measure], fake if real is None else real, fake)
    return fake, phases.seconds
