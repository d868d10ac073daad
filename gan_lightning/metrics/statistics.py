"""Features of real samples on disk, so that runs on the same data measure them once."""

import hashlib
import io
import re
from importlib.metadata import version
from pathlib import Path

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from gan_lightning.metrics.features import Features
from gan_lightning.metrics.scores import Moments
from gan_lightning.utils.errors import StorageError
from gan_lightning.utils.files import whole_file

#: Of the file, and of how features come out of images.
FORMAT = "gan_lightning features, version 1"
#: What else features come from.
LIBRARIES = ("torch", "torchvision", "torch-fidelity")
HASH_LENGTH = 64


def statistics_path(folder: Path, title: str, extractor: str, keep: bool, key: str) -> Path:
    """The file of one set on one extractor.

    Args:
        folder: of all such files.
        title: of the data and its split, for people.
        extractor: its name, for people.
        keep: whether the file holds each sample's features, or only their moments.
        key: what tells the samples, the extractor and its resize from all others.
    """
    kind = "features" if keep else "moments"
    libraries = " ".join(f"{name} {version(name)}" for name in LIBRARIES)
    digest = hashlib.sha256(f"{FORMAT} {libraries} {key}".encode()).hexdigest()[:16]
    # The digest tells files apart: of names, which may come from a file, only what is harmless.
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{title}-{extractor}")[:100].lstrip(".")
    return folder / f"{name}-{digest}.{kind}"


def read_statistics(path: Path) -> Features | None:
    """What ``write_statistics`` wrote; None where there is none, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    payload = memoryview(content)[HASH_LENGTH:]
    if hashlib.sha256(payload).hexdigest().encode() != content[:HASH_LENGTH]:
        rank_zero_warn(f"{path} is damaged: the real samples are measured again")
        return None
    try:
        read = torch.load(io.BytesIO(payload), weights_only=True)
        found = Features(
            read["features"], read["logits"], Moments(read["count"], read["sum"], read["products"])
        )
        _check(found)
    except Exception:
        # torch, pickle and zip raise what they please on a file that is something else.
        rank_zero_warn(f"{path} is of something else: the real samples are measured again")
        return None
    return found


def _check(found: Features) -> None:
    """Raises ValueError where it is nothing that ``write_statistics`` is given."""
    moments, logits = found.moments, found.logits
    count, (size, *_) = moments.count, moments.sum.shape
    if not (
        type(count) is int
        and _holds_numbers(found.features, (len(found.features), size))
        and len(found.features) in (0, count)
        and (logits is None or _holds_numbers(logits, (count, logits.shape[-1])))
        and _holds_numbers(moments.sum, (size,), torch.float64)
        and _holds_numbers(moments.products, (size, size), torch.float64)
    ):
        raise ValueError("these are no features and their moments")


def _holds_numbers(x: Tensor, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> bool:
    return (
        x.is_floating_point()
        and x.dtype == (dtype or x.dtype)
        and (x.shape, x.layout, x.device.type) == (shape, torch.strided, "cpu")
    )


def write_statistics(features: Features, path: Path) -> None:
    """Write the file at once or not at all; a folder that cannot be written to is warned of."""
    moments = features.moments
    buffer = io.BytesIO()
    torch.save(
        {
            "features": features.features,
            "logits": features.logits,
            "count": moments.count,
            "sum": moments.sum,
            "products": moments.products,
        },
        buffer,
    )
    payload = buffer.getbuffer()
    try:
        with whole_file(path) as file:
            file.write(hashlib.sha256(payload).hexdigest().encode())
            file.write(payload)
    except StorageError as error:
        rank_zero_warn(
            f"the features of real samples cannot be kept: {error}. The next run measures them "
            "again"
        )
