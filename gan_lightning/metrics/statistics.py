"""A cache of the features of real samples, so that runs on the same data compute them once."""

import hashlib
import io
import re
from importlib.metadata import version
from pathlib import Path

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from gan_lightning.metrics.features import Features
from gan_lightning.metrics.neighbours import NEIGHBOURS
from gan_lightning.metrics.scores import Moments
from gan_lightning.utils.errors import StorageError
from gan_lightning.utils.files import whole_file
from gan_lightning.utils.tensors import load_tensors

#: The format of the file, and the way in which features are computed from images.
FORMAT = "gan_lightning features, version 1"
#: The libraries whose versions features may depend on.
LIBRARIES = ("torch", "torchvision", "torch-fidelity")
HASH_LENGTH = 64


def statistics_path(folder: Path, title: str, extractor: str, keep: bool, key: str) -> Path:
    """The path of the file for one set of samples and one extractor.

    Args:
        folder: the folder of all such files.
        title: a readable name of the data and its split.
        extractor: the name of the extractor.
        keep: whether the file holds each sample's features, or only their moments.
        key: identifies the samples, the extractor and its way of resizing.
    """
    kind = "features" if keep else "moments"
    libraries = " ".join(f"{name} {version(name)}" for name in LIBRARIES)
    digest = hashlib.sha256(f"{FORMAT} {libraries} {key}".encode()).hexdigest()[:16]
    # The digest identifies the file. Names may come from another file: only safe characters stay.
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{title}-{extractor}")[:100].lstrip(".")
    return folder / f"{name}-{digest}.{kind}"


def read_statistics(path: Path) -> Features | None:
    """What ``write_statistics`` wrote; None if there is no such file, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    payload = memoryview(content)[HASH_LENGTH:]
    if hashlib.sha256(payload).hexdigest().encode() != content[:HASH_LENGTH]:
        rank_zero_warn(f"{path} is damaged: the features of real samples are computed again")
        return None
    try:
        read = load_tensors(io.BytesIO(payload))
        found = Features(
            read["features"],
            read["logits"],
            Moments(read["count"], read["sum"], read["products"]),
            read.get("neighbour_distances"),
        )
        _check_features(found)
    except Exception:
        # torch, pickle and zip raise errors of many kinds if the file is something else.
        rank_zero_warn(
            f"{path} holds something else: the features of real samples are computed again"
        )
        return None
    return found


def _check_features(found: Features) -> None:
    """Raises ValueError if ``write_statistics`` cannot have written these features."""
    moments, logits, distances = found.moments, found.logits, found.known_distances
    count, (size, *_) = moments.count, moments.sum.shape
    if not (
        type(count) is int
        and _is_float_tensor(found.features, (len(found.features), size))
        and len(found.features) in (0, count)
        and (logits is None or _is_float_tensor(logits, (count, logits.shape[-1])))
        and (
            distances is None
            or _is_float_tensor(distances, (len(found.features), NEIGHBOURS), torch.float64)
        )
        and _is_float_tensor(moments.sum, (size,), torch.float64)
        and _is_float_tensor(moments.products, (size, size), torch.float64)
    ):
        raise ValueError("not features and their moments")


def _is_float_tensor(x: Tensor, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> bool:
    return (
        x.is_floating_point()
        and x.dtype == (dtype or x.dtype)
        and (x.shape, x.layout, x.device.type) == (shape, torch.strided, "cpu")
    )


def write_statistics(features: Features, path: Path) -> None:
    """Write the file atomically; warn if the folder is not writable."""
    moments = features.moments
    buffer = io.BytesIO()
    torch.save(
        {
            "features": features.features,
            "logits": features.logits,
            "neighbour_distances": features.known_distances,
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
            f"the features of real samples cannot be cached: {error}. The next run computes them "
            "again"
        )
