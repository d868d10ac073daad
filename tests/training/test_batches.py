"""Batches of a user's own loaders."""

from collections import UserDict

import pytest
import torch
from helpers import CLASSES, IMAGE, VECTOR, differences, given, samples, techniques, tiny, train
from torch.utils.data import DataLoader, TensorDataset

from gan_lightning import Trainer
from gan_lightning.callbacks import Evaluate
from gan_lightning.utils.errors import ArgumentError

X, Y = samples(IMAGE, 12)
POINTS, _ = samples(VECTOR, 12)
BYTES = (X * 127.5 + 127.5).round().byte()


def weights(batch, num_classes=CLASSES, shape=IMAGE, **options):
    """The weights after two updates on a batch."""
    torch.manual_seed(0)
    model = tiny("dcgan", shape, num_classes)
    train(model, DataLoader([batch, batch], batch_size=None), 2, **options)
    return model.state_dict()


@pytest.mark.parametrize(
    ("batch", "plain"),
    [
        ((BYTES, Y), (BYTES.float() / 127.5 - 1, Y)),
        ((X.double(), Y), (X, Y)),
        ((X.half(), Y), (X.half().float(), Y)),
        ((X.bfloat16(), Y), (X.bfloat16().float(), Y)),
        ([X, Y[:, None]], (X, Y)),
        ((X, Y.byte()), (X, Y)),
        ((X, Y.int()), (X, Y)),
        ((X, Y.float()), (X, Y)),
        ((X, torch.nn.functional.one_hot(Y, CLASSES)), (X, Y)),
        ((X, torch.nn.functional.one_hot(Y, CLASSES).double()), (X, Y)),
        ((X, torch.nn.functional.one_hot(Y, CLASSES).bool()), (X, Y)),
    ],
    ids=lambda batch: " ".join(f"{tuple(t.shape)} {t.dtype}".removeprefix("torch.") for t in batch),
)
def test_what_is_unambiguous_is_converted(batch, plain):
    assert differences(weights(batch), weights(plain)) == []


@pytest.mark.parametrize("batch", [POINTS, (POINTS,), [POINTS], [POINTS, None], (POINTS, Y)])
def test_without_classes_a_batch_needs_no_labels(batch):
    loader = DataLoader([batch, batch], batch_size=None, collate_fn=lambda each: each)
    torch.manual_seed(0)
    model = tiny("dcgan")
    train(model, loader, 2)
    assert differences(model.state_dict(), weights((POINTS, None), 0, VECTOR)) == []


@pytest.mark.parametrize("samples_key", ["image", "images", "img", "pixel_values", "x"])
@pytest.mark.parametrize("labels_key", ["label", "labels", "y"])
def test_a_batch_may_be_a_dictionary(samples_key, labels_key):
    batch = {"id": list("abcdefghijkl"), labels_key: Y, samples_key: X}
    assert differences(weights(batch), weights((X, Y))) == []


@pytest.mark.parametrize("batch", [{"x": POINTS}, {"x": POINTS, "y": None}, {"x": POINTS, "y": Y}])
def test_without_classes_a_dictionary_needs_no_labels(batch):
    assert differences(weights(batch, 0, VECTOR), weights((POINTS, None), 0, VECTOR)) == []


def test_a_mapping_of_another_library_is_a_dictionary():
    batch = UserDict(pixel_values=BYTES, labels=Y)
    loader = DataLoader([batch], batch_size=None, collate_fn=lambda each: each)
    torch.manual_seed(0)
    model = tiny("dcgan", IMAGE, CLASSES)
    train(model, loader, 1)
    torch.manual_seed(0)
    other = tiny("dcgan", IMAGE, CLASSES)
    train(other, given((BYTES, Y)), 1)
    assert differences(model.state_dict(), other.state_dict()) == []


@pytest.mark.parametrize("name", techniques("dcgan"))
def test_every_technique_trains_on_dictionaries(name):
    rows = [{"image": image, "label": label} for image, label in zip(BYTES, Y, strict=True)]
    train(tiny(name, IMAGE), DataLoader(rows, 12), 2)


@pytest.mark.slow
def test_a_compiled_iteration_trains_on_dictionaries():
    def trained(batch):
        torch.manual_seed(0)
        model = tiny("dcgan", IMAGE, CLASSES, compile=True)
        train(model, given(batch), 2)
        return model.state_dict()

    assert differences(trained({"image": BYTES, "label": Y}), trained((BYTES, Y))) == []


def test_the_loader_of_a_tensor_data_set_needs_no_labels():
    train(tiny("dcgan"), DataLoader(TensorDataset(POINTS), 4), 2)


def test_whole_numbers_are_points():
    points = torch.arange(24).view(12, 2)
    assert (
        differences(weights((points, Y), 3, VECTOR), weights((points.float(), Y), 3, VECTOR)) == []
    )


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            (BYTES.float(), Y),
            r"but .* are from [0-9.]+ to 25[0-9.]+: use x / 127.5 - 1",
        ),
        ((X * 3, Y), r"must be in \[-1, 1\], but .* scale them before they are batched"),
        ((BYTES.int(), Y), r"or uint8 from 0 to 255; the batch holds torch.int32"),
        ((X.permute(0, 2, 3, 1).clone(), Y), r"channels come first, use x.permute\(0, 3, 1, 2\)"),
        ((X / 0, Y), "samples that are not finite"),
        ((X * torch.nan, Y), "samples that are not finite"),
        ((X.tolist(), Y), "samples of a batch must be a tensor, not a list of 12"),
        ((X, Y.tolist()), "labels of a batch must be a tensor, not a list of 12"),
        ((X, Y + 1), "labels must be from 0 to 2, but .* are from 1 to 3: subtract 1"),
        ((X, Y - 1), "labels must be from 0 to 2, but .* are from -1 to 1"),
        ((X, Y + 0.5), "labels must be whole numbers"),
        ((X, X[:, 0, 0, :CLASSES]), "must be one-hot: one 1 in each row"),
        ((X, torch.eye(5)[Y]), r"or one-hot \(12, 3\); the batch holds \(12, 5\)"),
        ((X, Y[:5]), r"labels must be of shape \(12,\)"),
        ((X, Y.to(torch.complex64)), r"labels must be of shape \(12,\)"),
        ((X, None), "the model has 3 classes, the batch has no labels"),
        ({"image": X}, "the model has 3 classes, the batch has no labels"),
        ({"image": X.tolist(), "label": Y}, "must be a tensor, not a list of 12"),
        ({"image": X, "label": Y + 1}, "labels must be from 0 to 2, but .* are from 1 to 3"),
        ({"image": X, "x": X, "y": Y}, "one key for the samples; .* dictionary with image and x"),
        ({"image": X, "label": Y, "y": Y}, "one key for the labels; .* with label and y"),
        ({"pixels": X, "y": Y}, "one of the keys image, images, .*; the loader gives pixels, y"),
        ((X, Y, Y), r"must be x, \(x,\), \(x, y\), .*; the loader gives a (tuple|list) of 3"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(batch, message):
    with pytest.raises(ArgumentError, match=message) as error:
        train(tiny("dcgan", (1, 8, 8), CLASSES), given(batch), 1)
    assert "\n" not in str(error.value)


def test_images_between_0_and_1_are_warned_of_once():
    batch = (X / 2 + 0.5, Y)
    with pytest.warns(UserWarning, match=r"if they are in \[0, 1\], use 2 \* x - 1") as warned:
        weights(batch)
    assert sum("2 * x - 1" in str(each.message) for each in warned) == 1


@pytest.mark.parametrize("batch", [(X, Y), (BYTES, Y), (X * 1.05, Y), (X * 0 - 1, Y)])
def test_images_in_range_are_not_warned_of(batch, recwarn):
    weights(batch)
    assert not any("be in [-1, 1]" in str(each.message) for each in recwarn)


@pytest.mark.parametrize("metrics", ["fd", "is"])
def test_real_samples_of_any_form_are_scored_alike(metrics, tmp_path):
    def score(batch):
        torch.manual_seed(0)
        evaluate = Evaluate("digits_cnn", metrics=metrics, num_samples=80, cache_dir=None)
        trainer = Trainer(
            default_root_dir=tmp_path, callbacks=[evaluate], accelerator="cpu", logger=False
        )
        (scores,) = trainer.validate(tiny("dcgan", IMAGE, CLASSES), given(batch), verbose=False)
        return scores

    x, y = samples(IMAGE, 80)
    x = ((x * 127.5 + 127.5).round() / 127.5 - 1).float()
    labels = torch.nn.functional.one_hot(y, CLASSES)
    assert score((x, y)) == score(((x * 127.5 + 127.5).round().byte(), labels))
    assert score((x, y)) == score((x.double(), y[:, None].float()))
    assert score((x, y)) == score({"image": x, "label": y})


@pytest.mark.parametrize("loop", ["fit", "validate", "test"])
def test_each_loop_looks_at_its_first_batch(loop, tmp_path):
    wrong, right = given((BYTES.float(), None)), given((X, None))
    trainer = Trainer(
        default_root_dir=tmp_path,
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    model = tiny("dcgan", IMAGE)
    with pytest.raises(ArgumentError, match=r"are from .* use x"):
        getattr(trainer, loop)(model, wrong)
    if loop == "fit":
        with pytest.raises(ArgumentError, match=r"are from .* use x"):
            trainer.fit(model, right, wrong)
