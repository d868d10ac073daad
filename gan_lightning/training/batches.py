"""Batches of a user's own loaders: converted where it is unambiguous, refused in one line else."""

import math
from collections.abc import Mapping

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from gan_lightning.utils.errors import ArgumentError

#: Samples, and their labels or None.
Batch = tuple[Tensor, Tensor | None]
#: The keys of samples and of labels in batches that are dictionaries: those of Hugging Face's data
#: sets and image processors, of torchgeo, and the letters of this package.
SAMPLES = ("image", "images", "img", "pixel_values", "x")
LABELS = ("label", "labels", "y")
#: How far images may be outside of [-1, 1]: some interpolations overshoot.
TOLERANCE = 0.1


def converted(
    batch: object,
    shape: tuple[int, ...],
    num_classes: int,
    dtype: torch.dtype,
    *,
    needs_labels: bool = True,
) -> Batch:
    """Samples ``(N, *shape)`` of ``dtype``, and int64 labels ``(N,)``, None for no classes.

    A batch is one that ``pair`` takes. Images may be uint8, from 0 to 255, and are converted where
    they are, so on the device; labels of any type, ``(N, 1)``, or one-hot ``(N, num_classes)``.
    This costs nothing where there is nothing to convert, and waits for no device.

    Raises:
        ArgumentError: it is something else.
    """
    x, y = pair(batch)
    if not isinstance(x, Tensor):
        raise ArgumentError(f"the samples of a batch must be a tensor, not a {_kind(x)}")
    if x.shape[1:] != shape or not x.dim():
        raise ArgumentError(
            f"the model is built for samples of shape {shape}, "
            f"the batch holds {tuple(x.shape[1:])}{_hint_at_layout(tuple(x.shape[1:]), shape)}"
        )
    if x.dtype != dtype:
        x = _samples(x, shape, dtype)
    if not num_classes or (y is None and not needs_labels):
        return x, None
    if y is None:
        raise ArgumentError(f"the model has {num_classes} classes, the batch has no labels")
    if not isinstance(y, Tensor):
        raise ArgumentError(f"the labels of a batch must be a tensor, not a {_kind(y)}")
    return x, _labels(y, len(x), num_classes)


def pair(batch: object) -> tuple[object, object]:
    """The samples and the labels of a batch as the loader gives them; None where there are none.

    A batch is ``(x, y)``, ``(x, None)``, ``(x,)``, ``x``, or a dictionary with x under one of the
    keys ``SAMPLES`` and y, if there is any, under one of ``LABELS``; its other keys are ignored.

    Raises:
        ArgumentError: it is something else.
    """
    if isinstance(batch, Tensor):
        return batch, None
    if isinstance(batch, Mapping):
        return _value(batch, "samples", SAMPLES), _value(batch, "labels", LABELS)
    if not isinstance(batch, list | tuple) or not 1 <= len(batch) <= 2:
        raise ArgumentError(
            "a batch must be x, (x,), (x, y), (x, None), or a dictionary with the keys "
            f"{SAMPLES[0]} and {LABELS[0]}; the loader gives a {_kind(batch)}"
        )
    x, y = (*batch, None)[:2]
    return x, y


def _value(batch: Mapping[object, object], kind: str, keys: tuple[str, ...]) -> object:
    """The value under one of the keys; only labels may be missing."""
    found = [key for key in keys if key in batch]
    if len(found) > 1:
        raise ArgumentError(
            f"a batch must have one key for the {kind}; the loader gives a dictionary with "
            f"{' and '.join(found)}"
        )
    if not found and keys is SAMPLES:
        raise ArgumentError(
            f"a batch that is a dictionary must have the samples under one of the keys "
            f"{', '.join(keys)}; the loader gives {', '.join(map(str, batch)) or 'none'}"
        )
    return batch[found[0]] if found else None


def _samples(x: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if x.is_floating_point():
        return x.to(dtype)
    if len(shape) != 3:
        if x.is_complex():
            raise ArgumentError(f"samples must be real numbers, the batch holds {x.dtype}")
        return x.to(dtype)
    if x.dtype != torch.uint8:
        raise ArgumentError(
            f"images must be floats in [-1, 1], or uint8 from 0 to 255; the batch holds {x.dtype}"
        )
    return x.to(dtype).div_(127.5).sub_(1)


def _labels(y: Tensor, n: int, num_classes: int) -> Tensor:
    if y.shape == (n, num_classes) and num_classes > 1:
        return y.argmax(1) if y.dtype != torch.bool else y.byte().argmax(1)
    if y.shape == (n, 1):
        y = y[:, 0]
    if y.shape != (n,) or y.is_complex():
        raise ArgumentError(
            f"labels must be of shape ({n},), or one-hot ({n}, {num_classes}); the batch holds "
            f"{tuple(y.shape)}, {y.dtype}"
        )
    return y if y.dtype == torch.int64 else y.long()


def look(batch: object, converted_batch: Batch, num_classes: int) -> None:
    """Look at the values of a batch, which waits for the device.

    Args:
        batch: as the loader gave it.
        converted_batch: what ``converted`` made of it.
        num_classes: the labels' number of classes.

    Raises:
        ArgumentError: samples are not finite, images are not in [-1, 1], labels are of no class.
    """
    x, y = converted_batch
    if not x.numel():
        return
    low, high = torch.stack(torch.aminmax(x)).tolist()
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ArgumentError("the loader's first batch holds samples that are not finite")
    if x.dim() == 4:
        _look_at_range(low, high)
    if isinstance(given := pair(batch)[1], Tensor) and y is not None:
        _look_at_labels(given, y, num_classes)


def _look_at_range(low: float, high: float) -> None:
    if low < -1 - TOLERANCE or high > 1 + TOLERANCE:
        bytes_ = low >= 0 and high <= 255
        raise ArgumentError(
            "images must be in [-1, 1], but those of the loader's first batch are from "
            f"{low:.4g} to {high:.4g}: "
            + ("use x / 127.5 - 1" if bytes_ else "scale them before they are batched")
        )
    if low >= 0 and high > 0:
        rank_zero_warn(
            f"the images of the loader's first batch are from {low:.4g} to {high:.4g}, and should "
            "be in [-1, 1]: if they are in [0, 1], use 2 * x - 1"
        )


def _look_at_labels(given: Tensor, y: Tensor, num_classes: int) -> None:
    if given.dim() == 2 and given.shape[1] == num_classes > 1:
        hot = torch.nn.functional.one_hot(y, num_classes)
        if not torch.equal(given.double(), hot.double()):
            raise ArgumentError(
                f"labels of shape {tuple(given.shape)} must be one-hot: one 1 in each row, else 0"
            )
        return
    if given.is_floating_point() and not torch.equal(given.flatten(), given.flatten().round()):
        raise ArgumentError("labels must be whole numbers")
    low, high = torch.stack(torch.aminmax(y)).tolist()
    if low < 0 or high >= num_classes:
        hint = ": subtract 1" if low == 1 and high == num_classes else ""
        raise ArgumentError(
            f"labels must be from 0 to {num_classes - 1}, but those of the loader's first batch "
            f"are from {low} to {high}{hint}"
        )


def _hint_at_layout(given: tuple[int, ...], shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and given == (*shape[1:], shape[0]):
        return ": channels come first, use x.permute(0, 3, 1, 2)"
    return ""


def _kind(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__
