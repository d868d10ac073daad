"""Names of scores, selection of metrics, and the minimum number of samples."""

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
def test_full_names_state_the_protocol(arguments, name):
    assert full_name(*arguments) == name
    assert is_full_name(name) == (len(arguments) > 2)


@pytest.mark.parametrize(
    "name", ["loss/critic", "score/real", "step", "diverged", "fid", "is_there", "k", "fid_50k"]
)
def test_other_names_are_not_full_names_of_scores(name):
    assert not is_full_name(name)


def test_both_names_of_a_distance_select_it_once():
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
    ("requested", "network", "message"),
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
def test_metrics_not_defined_for_the_extractor_are_rejected(requested, network, message):
    with pytest.raises(ArgumentError, match=message):
        resolve_metrics(requested, network)


def test_measures_return_every_metric_they_name():
    scores = compute_scores(MEASURES, features(20), features(20, seed=1))
    assert tuple(scores) == METRIC_NAMES
    assert scores["is"] == pytest.approx(1)  # all logits are equal


@pytest.mark.parametrize(
    ("metric", "minimum"), [("fd", 2), ("is", 10), ("recall", 6), ("density", 6)]
)
def test_too_few_samples_are_rejected_with_the_name_of_the_metric(metric, minimum):
    (measure,) = select_measures(MEASURES, [metric])
    assert metric in compute_scores([measure], features(minimum), features(minimum, seed=1))
    with pytest.raises(
        TooFewSamplesError, match=f"{metric}.*: at least {minimum} generated samples"
    ):
        compute_scores([measure], features(30), features(minimum - 1))


def test_only_metrics_that_use_real_samples_need_them():
    (score,), (distance,) = (select_measures(MEASURES, [name]) for name in ("is", "fd"))
    assert compute_scores([score], features(0), features(10))["is"] == pytest.approx(1)
    with pytest.raises(
        TooFewSamplesError, match="fd: at least 2 real samples are needed, but there are 1"
    ):
        compute_scores([distance], features(1), features(10))


def test_a_distance_needs_more_samples_than_features():
    assert too_few_warning(2049, 2048) is None
    assert "2,048 images are too few for 2,048 features" in too_few_warning(2048, 2048)
