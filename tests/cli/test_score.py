"""``gan-lightning score``: scores of two folders, and messages about unsuitable arguments."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch_fidelity
from formats import encoded, picture
from PIL import Image
from torchvision import models

from gan_lightning.cli.program import main
from gan_lightning.data import workers as workers_module
from gan_lightning.data.workers import read_ahead
from gan_lightning.metrics import features
from gan_lightning.metrics.classifier import Classifier, Description, save_classifier

SHAPE = (3, 16, 16)


def write(folder, count, seed, size=16, noise=0):
    folder.mkdir()
    for i in range(count):
        image = picture(size, size, seed * 1000 + i + noise)
        (folder / f"{i:04}.png").write_bytes(encoded(image, "PNG"))
    return folder


@pytest.fixture
def folders(tmp_path):
    return write(tmp_path / "real", 60, seed=0), write(tmp_path / "fake", 40, seed=1)


@pytest.fixture
def classifier(tmp_path):
    """The file of an untrained classifier."""
    torch.manual_seed(0)
    network = Classifier(3, 5)
    path = tmp_path / "classifier.pt"
    save_classifier(network.eval(), Description("shapes", SHAPE, 5, 0.5, {}), path)
    return path


@pytest.fixture
def score(capsys):
    """``score(*arguments)`` returns the printed JSON object."""

    def call(*arguments):
        main(["score", "--json", *map(str, arguments)])
        (line,) = capsys.readouterr().out.splitlines()
        return json.loads(line)

    return call


def arguments(real, fake, weights):
    return "--real", real, "--fake", fake, "--extractor", "classifier", "--weights", weights


def test_every_score_is_named_after_its_network(score, folders, classifier):
    scores = score(*arguments(*folders, classifier))
    names = ["fd", "is", "kd", "precision", "recall", "density", "coverage"]
    digest = hashlib.sha256(classifier.read_bytes()).hexdigest()[:8]
    assert list(scores) == [f"{name}_shapes_{digest}" for name in names]
    fd, inception, _, precision, recall, _, coverage = scores.values()
    assert fd > 0
    assert 1 <= inception <= 5
    assert all(0 <= share <= 1 for share in (precision, recall, coverage))


def test_a_folder_scores_perfectly_against_itself(score, folders, classifier):
    scores = score(*arguments(folders[0], folders[0], classifier))
    fd, _, _, precision, recall, _, coverage = scores.values()
    assert fd == pytest.approx(0, abs=1e-6)
    assert precision == recall == coverage == 1


def test_only_the_requested_metrics_are_computed(score, folders, classifier):
    scores = score(*arguments(*folders, classifier), "--metrics", "kd", "fd")
    assert [name.split("_")[0] for name in scores] == ["kd", "fd"]


def test_scores_do_not_depend_on_the_batch_size_or_on_archives(
    score, folders, classifier, tmp_path
):
    single = score(*arguments(*folders, classifier), "--batch_size", 1)
    batched = score(*arguments(*folders, classifier), "--batch_size", 64)
    assert single == pytest.approx(batched, rel=1e-6)
    archive = shutil.make_archive(str(tmp_path / "fake"), "zip", folders[1])
    assert score(*arguments(folders[0], archive, classifier)) == pytest.approx(batched, rel=1e-6)


def test_images_in_all_sub_folders_count_whatever_their_names(score, tmp_path, folders, classifier):
    combined = tmp_path / "combined"
    combined.mkdir()
    folders[0].rename(combined / "train")
    folders[1].rename(combined / "test")
    separate = score(*arguments(combined / "train", combined / "test", classifier))
    assert score(*arguments(combined, combined / "test", classifier)) != separate


@pytest.mark.slow
def test_fid_and_inception_score_match_torch_fidelity(score, tmp_path, inception_file):
    """Both use the same files, at 32 pixels, and the same untrained weights."""
    real, fake = write(tmp_path / "real", 64, 0, size=32), write(tmp_path / "fake", 50, 1, size=32)
    scores = score(
        "--real", real, "--fake", fake, "--weights", inception_file, "--metrics", "fd", "is"
    )
    reference = torch_fidelity.calculate_metrics(
        input1=str(fake),
        input2=str(real),
        fid=True,
        isc=True,
        feature_extractor_weights_path=str(inception_file),
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
    )
    assert scores["fid"] == pytest.approx(reference["frechet_inception_distance"], rel=1e-4)
    assert scores["is"] == pytest.approx(reference["inception_score_mean"], rel=1e-4)


@pytest.mark.slow
def test_weights_of_a_torchvision_network_can_be_given_as_a_file(score, tmp_path):
    torch.manual_seed(0)
    network = models.resnet18(weights=None)
    torch.save(network.state_dict(), tmp_path / "complete.pt")
    real, fake = write(tmp_path / "real", 12, seed=0), write(tmp_path / "fake", 10, seed=1)
    options = ["--real", real, "--fake", fake, "--extractor", "resnet18"]
    options += ["--metrics", "fd", "--weights"]
    complete = score(*options, tmp_path / "complete.pt")
    # The features do not depend on the classification layer.
    state = {key: x for key, x in network.state_dict().items() if not key.startswith("fc.")}
    torch.save(state, tmp_path / "features.pt")
    assert score(*options, tmp_path / "features.pt") == complete
    assert list(complete) == ["fd_resnet18"]


# Mistakes


def error_line(capsys, *arguments):
    """The one-line error message."""
    with pytest.raises(SystemExit) as exited:
        main(["score", *map(str, arguments)])
    (line,) = capsys.readouterr().err.splitlines()
    assert exited.value.code in (1, 2)
    assert line.startswith("gan-lightning: ")
    return line


BAD_OPTIONS = {
    "--fake: there is no folder nowhere": {"--fake": "nowhere"},
    "there are no images in empty: it is empty": {"--real": "empty"},
    "the classifier none.pt does not exist": {"--weights": "none.pt"},
    "there is no extractor 'resnet1': choose from inception, digits_cnn, classifier": {
        "--extractor": "resnet1"
    },
    "resnet18 needs a file of weights": {"--extractor": "resnet18", "--weights": None},
    "the extractor classifier needs a file": {"--weights": None},
    "few: is: at least 10 generated samples are needed, but there are 3": {
        "--fake": "few",
        "--metrics": "is",
    },
    "recall and density and coverage: at least 6 generated samples": {
        "--fake": "few",
        "--metrics": "recall",
    },
    "one: kd: at least 2 real samples are needed, but there are 1": {
        "--real": "one",
        "--metrics": "kd",
    },
    "fid is defined on Inception": {"--metrics": "fid"},
    "there is no metric 'foo': choose from fd, is": {"--metrics": "foo"},
    "argument --batch_size: invalid int value: 'x'": {"--batch_size": "x"},
    "--batch_size must be at least 1, got 0": {"--batch_size": "0"},
    "--device foo: ": {"--device": "foo"},
    "the following arguments are required: --real": {"--real": None},
    "unrecognized arguments: --reel=x": {"--reel": "x"},
}


@pytest.mark.parametrize("message", BAD_OPTIONS)
def test_a_mistake_gives_a_one_line_message(capsys, folders, classifier, message):
    for name, count in {"empty": 0, "few": 3, "one": 1}.items():
        write(Path(name), count, 9)
    options = (
        dict(zip(*[iter(arguments(*folders, classifier))] * 2, strict=True)) | BAD_OPTIONS[message]
    )
    line = error_line(capsys, *(f"{k}={v}" for k, v in options.items() if v is not None))
    assert message in line


def test_images_of_the_wrong_shape_are_rejected(capsys, folders):
    line = error_line(
        capsys, "--real", folders[0], "--fake", folders[1], "--extractor", "digits_cnn"
    )
    assert "digits_cnn takes images of shape (1, 8, 8), but these have shape (3, 16, 16)" in line


def test_a_tilde_in_a_path_is_expanded(score, folders, classifier, monkeypatch):
    monkeypatch.setenv("HOME", str(folders[0].parent))
    assert score(*arguments("~/real", "~/fake", classifier), "--metrics", "fd")


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04"])
def test_a_file_that_does_not_hold_weights_is_named(capsys, tmp_path, folders, content):
    path = tmp_path / "wrong.pt"
    path.write_bytes(content)
    assert f"{path} is not a classifier" in error_line(capsys, *arguments(*folders, path))
    options = ["--real", folders[0], "--fake", folders[1], "--weights", path]
    assert f"{path} does not hold Inception weights" in error_line(capsys, *options)
    line = error_line(capsys, *options, "--extractor", "resnet18")
    assert f"{path} does not hold weights of resnet18" in line


def test_unreadable_images_are_named_and_counted(capsys, folders, classifier):
    (folders[1] / "0003.png").write_bytes(b"no image")
    main(["score", *map(str, arguments(*folders, classifier))])
    captured = capsys.readouterr()
    assert "1 of 40 images cannot be read: 0003.png (not an image)" in captured.err
    assert "39 generated images against 60 real ones" in captured.out


def test_images_whose_white_is_unknown_are_not_scored(capsys, folders, classifier):
    levels = np.linspace(0, 255, 256, dtype=np.float32).reshape(16, 16)
    Image.fromarray(levels).save(folders[1] / "0003.tif")
    main(["score", *map(str, arguments(*folders, classifier))])
    captured = capsys.readouterr()
    assert "1 of 41 images cannot be read: 0003.tif (levels from 0 to 255, where" in captured.err
    assert "40 generated images against 60 real ones" in captured.out


@pytest.fixture
def grey_folders(tmp_path):
    """Two folders of grey images, and a classifier of these."""
    torch.manual_seed(0)
    path = tmp_path / "grey.pt"
    save_classifier(Classifier(1, 5).eval(), Description("grey", (1, 16, 16), 5, 0.5, {}), path)
    folders = [tmp_path / "real", tmp_path / "fake"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        for i in range(20):
            picture(16, 16, 1000 * seed + i).convert("L").save(folder / f"{i:04}.png")
    return *folders, path


def save_ramp(folder, name, high):
    """Save an image of floats from 0 to ``high``, or the same with 8 bits."""
    levels = np.linspace(0, high, 256, dtype=np.float32).reshape(16, 16)
    if name.endswith("png"):
        levels = (levels * 255).round().astype(np.uint8)
    Image.fromarray(levels).save(folder / name)


@pytest.fixture(params=[0, 2])
def workers(request, monkeypatch):
    monkeypatch.setattr(features, "read_ahead", lambda items, per_worker: read_ahead(items, 8))
    monkeypatch.setattr(workers_module, "WORKERS", request.param)


@pytest.mark.parametrize("bright", ["0000.tif", "0010.tif", "0030.tif"])
@pytest.mark.usefixtures("workers")
def test_dark_images_are_scored_if_one_of_their_folder_is_bright(
    capsys, score, grey_folders, bright
):
    fake = grey_folders[1]
    for name, high in {bright: 1, "0003.tif": 0.2, "0015.tif": 0.1}.items():
        save_ramp(fake, name, high)
    main(["score", *map(str, arguments(*grey_folders))])
    captured = capsys.readouterr()
    assert "23 generated images against 20 real ones" in captured.out
    assert "cannot be read" not in captured.err
    # Draws of images, as of kd, depend on their order.
    options = *arguments(*grey_folders), "--metrics", "fd", "precision", "recall", "coverage"
    found = score(*options)
    for path in list(fake.glob("*.tif")):
        save_ramp(fake, f"{path.stem}_8.png", {"0003": 0.2, "0015": 0.1}.get(path.stem, 1))
        path.unlink()
    assert score(*options) == pytest.approx(found, rel=1e-4)


@pytest.mark.usefixtures("workers")
def test_dark_images_are_not_scored_if_none_of_their_folder_is_bright(capsys, score, grey_folders):
    real, fake, _ = grey_folders
    (fake / "0004.png").write_bytes(b"no image")
    save_ramp(real, "0000.tif", 1)  # in the other folder
    without = score(*arguments(*grey_folders))
    for i in (3, 4, 18):
        save_ramp(fake, f"{i:04}.tif", 0.2)
    capsys.readouterr()
    main(["score", *map(str, arguments(*grey_folders))])
    captured = capsys.readouterr()
    assert "4 of 23 images cannot be read: 0003.tif (levels from 0 to 0.2, where" in captured.err
    assert "19 generated images against 21 real ones" in captured.out
    assert score(*arguments(*grey_folders)) == without


def test_a_folder_of_dark_images_is_refused(capsys, folders, classifier):
    for path in list(folders[1].iterdir()):
        save_ramp(folders[1], f"{path.stem}.tif", 0.2)
        path.unlink()
    options = *arguments(*folders, classifier), "--metrics", "is"
    line = error_line(capsys, *options)
    assert "40 of 40 images cannot be read: 0000.tif (levels from 0 to 0.2, where" in line


def test_scores_do_not_depend_on_how_many_images_fit_into_memory(
    score, folders, classifier, monkeypatch
):
    sizes, before = [], score(*arguments(*folders, classifier))
    whole = features.extract_uint8
    monkeypatch.setattr(features, "BATCH_BYTES", 3 * 16 * 16 * 7)
    monkeypatch.setattr(features, "extract_uint8", lambda e, x: sizes.append(len(x)) or whole(e, x))
    after = score(*arguments(*folders, classifier))
    assert after == pytest.approx(before, rel=1e-6)
    assert sizes == [7] * 8 + [4] + [7] * 5 + [5]
    monkeypatch.setattr(features, "BATCH_BYTES", 1)
    assert score(*arguments(*folders, classifier)) == pytest.approx(before, rel=1e-6)


def test_fewer_images_than_features_are_reported(capsys, folders, classifier):
    main(["score", *map(str, arguments(*folders, classifier))])
    assert f"{folders[1]}: 40 images are too few for 128 features" in capsys.readouterr().err
