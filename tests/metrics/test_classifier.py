"""The classifier trained on the classes of a data set, and its file."""

import hashlib
import re
from pathlib import Path

import pytest
import torch

from gan_lightning.data import Digits
from gan_lightning.metrics import load_extractor
from gan_lightning.metrics.classifier import load_classifier
from gan_lightning.metrics.train_extractor import _writable_path, main, snake_case
from gan_lightning.utils.errors import WrongFileError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The file of a classifier trained on digits for two epochs."""
    path = tmp_path_factory.mktemp("classifier") / "digits.pt"
    main(["--data", "Digits", "--epochs", "2", "--output", str(path)])
    return path


@pytest.mark.slow
def test_it_learns_the_classes(tmp_path):
    path = tmp_path / "digits.pt"
    main(["--data", "Digits", "--epochs", "10", "--output", str(path)])
    assert load_classifier(path)[1].accuracy > 0.9


def test_its_file_records_the_accuracy_and_the_classes(trained):
    network, description = load_classifier(trained)
    x, y = Digits().load("test")
    accuracy = (network(x)[1].argmax(dim=1) == y).float().mean().item()
    assert description.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert (description.name, description.shape, description.classes) == ("digits", (1, 8, 8), 10)


def test_its_file_records_how_to_train_it_again_but_no_paths(trained):
    config = load_classifier(trained)[1].config
    assert (config["data"], config["epochs"], config["seed"]) == ("Digits", 2, 0)
    assert config["init_args"]["conditional"] is True
    assert str(trained.parent) not in str(config)


def test_training_is_reproducible_to_the_byte_and_depends_on_the_seed(tmp_path):
    files = []
    for name, seed in (("one", "0"), ("other-name", "0"), ("other-seed", "1")):
        torch.rand(7)
        files.append(tmp_path / f"{name}.pt")
        main(["--data", "Digits", "--epochs", "1", "--seed", seed, "--output", str(files[-1])])
    first, again, another = (path.read_bytes() for path in files)
    assert first == again
    assert first != another


def test_as_an_extractor_it_returns_features_and_logits(trained):
    extractor = load_extractor("classifier", trained)
    features, logits = extractor.network(Digits().load("train")[0][:3])
    assert (features.shape, logits.shape) == ((3, 128), (3, 10))
    name = f"digits_{hashlib.sha256(trained.read_bytes()).hexdigest()[:8]}"
    assert (extractor.name, extractor.classes) == (name, True)
    assert extractor.shape == (1, 8, 8)
    assert not extractor.network.training


def test_a_fit_can_be_scored_with_it(trained, fit, metrics):
    run = fit(
        "--model=DCGAN",
        "--model.generator_width=8",
        "--model.critic_width=8",
        "--data=Digits",
        "--trainer.max_steps=2",
        "--evaluate.extractor=classifier",
        f"--evaluate.weights={trained}",
    )
    name = f"fd1797_{load_extractor('classifier', trained).name}"
    assert [row[name] > 0 for row in metrics(run).values()] == [True, True]


def test_images_of_another_shape_are_rejected_before_training(trained, capfd, fit):
    with pytest.raises(SystemExit):
        fit(
            "--model=DCGAN",
            "--data=Digits",
            "--data.size=16",
            "--evaluate.extractor=classifier",
            f"--evaluate.weights={trained}",
        )
    message = r"digits_\w{8} takes images of shape \(1, 8, 8\), but these have shape \(1, 16, 16\)"
    assert re.search(message, capfd.readouterr().err)


def test_a_truncated_or_changed_file_is_rejected(trained, tmp_path):
    content = torch.load(trained, weights_only=True)
    path = tmp_path / "changed.pt"
    for change in ({"format": "another"}, {"classes": 3}, {"more": 1}, {"state": {}}):
        torch.save(content | change, path)
        with pytest.raises(WrongFileError, match=f"{path} is not a classifier"):
            load_classifier(path)
    path.write_bytes(trained.read_bytes()[:-100])
    with pytest.raises(WrongFileError, match=f"{path} is not a classifier"):
        load_classifier(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "Ring"], "Ring has no labelled images"),
        (["--data", "SwissRoll"], "SwissRoll has no labels"),
        (["--data", "ImageFolder", "--data.data_dir", "nowhere"], "there is no folder nowhere"),
        (["--data", "Digits", "--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--data", "Digits", "--output", "."], "--output . is a folder: pass the path of a file"),
        (["--data", "Digits", "--output", "file/a.pt"], "--output file/a.pt cannot be written"),
    ],
)
def test_unusable_data_or_arguments_give_a_one_line_message(capsys, arguments, message):
    Path("file").write_text("a file")
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    error = capsys.readouterr().err
    assert exited.value.code == 2
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("name", "snake"),
    [("FashionMNIST", "fashion_mnist"), ("CIFAR10", "cifar10"), ("ImageFolder", "image_folder")],
)
def test_scores_are_named_after_the_data(name, snake):
    assert snake_case(name) == snake


def test_a_file_beside_the_output_stays(tmp_path):
    (tmp_path / "a.part").write_text("mine")
    assert _writable_path(tmp_path / "a.pt") == tmp_path / "a.pt"
    assert [path.name for path in tmp_path.iterdir()] == ["a.part"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: data"),
        (["--data=Digts"], "--data: there is no class Digts: did you mean Digits?"),
        (["--data=Digits", "--epochs=many"], "--epochs: expected int, got many"),
        (["--data=ImageFolder", "--data.data_dir=nowhere"], "--data: there is no folder nowhere"),
    ],
)
def test_a_mistake_is_answered_in_one_line_without_the_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gan_lightning.metrics.train_extractor: {message}")
