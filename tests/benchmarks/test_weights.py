"""The program that makes the generators that come with the package."""

import json

import pytest
import torch

from benchmarks import weights
from benchmarks.weights import NAMED, Weights, command_line
from gan_lightning import load
from gan_lightning.pretrained import Pretrained, sha256_of


@pytest.mark.parametrize("name", NAMED)
def test_the_command_line_is_the_protocols_with_the_changes_last(name, tmp_path):
    entry = NAMED[name]
    protocol, row = entry.parts()
    arguments = command_line(name, entry, tmp_path, str(tmp_path / "data"))
    expected = [*protocol.config_arguments(row), *protocol.command_line(row)]
    assert arguments[: 1 + len(expected)] == ["fit", *expected]
    changes = [f"--{option}" for option in entry.changes]
    assert arguments[1 + len(expected) :][: len(changes)] == changes
    given = f"--data.data_dir={tmp_path / 'data'}"
    assert (given in arguments) == name.startswith("fashion_mnist")


def test_an_unknown_name_is_answered_in_one_line():
    with pytest.raises(SystemExit, match="no generator digits/dcgn: did you mean digits/dcg"):
        weights.main(["digits/dcgn"])


@pytest.fixture
def short(monkeypatch):
    """The name of a generator that takes little time."""
    options = ("model.generator_width=8", "evaluate.num_samples=50", "data.batch_size=4")
    monkeypatch.setitem(NAMED, "digits/short", Weights("digits", "dcgan", 4, options))
    return "digits/short"


@pytest.mark.slow
def test_a_generator_is_trained_scored_and_exported(short, tmp_path, capfd):
    work, output = tmp_path / "work", tmp_path / "weights"
    arguments = [short, f"--work={work}", f"--output={output}"]
    weights.main(arguments)
    index = json.loads((output / "index.json").read_text())
    entry = Pretrained(**index[short])
    assert (entry.updates, entry.images, entry.record) == (4, 16, "")
    assert entry.options[-2:] == ["trainer.max_steps=4", "trainer.val_check_interval=1"]
    assert set(entry.scores) == {"fd50_digits_cnn", "is50_digits_cnn"}
    assert entry.sha256 == sha256_of(output / short)
    card = (output / short / "README.md").read_text()
    assert "python -m benchmarks.weights digits/short repeats it: protocol digits" in card
    run = load(work / short / "version_0")
    z = run.draw_latents(3)
    assert torch.equal(load(output / short).sample(z=z), run.sample(z=z))
    # What is finished is not trained again, and is written the same.
    capfd.readouterr()
    before = dict(entry.sha256)
    weights.main(arguments)
    assert "Trainer.fit" not in capfd.readouterr().out
    assert sha256_of(output / short) == before


@pytest.mark.slow
def test_the_same_run_gives_the_same_file(short, tmp_path):
    sums = []
    for name in ("first", "second"):
        work, output = tmp_path / name, tmp_path / f"{name} weights"
        weights.main([short, f"--work={work}", f"--output={output}"])
        sums.append(sha256_of(output / short))
    assert sums[0] == sums[1]


@pytest.mark.slow
def test_a_run_that_fails_is_told(short, tmp_path, monkeypatch):
    monkeypatch.setitem(NAMED, short, Weights("digits", "dcgan", 4, ("model.latent_dim=0",)))
    with pytest.raises(SystemExit) as exited:
        weights.main([short, f"--work={tmp_path}", f"--output={tmp_path}"])
    message = str(exited.value)
    assert message.startswith("benchmarks.weights: digits/short failed with exit code 2: ")
    assert "latent_dim must be at least 1" in message
