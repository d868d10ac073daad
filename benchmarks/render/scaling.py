"""From one GPU to many: what averaging gradients, data and evaluations take, computed."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.render.markdown import markdown_table
from benchmarks.render.numbers import short
from benchmarks.render.paper_runs import PEAK, SHARES
from benchmarks.variants import Variant

#: Bytes per second that a GPU sends: half of an H100's 900 GB/s of NVLink, which count both
#: directions, and an Ethernet of 100 Gbit/s.
NVLINK, ETHERNET = 450e9, 12.5e9
#: Seconds that an all-reduce takes even if there is nothing to send, assumed.
LATENCY = 20e-6
#: The share of an update's time that averaging may take.
ACCEPTABLE = 0.1
BYTES = 4  # of a gradient, in float32
#: Operations of Inception v3 for an image of 299 x 299, in multiplications and additions: 5.7
#: billion of each, torchvision's weights page. And of the plain float32 of an H100 SXM a second.
INCEPTION, FLOAT32_PEAK = 11.4e9, 66.9e12
SAMPLES = 50_000
CHANNELS = 3
RANKS = (1, 2, 4, 8, 16)


class Images(NamedTuple):
    """A data set, its images, the size of their files, and the sizes that people train at."""

    name: str
    images: int
    files: str
    sizes: tuple[int, ...]


#: With the numbers of images that their authors state, for training and validation.
DATA = (
    Images("CIFAR-10", 60_000, "", (32,)),
    Images("CelebA", 202_599, "178 x 218", (64, 128)),
    Images("LSUN bedrooms", 3_033_342, "256 x 256", (64, 128)),
    Images("ImageNet", 1_331_167, "500 x 375", (64, 128)),
)


def averaging_seconds(size: int, count: int, bandwidth: float) -> float:
    """Of ``count`` all-reduces of ``size`` bytes in all, each passed around a long ring twice."""
    return count * LATENCY + 2 * size / bandwidth


def averaging_table(path: Path) -> str:
    """What an update sends, and how far more GPUs shorten it; "" without ``paper_runs.json``."""
    if not path.is_file():
        return ""
    headers = [
        "technique",
        "all-reduces an update",
        "MB an update",
        "ms, NVLink",
        "ms, 100 Gbit/s",
        "GPUs, NVLink",
        "GPUs, 100 Gbit/s",
    ]
    rows = [_averaging_row(run) for run in json.loads(path.read_text())["runs"]]
    return markdown_table(headers, rows, text_columns=[0])


def _averaging_row(run: dict[str, Any]) -> list[str]:
    generator, critic = run["parameters"]
    size = BYTES * (generator + run["n_critic"] * critic)
    computing = run["flops"] / PEAK / SHARES[1]
    times = [
        averaging_seconds(size, run["n_critic"] + 1, bandwidth) for bandwidth in (NVLINK, ETHERNET)
    ]
    return [
        Variant(run["technique"]).title,
        str(run["n_critic"] + 1),
        short(size / 1e6),
        *(short(1000 * seconds) for seconds in times),
        *(_largest(computing, seconds, run["batch_size"]) for seconds in times),
    ]


def _largest(computing: float, averaging: float, batch_size: int) -> str:
    """The most GPUs that share a batch, of which averaging takes no more than is acceptable."""
    gpus = int(ACCEPTABLE / (1 - ACCEPTABLE) * computing / averaging)
    return str(max(1, min(gpus, batch_size)))


def cache_table(path: Path) -> str:
    """The size of each cache, and the hours in which one core decodes the files.

    ``path`` is a measurement of the data loaders; "" without it.
    """
    if not path.is_file():
        return ""
    rates = json.loads(path.read_text()).get("decoding", {})
    rows = []
    for data in DATA:
        for size in data.sizes:
            rate = rates.get(data.files)
            rows.append(
                [
                    data.name,
                    f"{data.images:,}",
                    data.files or "-",
                    f"{size} x {size}",
                    short(data.images * CHANNELS * size**2 / 1e9),
                    "-" if rate is None else short(data.images / rate / 3600),
                ]
            )
    headers = ["data", "images", "files", "size", "GB on each node", "core hours to decode"]
    return markdown_table(headers, rows, text_columns=[0, 2, 3])


def ranks_table(path: Path) -> str:
    """Seconds of the parts of an evaluation by the number of ranks; "" without the measurement.

    ``path`` is a measurement of an evaluation with Inception.
    """
    if not path.is_file():
        return ""
    on_first = json.loads(path.read_text())["seconds"]["compute fd"]
    rows = []
    for ranks in RANKS:
        each = SAMPLES * INCEPTION / FLOAT32_PEAK / ranks
        features = [each / share for share in reversed(SHARES)]
        times = [features, [on_first], [seconds + on_first for seconds in features]]
        rows.append([str(ranks), *(" to ".join(map(short, seconds)) for seconds in times)])
    headers = ["GPUs", "s, features", "s, distance on one core", "s, all"]
    return markdown_table(headers, rows, text_columns=[])
