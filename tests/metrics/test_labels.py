"""Labels in the proportion of the classes."""

import pytest
import torch

from gan_lightning.metrics.labels import count_labels, labels_in_proportion
from gan_lightning.utils.errors import ArgumentError


@pytest.mark.parametrize(
    ("counts", "n", "expected"),
    [
        ([6, 182, 10], 198, [6, 182, 10]),
        ([6, 182, 10], 396, [12, 364, 20]),
        ([1, 1, 1], 4, [2, 1, 1]),
        ([5, 0, 4], 4, [2, 0, 2]),
        ([100, 1, 0], 10, [10, 0, 0]),
        ([5_000_000_000, 5_000_000_000], 50_000, [25_000, 25_000]),
    ],
)
def test_labels_have_the_proportion_of_the_counts(counts, n, expected):
    labels = labels_in_proportion(torch.tensor(counts), n)
    assert labels.bincount(minlength=len(counts)).tolist() == expected


def test_labels_are_counted_for_every_class():
    assert count_labels(torch.tensor([3, 1, 3]), 5).tolist() == [0, 1, 0, 2, 0]
    assert count_labels(torch.zeros(0, dtype=torch.int64), 2).tolist() == [0, 0]


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_label_of_no_class_is_refused(wrong):
    with pytest.raises(ArgumentError, match=f"labels must be from 0 to 2, got {wrong}"):
        count_labels(torch.tensor([0, wrong]), 3)
