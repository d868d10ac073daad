"""Our loaders compared with torch's DataLoader, over the same images."""

import os
import time
from collections.abc import Callable, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms

from gan_lightning.data import ImageFolder, PrefetchLoader, TensorLoader
from gan_lightning.training.iteration import synchronize

CIFAR_SHAPE = (50_000, 3, 32, 32)
#: Widths and heights of files: those of CelebA, LSUN and, about, ImageNet; and how many of each.
FILES = ((178, 218), (256, 256), (500, 375))
FILE_COUNT = 2_000
Batches = TensorLoader | PrefetchLoader | DataLoader[Any]


def stopwatch(loader: Batches, device: torch.device, count: int) -> Callable[[], float]:
    """A function that returns the seconds for moving ``count`` batches to the device."""
    if not len(loader):
        raise SystemExit("a loader has no batch: use a smaller --batch-size or a larger folder")

    def run() -> float:
        batches = chain.from_iterable(repeat(loader))
        # The start of worker processes and of the first epoch is not timed.
        for batch in islice(batches, 10):
            _move(device, batch)
        synchronize(device)
        started = time.perf_counter()
        for batch in islice(batches, count):
            _move(device, batch)
        synchronize(device)
        return time.perf_counter() - started

    return run


def build_loaders(
    batch_size: int, device: torch.device, scratch: Path, folder: Path | None
) -> dict[str, Batches]:
    """The loaders to time: ours, and torch's over images in memory and in files."""
    pixels = np.random.default_rng(0).integers(0, 256, CIFAR_SHAPE, np.uint8)
    path = scratch / "images.u8"
    pixels.tofile(path)
    mapped = torch.from_numpy(np.memmap(path, np.uint8, "r+", shape=CIFAR_SHAPE))
    labels = torch.zeros(len(pixels), dtype=torch.int64)
    cases: dict[str, Batches] = {
        "tensor on the device": TensorLoader(
            torch.from_numpy(pixels).to(device), labels.to(device), batch_size, seed=0
        ),
        "memory-mapped file, prefetched": PrefetchLoader(
            mapped, labels, batch_size, device=device, seed=0
        ),
    }
    torch_datasets: dict[str, Dataset[Any]] = {"images in memory": _Images(pixels)}
    if folder is not None:
        torch_datasets["image files"] = datasets.ImageFolder(
            str(_class_folders(folder)), _transform()
        )
    for what, data in torch_datasets.items():
        for workers in (0, 2):
            cases[f"DataLoader, {what}, {workers} workers"] = DataLoader(
                data,
                batch_size,
                shuffle=True,
                drop_last=True,
                num_workers=workers,
                pin_memory=device.type == "cuda",
                persistent_workers=workers > 0,
            )
    return cases


def folder_start_times(folder: Path, scratch: Path) -> dict[str, float]:
    """Seconds until a folder's images are loaded: decoded the first time, then from the cache."""

    def start() -> tuple[int, float]:
        started = time.perf_counter()
        data = ImageFolder(str(folder), size=32, cache_dir=str(scratch / "cache"))
        count = len(data.load("train")[0])
        if (folder / "test").is_dir():
            count += len(data.load("test")[0])
        return count, time.perf_counter() - started

    (images, first), (_, second) = start(), start()
    return {"images": images, "first": round(first, 2), "second": round(second, 3)}


def decoding_rates(scratch: Path) -> dict[str, float]:
    """JPEG files decoded and made 64 x 64 in a second, by each core, by the size of the files."""
    rates = {}
    for width, height in FILES:
        folder = scratch / f"{width}x{height}"
        (folder / "train" / "any").mkdir(parents=True)
        draws = np.random.default_rng(0)
        for i in range(FILE_COUNT):
            # Smooth, as photographs are: noise would take longer to decode.
            coarse = draws.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
            image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            image.save(folder / "train" / "any" / f"{i}.jpg", quality=90)
        started = time.perf_counter()
        data = ImageFolder(str(folder), size=64, cache_dir=str(scratch / "decoded"))
        count = len(data.load("train")[0])
        seconds = time.perf_counter() - started
        rates[f"{width} x {height}"] = float(f"{count / seconds / (os.cpu_count() or 1):.3g}")
    return rates


class _Images(Dataset[tuple[Tensor, int]]):
    """Images in memory, returned one by one as in torchvision's CIFAR10."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        self.transform = _transform()

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[i])), 0


def _transform() -> transforms.Compose:
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])


def _class_folders(folder: Path) -> Path:
    return folder / "train" if (folder / "train").is_dir() else folder


def _move(device: torch.device, batch: Sequence[Tensor | None]) -> None:
    for part in batch:
        if part is not None:
            part.to(device, non_blocking=True)
