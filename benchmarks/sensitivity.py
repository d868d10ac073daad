"""Whether worse images get worse scores: ``python -m benchmarks.sensitivity``.

Scores real test images against real training images on a network's features: unchanged, fewer of
them, blurred, with noise, and without one class. Writes one JSON file for each network, from which
``benchmarks.render`` fills the tables in ``docs/evaluation.md``.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from benchmarks.environment import describe_environment
from benchmarks.protocol import SENSITIVITY
from benchmarks.records import write_atomically
from gan_lightning.data import ImageFolder
from gan_lightning.metrics import Extractor, Features, collect, load_extractor
from gan_lightning.metrics.measures import MEASURES, compute_scores, select_measures

#: Standard deviations of Gaussian blurs in pixels, and of noise in grey levels.
BLURS, NOISE = (0.5, 1.0), (10, 30)
#: The column of each metric.
HEADERS = {
    **{"fd": "distance", "kd": "kernel distance", "is": "score"},
    **{name: name for name in ("precision", "recall", "density", "coverage")},
}


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="benchmarks.sensitivity", description=__doc__)
    parser.add_argument(
        "--folder", required=True, help="the folder with train/<class> and test/<class>"
    )
    parser.add_argument("--title", required=True, help="the name of the images in the tables")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--extractor", default="inception")
    parser.add_argument("--weights", help="the file of the extractor's weights")
    parser.add_argument("--count", type=int, default=10_000, help="images per row")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument(
        "--cache", default="~/.cache/gan_lightning", help="the folder of decoded images"
    )
    parser.add_argument("--output", type=Path, default=SENSITIVITY)
    options = parser.parse_args(args)

    extractor = load_extractor(options.extractor, options.weights)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def features(x: Tensor) -> Features:
        return collect(extractor, x.split(options.batch_size), device)

    data = ImageFolder(options.folder, size=options.size, cache_dir=options.cache, conditional=True)
    real, _ = draw_subset(*data.load("train"), options.count)
    test, labels = draw_subset(*data.load("test"), options.count)
    real_features, test_features = features(real), features(test)
    rows = {}
    for count in sorted({count for count in (1000, 5000) if count < len(test)} | {len(test)}):
        rows[f"test, {count:,}"] = scores(
            extractor, real_features, subset(test_features, slice(count))
        )
    without = subset(test_features, labels != 0)
    rows["test, without a class"] = scores(extractor, real_features, without)
    for name, change in distortions().items():
        rows[f"test, {name}"] = scores(extractor, real_features, features(change(test)))
        print(name, rows[f"test, {name}"])
    name = extractor.name
    result = {
        "title": options.title,
        "extractor": name,
        "real": len(real),
        **describe_environment(device),
        "rows": rows,
    }
    path = options.output / f"{name}.json"
    write_atomically(path, json.dumps(result, indent=1) + "\n")
    print(f"wrote {path}")


def draw_subset(x: Tensor, y: Tensor | None, count: int) -> tuple[Tensor, Tensor]:
    """Draw ``count`` images, always the same, and their labels."""
    assert y is not None
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:count]
    return x[order], y[order]


def distortions() -> dict[str, Callable[[Tensor], Tensor]]:
    """Distortions of uint8 images ``(N, C, H, W)``, from weak to strong of each kind."""
    return {f"blurred by {sigma:g} px": _blur(sigma) for sigma in BLURS} | {
        f"noised by {levels}": _add_noise(levels) for levels in NOISE
    }


def scores(extractor: Extractor, real: Features, fake: Features) -> dict[str, float]:
    """All metrics of two sets of features, by the columns of the table."""
    names = [name for name in HEADERS if extractor.classes or name != "is"]
    found = compute_scores(select_measures(MEASURES, names), real, fake)
    return {header: found[name] for name, header in HEADERS.items() if name in found}


def subset(features: Features, which: slice | Tensor) -> Features:
    """The features of some of the images."""
    logits = features.logits
    return Features(features.features[which], None if logits is None else logits[which])


def _blur(sigma: float) -> Callable[[Tensor], Tensor]:
    width = 2 * round(3 * sigma) + 1
    return lambda x: torch.cat(
        [TF.gaussian_blur(part, [width, width], [sigma, sigma]) for part in x.split(1000)]
    )


def _add_noise(levels: int) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        noise = levels * torch.randn(x.shape, generator=generator)
        return (x + noise).round().clamp(0, 255).to(torch.uint8)

    return change


if __name__ == "__main__":
    main()
