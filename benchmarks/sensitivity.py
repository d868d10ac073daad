"""Do scores tell worse images from better ones: ``python -m benchmarks.sensitivity``.

Scores real test images against real training images on a network's features: as they are, fewer of
them, blurred, noised, and without a class. Writes one JSON file for each network, from which
``benchmarks.render`` fills the tables in ``docs/evaluation.md``.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from benchmarks.environment import surroundings
from benchmarks.protocol import SENSITIVITY
from benchmarks.records import write_whole
from gan_lightning.data import ImageFolder
from gan_lightning.metrics import Extractor, Features, collect, load_extractor
from gan_lightning.metrics.measures import MEASURES, measured, selected

#: Gaussian blurs by their deviation in pixels, and noise by its deviation in grey levels.
BLURS, NOISE = (0.5, 1.0), (10, 30)
#: What the table calls the scores.
HEADS = {
    **{"fd": "distance", "kd": "kernel distance", "is": "score"},
    **{name: name for name in ("precision", "recall", "density", "coverage")},
}


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="benchmarks.sensitivity", description=__doc__)
    parser.add_argument("--folder", required=True, help="images in classes, in train and test")
    parser.add_argument("--title", required=True, help="what the tables call the images")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--extractor", default="inception")
    parser.add_argument("--weights", help="the file of the extractor's weights")
    parser.add_argument("--count", type=int, default=10_000, help="images of each kind")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--cache", default="~/.cache/gan_lightning", help="of decoded images")
    parser.add_argument("--output", type=Path, default=SENSITIVITY)
    options = parser.parse_args(args)

    extractor = load_extractor(options.extractor, options.weights)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def features(x: Tensor) -> Features:
        return collect(extractor, x.split(options.batch_size), device)

    data = ImageFolder(options.folder, size=options.size, cache_dir=options.cache, conditional=True)
    real, _ = drawn(*data.load("train"), options.count)
    test, labels = drawn(*data.load("test"), options.count)
    of_real, of_test = features(real), features(test)
    rows = {}
    for count in sorted({count for count in (1000, 5000) if count < len(test)} | {len(test)}):
        rows[f"test, {count:,}"] = scores(extractor, of_real, part_of(of_test, slice(count)))
    without = part_of(of_test, labels != 0)
    rows["test, without a class"] = scores(extractor, of_real, without)
    for name, change in distortions().items():
        rows[f"test, {name}"] = scores(extractor, of_real, features(change(test)))
        print(name, rows[f"test, {name}"])
    name = extractor.name
    result = {
        "title": options.title,
        "extractor": name,
        "real": len(real),
        **surroundings(device),
        "rows": rows,
    }
    path = options.output / f"{name}.json"
    write_whole(path, json.dumps(result, indent=1) + "\n")
    print(f"wrote {path}")


def drawn(x: Tensor, y: Tensor | None, count: int) -> tuple[Tensor, Tensor]:
    """``count`` images, always the same, and their labels."""
    assert y is not None
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:count]
    return x[order], y[order]


def distortions() -> dict[str, Callable[[Tensor], Tensor]]:
    """What makes uint8 images ``(N, C, H, W)`` worse, from little to much of each kind."""
    return {f"blurred by {sigma:g} px": _blurred(sigma) for sigma in BLURS} | {
        f"noised by {levels}": _noised(levels) for levels in NOISE
    }


def scores(extractor: Extractor, real: Features, fake: Features) -> dict[str, float]:
    """Everything that is measured of two sets, under the heads of the table."""
    names = [name for name in HEADS if extractor.classes or name != "is"]
    found = measured(selected(MEASURES, names), real, fake)
    return {head: found[name] for name, head in HEADS.items() if name in found}


def part_of(features: Features, which: slice | Tensor) -> Features:
    """Those of some images."""
    logits = features.logits
    return Features(features.features[which], None if logits is None else logits[which])


def _blurred(sigma: float) -> Callable[[Tensor], Tensor]:
    width = 2 * round(3 * sigma) + 1
    return lambda x: torch.cat(
        [TF.gaussian_blur(part, [width, width], [sigma, sigma]) for part in x.split(1000)]
    )


def _noised(levels: int) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        noise = levels * torch.randn(x.shape, generator=generator)
        return (x + noise).round().clamp(0, 255).to(torch.uint8)

    return change


if __name__ == "__main__":
    main()
