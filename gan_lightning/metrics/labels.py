"""The labels that class-conditional models are scored with."""

import torch
from torch import Tensor

from gan_lightning.utils.errors import ArgumentError


def count_labels(y: Tensor, num_classes: int) -> Tensor:
    """The number of labels ``y`` ``(N,)`` of each class, int64 ``(num_classes,)``.

    Raises:
        ArgumentError: a label is of no class.
    """
    wrong = y[(y < 0) | (y >= num_classes)]
    if len(wrong):
        raise ArgumentError(f"labels must be from 0 to {num_classes - 1}, got {wrong[0]:g}")
    return y.bincount(minlength=num_classes)


def labels_in_proportion(counts: Tensor, n: int) -> Tensor:
    """``n`` labels ``(n,)``, in order, of classes in the proportion of ``counts`` ``(K,)``.

    Each class gets its share, rounded down; the rest go to the largest remainders, so that
    ``counts`` that sum to ``n`` are met exactly.
    """
    shares, total = counts * n, int(counts.sum())
    labels = shares // total
    rest = n - int(labels.sum())
    labels[(shares % total).argsort(descending=True, stable=True)[:rest]] += 1
    return torch.arange(len(counts)).repeat_interleave(labels)
