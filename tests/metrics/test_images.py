"""Scores of tensors, folders and models, without a command line."""

import dataclasses
import warnings

import pytest
import torch
from helpers import IMAGE, tiny
from PIL import Image

from gan_lightning import Trainer
from gan_lightning.callbacks import Evaluate
from gan_lightning.data import Digits
from gan_lightning.metrics import (
    fid,
    images,
    inception_score,
    kid,
    load_extractor,
    precision_recall,
    score,
)
from gan_lightning.metrics.images import compare
from gan_lightning.utils.errors import ArgumentError, TooFewSamplesError

EVERY = ["fd", "is", "kd", "precision", "recall", "density", "coverage"]


@pytest.fixture(scope="module")
def digits():
    return Digits().load("train")[0]


def on_digits(real, fake, metrics=None, **options):
    return score(real, fake, metrics, extractor="digits_cnn", **options)


def test_equal_images_are_at_no_distance(digits):
    scores = on_digits(digits[:200], digits[:200])
    assert list(scores) == [f"{name}_digits_cnn" for name in EVERY]
    assert scores["fd_digits_cnn"] == pytest.approx(0, abs=1e-3)
    assert scores["precision_digits_cnn"] == scores["recall_digits_cnn"] == 1


def test_bytes_floats_and_a_folder_of_the_same_images_score_alike(digits, tmp_path):
    fake = digits[100:400]
    for i, image in enumerate(fake):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{i:03}.png")
    metrics = ["fd", "is", "recall"]
    expected = on_digits(digits, fake, metrics)
    assert on_digits(digits, fake.float() / 127.5 - 1, metrics) == pytest.approx(expected, rel=1e-9)
    for path in (tmp_path, str(tmp_path)):
        assert on_digits(digits, path, metrics) == pytest.approx(expected, rel=1e-9)
    assert on_digits(digits, fake, metrics, batch_size=7) == pytest.approx(expected, rel=1e-4)


def test_a_model_scores_as_in_an_evaluation(digits, tmp_path):
    model = tiny("dcgan", IMAGE)
    evaluate = Evaluate(metrics=EVERY, num_samples=300, batch_size=16, cache_dir=None)
    trainer = Trainer(
        accelerator="cpu", callbacks=[evaluate], logger=False, default_root_dir=tmp_path
    )
    (expected,) = trainer.validate(model, Digits(), verbose=False)
    state = torch.get_rng_state()
    scores = on_digits(digits, model, num_samples=300)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in scores.items():
        metric = name.removesuffix("_digits_cnn")
        assert value == pytest.approx(expected[f"{metric}300_digits_cnn"], rel=1e-6), name
    other = on_digits(digits, model, ["fd"], num_samples=300, seed=1)
    assert other["fd_digits_cnn"] != scores["fd_digits_cnn"]


def test_the_scores_on_inception_have_functions(digits, monkeypatch):
    # Inception's weights are not in the package: a small network has its place.
    network = dataclasses.replace(load_extractor("digits_cnn"), name="inception")
    asked = []

    def as_inception(name, weights):
        asked.append((name, weights))
        return network

    monkeypatch.setattr(images, "load_extractor", as_inception)
    real, fake = digits[:300], digits[300:700]
    scores = score(real, fake)
    assert list(scores) == ["fid", "is", "kid", "precision", "recall", "density", "coverage"]
    assert fid(real, fake) == scores["fid"]
    assert kid(real, fake) == scores["kid"]
    assert inception_score(fake) == scores["is"]
    assert precision_recall(real, fake) == (scores["precision"], scores["recall"])
    model = tiny("dcgan", IMAGE)
    assert fid(real, model, num_samples=50, weights="mine.pth") > scores["fid"]
    assert asked[-1] == ("inception", "mine.pth")


def test_floats_without_negative_values_are_told(digits):
    x = digits[:100].float() / 255
    with pytest.warns(UserWarning, match=r"no value below 0: of \[0, 1\] pass 2 x - 1"):
        on_digits(digits[:100], x, ["fd"])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*no value below 0")
        on_digits(digits[:100], 2 * x - 1, ["fd"])


@pytest.mark.parametrize(
    ("fake", "options", "message"),
    [
        (torch.zeros(8, 8), {}, r"images are \(N, C, H, W\), not \(8, 8\)"),
        (torch.zeros(9, 1, 8, 8, dtype=torch.int64), {}, "images are uint8, or float in"),
        (torch.full((9, 1, 8, 8), 255.0), {}, r"these are in \[255, 255\]"),
        ("nowhere", {}, "there is no folder nowhere"),
        ([torch.zeros(1, 8, 8)], {}, "a tensor, a path or a GAN, not builtins.list"),
        (tiny("dcgan", IMAGE), {}, "num_samples is missing"),
        (torch.zeros(20, 1, 8, 8), {"metrics": ["fod"]}, "there is no metric 'fod'"),
        (torch.zeros(20, 1, 8, 8), {"metrics": ["fid"]}, "fid is defined on Inception"),
    ],
)
def test_a_mistake_is_answered_in_one_line(digits, fake, options, message):
    with pytest.raises(ArgumentError, match=message) as raised:
        on_digits(digits, fake, **options)
    assert "\n" not in str(raised.value)


def test_too_few_images_are_named(digits):
    with pytest.raises(TooFewSamplesError, match="the tensor of 3 images: is: at least 10"):
        on_digits(digits, digits[:3], ["is"])
    with pytest.raises(TooFewSamplesError, match="the tensor of 1 images: kd: at least 2 real"):
        on_digits(digits[:1], digits, ["kd"])


def test_real_images_are_needed_for_distances_only(digits):
    assert on_digits(None, digits[:50], ["is"])["is_digits_cnn"] > 1
    with pytest.raises(ArgumentError, match="real images are missing, which fd compare with"):
        on_digits(None, digits[:50], ["fd"])


def test_the_numbers_of_images_are_told(digits):
    sets = images.TensorImages(digits[:70]), images.TensorImages(digits[:50])
    found = compare(*sets, load_extractor("digits_cnn"), torch.device("cpu"), ["fd"])
    assert found[1:] == (70, 50)
