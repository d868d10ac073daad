"""The generators that come with the package: they are what the index says, and as good."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers import SILENT

import gan_lightning
from benchmarks.protocol import ROOT
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import read_record
from benchmarks.weights import NAMED
from gan_lightning import Trainer, list_pretrained, load, pretrained
from gan_lightning.callbacks import Evaluate
from gan_lightning.data import Digits
from gan_lightning.metrics import score
from gan_lightning.pretrained import FOLDER, find_pretrained, sha256_of
from gan_lightning.sharing import read_config
from gan_lightning.training.checkpoints import as_tuple
from gan_lightning.utils.errors import WrongFileError

NAMES = list_pretrained()
DIGITS = [name for name in NAMES if name.startswith("digits/")]
#: Relative: another processor rounds other samples to other grey levels.
TOLERANCE = 0.005


def test_all_that_the_program_makes_are_there():
    assert list(NAMES) == list(NAMED)
    assert {path.parent.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.json")} == {
        *(".", *NAMES)
    }
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    assert size < 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_the_index_is_true_of_the_files(name):
    weights, folder = NAMES[name], FOLDER / name
    assert weights.sha256 == sha256_of(folder)
    config = read_config(folder)
    assert (weights.technique, weights.updates, weights.images) == (
        *(config.technique, config.updates, config.images),
    )
    assert weights.scores == config.facts.scores
    assert (weights.license, weights.data_license) == (
        *(config.facts.license, config.facts.data_license),
    )
    protocol = PROTOCOLS[weights.protocol]
    assert list(weights.scores) == [protocol.distance, protocol.score]
    assert weights.protocol_version == protocol.version
    assert weights.row in {row.key for row in protocol.rows}
    card = (folder / "README.md").read_text()
    assert f"{weights.scores[protocol.distance]:.4g}" in card


@pytest.mark.parametrize("name", [name for name in NAMES if NAMES[name].record])
def test_the_record_is_of_such_a_run(name):
    weights = NAMES[name]
    record = read_record(ROOT / weights.record)
    assert (record.protocol, record.protocol_version, record.seed, record.technique) == (
        *(weights.protocol, weights.protocol_version, weights.seed, weights.technique),
    )
    trained, ours = record.config["model"]["init_args"], load(name).hparams
    assert {key: as_tuple(ours[key]) for key in trained} == {
        key: as_tuple(value) for key, value in trained.items()
    }
    # Another processor, or version of torch, gives other bits: as good a generator, not the same.
    ratio = weights.scores[record.distance] / record.last[record.distance]
    assert 0.5 < ratio < 2


@pytest.mark.parametrize("name", DIGITS)
def test_the_scores_of_digits_are_those_of_the_index(name, tmp_path):
    model = load(name)
    data = Digits(conditional=model.num_classes > 0)
    evaluate = Evaluate(cache_dir=None)
    trainer = Trainer(**SILENT, callbacks=[evaluate], default_root_dir=tmp_path)
    (found,) = trainer.validate(model, data, verbose=False)
    for metric, value in NAMES[name].scores.items():
        assert found[metric] == pytest.approx(value, rel=TOLERANCE)


@pytest.mark.slow
def test_the_inception_score_of_fashion_is_that_of_the_index():
    """On the classifier of the protocol; its distance needs the data, which are not here."""
    weights = NAMES["fashion_mnist/dcgan"]
    found = score(
        None,
        load("fashion_mnist/dcgan"),
        ["is"],
        extractor="classifier",
        weights=ROOT / "benchmarks" / "extractors" / "fashion_mnist.pt",
        num_samples=10_000,
        batch_size=250,
    )
    (value,) = found.values()
    expected = weights.scores["is10k_fashion_mnist_0495fd30"]
    assert value == pytest.approx(expected, rel=TOLERANCE)


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_images_that_vary(name):
    model = load(name)
    x = model.sample(20)
    assert x.shape == (20, *model.shape)
    assert x.flatten(1).std(dim=0).mean() > 0.1
    assert torch.equal(
        load(name).sample(z=(z := model.draw_latents(2)), y=_labels(model)),
        (model.sample(z=z, y=_labels(model))),
    )


def _labels(model):
    return torch.zeros(2, dtype=torch.int64) if model.num_classes else None


@pytest.mark.parametrize("spelling", ["digits/dcgan", "Digits/DCGAN", "fashion-mnist/dcgan"])
def test_a_name_is_found_in_any_spelling(spelling):
    assert find_pretrained(spelling) == spelling.lower().replace("-", "_")


@pytest.mark.parametrize("name", ["dcgan", "digits", "../digits/dcgan", "digits/dcgan/", ""])
def test_other_names_are_not_found(name):
    assert find_pretrained(name) is None


def test_a_wrong_name_is_answered_with_those_there_are():
    with pytest.raises(WrongFileError, match="did you mean digits/dcgan") as raised:
        load("digits/dcgn")
    assert str(raised.value).startswith("there is no file digits/dcgn, and there is no generator")
    assert all(name in str(raised.value) for name in NAMES)


def test_a_path_goes_before_a_name():
    load("digits/biggan").save_pretrained("digits/dcgan")
    assert type(load("digits/dcgan")) is gan_lightning.BigGAN


def test_a_file_that_changed_is_refused(tmp_path, monkeypatch):
    shutil.copytree(FOLDER, tmp_path / "weights")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "weights")
    weights = tmp_path / "weights" / "digits" / "dcgan" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(WrongFileError, match="is not the file that came with the package"):
        load("digits/dcgan")
    weights.unlink()
    with pytest.raises(WrongFileError, match="is not the file that came with the package"):
        load("digits/dcgan")


def test_the_index_is_plain_json():
    index = json.loads(Path(pretrained.INDEX).read_text())
    assert list(index) == list(NAMES)
