"""The time of each part of an evaluation."""

import statistics
from typing import Any

import torch

from benchmarks.throughput.timing import Phases, median_and_range
from gan_lightning import GAN
from gan_lightning.metrics import Extractor, Features, Pool, extract
from gan_lightning.metrics.measures import MEASURES, compute_scores, select_measures

GENERATED_BATCH = 256


def measure_evaluation(gan: GAN, extractor: Extractor, samples: int, rounds: int) -> dict[str, Any]:
    """Images per second, and seconds of each part, for scoring ``samples`` generated images."""
    real, _ = _evaluate_once(gan, extractor, max(samples // 10, 10), seed=1)  # also warms up
    runs = [_evaluate_once(gan, extractor, samples, seed=0, real=real)[1] for _ in range(rounds)]
    return {
        "images_per_second": median_and_range([samples / sum(run.values()) for run in runs]),
        "seconds": {
            name: float(f"{statistics.median(run[name] for run in runs):.4g}") for name in runs[0]
        },
    }


@torch.no_grad()
def _evaluate_once(
    gan: GAN, extractor: Extractor, samples: int, seed: int, real: Features | None = None
) -> tuple[Features, dict[str, float]]:
    """The steps of ``Evaluate``, each timed separately."""
    phases = Phases(gan.device)
    pool = Pool(extractor.num_features, keep=False)
    torch.manual_seed(seed)
    with phases.timed("generate"):
        z, y = gan.draw_inputs(samples)
    for start in range(0, samples, GENERATED_BATCH):
        part = slice(start, start + GENERATED_BATCH)
        with phases.timed("generate"):
            x = gan.generate(z[part], None if y is None else y[part])
        with phases.timed("round and featurise"):
            features, logits = extract(extractor, x)
        with phases.timed("sum up"):
            pool.add(features, logits, torch.arange(start, start + len(x)))
    with phases.timed("sum up"):
        fake = pool.gather()
    names = ["fd", "is"] if extractor.classes else ["fd"]
    for measure in select_measures(MEASURES, names):
        with phases.timed(f"compute {' and '.join(measure.names)}"):
            compute_scores([measure], fake if real is None else real, fake)
    return fake, phases.seconds
