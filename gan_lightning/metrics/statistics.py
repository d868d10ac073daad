"""Features of real samples on disk, so that runs on the same data measure them once."""

import hashlib
import io
import os
from pathlib import Path

import torch
from pytorch_lightning.utilities import rank_zero_warn

from gan_lightning.metrics.features import Features
from gan_lightning.metrics.scores import Moments

FORMAT = "gan_lightning features, version 1"
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
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return folder / f"{title}-{extractor}-{digest}.{kind}"


def read_statistics(path: Path) -> Features | None:
    """What ``write_statistics`` wrote; None where there is none, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    said, payload = content[:HASH_LENGTH], content[HASH_LENGTH:]
    if hashlib.sha256(payload).hexdigest().encode() != said:
        rank_zero_warn(f"{path} is damaged: the real samples are measured again")
        return None
    read = torch.load(io.BytesIO(payload), weights_only=True)
    if read["format"] != FORMAT:
        return None
    return Features(
        read["features"], read["logits"], Moments(read["count"], read["sum"], read["products"])
    )


def write_statistics(features: Features, path: Path) -> None:
    """Write the file at once or not at all; a folder that cannot be written to is warned of."""
    moments = features.moments
    buffer = io.BytesIO()
    torch.save(
        {
            "format": FORMAT,
            "features": features.features,
            "logits": features.logits,
            "count": moments.count,
            "sum": moments.sum,
            "products": moments.products,
        },
        buffer,
    )
    payload = buffer.getbuffer()
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(hashlib.sha256(payload).hexdigest().encode())
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        rank_zero_warn(
            f"the features of real samples cannot be kept in {path.parent} "
            f"({error.strerror or error}): the next run measures them again"
        )
