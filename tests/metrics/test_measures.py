"""What scores are called, which can be chosen, and how few samples are too few."""

import pytest
import torch
from torch import nn

from gan_lightning.metrics import Extractor, Features
from gan_lightning.metrics.measures import (
    MEASURES,
    METRIC_NAMES,
    compute_scores,
    full_name,
    is_full_name,
    resolve_metrics,
    select_measures,
    too_few_warning,
)
from gan_lightning.utils.errors import ArgumentError, TooFewSamplesError


def extractor(name, classes=True):
    return Extractor(name, nn.Identity(), 4, classes, "none")


def features(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Features(torch.randn(count, 4, generator=generator), torch.zeros(count, 3))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("fd", "inception", 50_000, "train"), "fid50k_train"),
        (("fd", "inception", 10_000, "test"), "fid10k_test"),
        (("kd", "inception", 1797, "train"), "kid1797_train"),
        (("is", "inception", 50_000, "train"), "is50k"),
        (("precision", "inception", 50_000, "train"), "precision50k_train"),
        (("fd", "mobilenet_v2", 50_000, "train"), "fd50k_mobilenet_v2"),
        (("fd", "mobilenet_v2", 50_000, "test"), "fd50k_mobilenet_v2_test"),
        (("fd", "mobilenet_v2", 50_000, "train5120"), "fd50k_mobilenet_v2_train5120"),
        (("is", "mobilenet_v2", 50_000, "test"), "is50k_mobilenet_v2"),
        (("swd", None, 10_000, "train"), "swd10k_train"),
        (("modes", None, 999, "test"), "modes999"),
        (("fd", "inception", 1000, "val"), "fid1k_val"),
        (("fd", "inception"), "fid"),
        (("is", "inception"), "is"),
        (("coverage", "digits_cnn"), "coverage_digits_cnn"),
    ],
)
def test_a_name_is_its_protocol(arguments, name):
    assert full_name(*arguments) == name
    assert is_full_name(name) == (len(arguments) > 2)


@pytest.mark.parametrize(
    "name", ["loss/critic", "score/real", "step", "diverged", "fid", "is_there", "k", "fid_50k"]
)
def test_other_names_are_not_taken_for_scores(name):
    assert not is_full_name(name)


def test_both_names_of_a_distance_choose_it_once():
    assert resolve_metrics(["fid", "is", "fd", "kid", "is"], extractor("inception")) == [
        "fd",
        "is",
        "kd",
    ]
    assert resolve_metrics(["kd", "coverage"], extractor("mobilenet_v2", False)) == [
        "kd",
        "coverage",
    ]


@pytest.mark.parametrize(
    ("asked", "network", "message"),
    [
        (
            ["fid"],
            extractor("mobilenet_v2"),
            "fid is defined on Inception: with mobilenet_v2 use fd",
        ),
        (["kid"], extractor("digits_cnn"), "kid is defined on Inception: with digits_cnn use kd"),
        (["is"], extractor("dinov2", False), "the metric is needs classes, which dinov2 lacks"),
        (["fdi"], extractor("inception"), "no metric 'fdi': choose from fd, is, kd, precision"),
        (["fid50k_train"], extractor("inception"), "no metric 'fid50k_train': choose from fd"),
        ([], extractor("inception"), "no metric is given: choose from fd, is, kd, precision"),
    ],
)
def test_what_the_extractor_does_not_give_is_refused(asked, network, message):
    with pytest.raises(ArgumentError, match=message):
        resolve_metrics(asked, network)


def test_measures_give_all_that_they_are_called_after():
    found = compute_scores(MEASURES, features(20), features(20, seed=1))
    assert tuple(found) == METRIC_NAMES
    assert found["is"] == pytest.approx(1)  # of logits that are all alike


@pytest.mark.parametrize(
    ("metric", "least"), [("fd", 2), ("is", 10), ("recall", 4), ("density", 6)]
)
def test_too_few_samples_are_refused_by_the_metrics_name(metric, least):
    (measure,) = select_measures(MEASURES, [metric])
    assert metric in compute_scores([measure], features(least), features(least, seed=1))
    with pytest.raises(TooFewSamplesError, match=f"{metric}.*: at least {least} generated samples"):
        compute_scores([measure], features(30), features(least - 1))


def test_real_samples_count_for_what_is_of_them():
    (score,), (distance,) = (select_measures(MEASURES, [name]) for name in ("is", "fd"))
    assert compute_scores([score], features(0), features(10))["is"] == pytest.approx(1)
    with pytest.raises(
        TooFewSamplesError, match="fd: at least 2 real samples are needed, but there are 1"
    ):
        compute_scores([distance], features(1), features(10))


def test_a_distance_needs_more_samples_than_features():
    assert too_few_warning(2049, 2048) is None
    assert "2,048 images are too few for 2,048 features" in too_few_warning(2048, 2048)
