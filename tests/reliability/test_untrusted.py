"""Untrusted files: they run no code, reach no other files, and their text stays text."""

import copy
import dataclasses
import gzip
import http.server
import io
import json
import os
import pickle
import re
import shutil
import socket
import stat
import struct
import sys
import tarfile
import threading
import warnings
import zipfile
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from formats import WRITERS, encoded, picture
from helpers import SILENT, given, samples, tiny
from PIL import EpsImagePlugin, Image, PngImagePlugin
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torchvision import models

from benchmarks import reproduce
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import (
    Record,
    read_record,
    read_records,
    record_path,
    write_atomically,
    write_record,
)
from benchmarks.render import command as render
from benchmarks.render.markdown import escape_markdown
from benchmarks.render.table import rows
from gan_lightning import data, load
from gan_lightning.cli.program import main
from gan_lightning.data import cache, mnist, pixels, sources
from gan_lightning.data.huggingface import _ColumnSource
from gan_lightning.data.pixels import ImageTransform, UnreadableImageError
from gan_lightning.data.sources import FolderSource, ZipSource
from gan_lightning.metrics import extractors, load_extractor
from gan_lightning.metrics.classifier import Classifier, Description, save_classifier
from gan_lightning.metrics.features import Features
from gan_lightning.metrics.statistics import read_statistics, statistics_path, write_statistics
from gan_lightning.metrics.train_extractor import main as train_extractor
from gan_lightning.training.checkpoints import AtomicCheckpointIO
from gan_lightning.utils.errors import MissingFileError, UserError, WrongFileError


class Payload:
    """Creates a folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.fixture
def marker(tmp_path):
    """A folder that must not exist at the end."""
    path = tmp_path / "the payload ran"
    yield path
    assert not path.exists()


def _in_zip(content, path):
    torch.save(content, path)


def _as_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def _as_pickle(content, path):
    path.write_bytes(pickle.dumps(content))


def _in_torchscript(content, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Identity()), str(path))
    # TorchScript writes no such pickles itself.
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, pickle.dumps(content) if name.endswith(".pkl") else member)


KINDS = {
    "zip": _in_zip,
    "legacy": _as_legacy,
    "pickle": _as_pickle,
    "torchscript": _in_torchscript,
}


def _stopped(capsys, *arguments):
    """The one line that the command line exits with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, arguments)])
    assert stopped.value.code in (1, 2)
    lines = [line for line in capsys.readouterr().err.splitlines() if "gan-lightning:" in line]
    assert len(lines) == 1
    return lines[0]


# Checkpoints

TRAIN = (
    *("--model=DCGAN", "--data=Ring", "--model.generator_width=8", "--model.critic_width=8"),
    *("--trainer.max_steps=1", "--trainer.accelerator=cpu", "--evaluate.extractor=auto"),
    *("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_load_runs_no_code_of_a_checkpoint(tmp_path, marker, kind):
    path = tmp_path / "evil.ckpt"
    KINDS[kind]({"state_dict": Payload(marker), "technique": "gan_lightning.DCGAN"}, path)
    with pytest.raises(Exception):  # noqa: B017, PT011  (the test below checks which one)
        load(path)


@pytest.mark.parametrize("kind", KINDS)
def test_load_names_a_checkpoint_that_it_rejects(tmp_path, marker, kind):
    path = tmp_path / "evil.ckpt"
    KINDS[kind]({"state_dict": Payload(marker)}, path)
    with pytest.raises(UserError, match=r"evil\.ckpt"):
        load(path)


@pytest.mark.parametrize(
    ("command", "kind"),
    [*(("fit", kind) for kind in KINDS), ("validate", "zip"), ("test", "zip"), ("predict", "zip")],
)
def test_the_command_line_runs_no_code_of_a_checkpoint(tmp_path, marker, capsys, command, kind):
    path = tmp_path / "evil.ckpt"
    KINDS[kind]({"state_dict": Payload(marker)}, path)
    assert "evil.ckpt" in _stopped(capsys, command, *TRAIN, "--ckpt_path", path)


def test_no_environment_variable_lets_a_checkpoint_run_code(tmp_path, marker, monkeypatch):
    path = tmp_path / "evil.ckpt"
    _in_zip({"state_dict": Payload(marker)}, path)
    monkeypatch.setenv(extractors.FORCE_NO_WEIGHTS_ONLY, "1")
    try:
        with pytest.raises(UserError):
            AtomicCheckpointIO().load_checkpoint(path)
    finally:
        ran = marker.exists() and not marker.rmdir()
    assert not ran


def test_a_checkpoint_at_a_url_runs_no_code(tmp_path, marker, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    folder = tmp_path / "served"
    folder.mkdir()
    _in_zip({"state_dict": Payload(marker)}, folder / "evil.ckpt")

    class Silent(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            with pytest.raises(UserError):
                AtomicCheckpointIO().load_checkpoint(
                    f"http://127.0.0.1:{server.server_port}/evil.ckpt"
                )
        finally:
            server.shutdown()
            ran = marker.exists() and not marker.rmdir()
    assert not ran


def test_the_command_line_accepts_no_url_of_a_checkpoint(capsys):
    url = "http://127.0.0.1:9/evil.ckpt"
    assert "there is no file" in _stopped(capsys, "fit", *TRAIN, "--ckpt_path", url)


def _trained(folder, max_steps=1, ckpt_path=None):
    model_checkpoint = ModelCheckpoint(dirpath=folder, filename="{step}", every_n_train_steps=1)
    arguments = SILENT | {"enable_checkpointing": True, "max_steps": max_steps}
    trainer = pl.Trainer(callbacks=[model_checkpoint], **arguments)
    trainer.fit(tiny("dcgan"), given(samples()), ckpt_path=ckpt_path)
    return Path(model_checkpoint.best_model_path)


@pytest.mark.parametrize("where", ["local://{victim}", "file://{victim}", "{folder}/../victim"])
@pytest.mark.parametrize("key", ["best_model_path", "last_model_path"])
def test_a_checkpoint_cannot_delete_other_files(tmp_path, key, where):
    folder, victim = tmp_path / "checkpoints", tmp_path / "victim"
    victim.mkdir()
    (victim / "file").touch()
    first = _trained(folder)
    checkpoint = torch.load(first, weights_only=True)
    (state,) = checkpoint["callbacks"].values()
    state[key] = where.format(victim=victim, folder=folder)
    evil = tmp_path / "evil.ckpt"
    torch.save(checkpoint, evil)
    _trained(folder, 3, evil)
    assert (victim / "file").is_file()


def test_a_resumed_run_still_deletes_its_own_checkpoint(tmp_path):
    folder = tmp_path / "checkpoints"
    torch.save(torch.load(_trained(folder), weights_only=True), tmp_path / "copy.ckpt")
    last = _trained(folder, 2, tmp_path / "copy.ckpt")
    assert list(folder.iterdir()) == [last]


def deflated(path):
    """A file of torch again, with the members of its archive compressed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return path


def overlapping(path):
    """A file of torch again, whose largest member has nine more names."""
    with zipfile.ZipFile(path, "a") as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
        for i in range(9):
            other = copy.copy(largest)
            other.filename += str(i)
            archive.filelist.append(other)
        archive.writestr("end", b"")
    return path


@pytest.mark.parametrize("change", [deflated, overlapping])
def test_a_checkpoint_that_would_grow_is_not_unpacked(tmp_path, capsys, monkeypatch, change):
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {"x": torch.zeros(100_000)}}, path)
    change(path)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(WrongFileError, match=r"evil.ckpt is not a checkpoint: it is compressed"):
        load(path)
    for option in ("ckpt_path", "init_from"):
        assert "it is compressed" in _stopped(capsys, "fit", *TRAIN, f"--{option}", path)


@pytest.mark.parametrize("name", ["inception", "mobilenet_v2", "classifier"])
def test_weights_that_would_grow_are_not_unpacked(tmp_path, monkeypatch, name):
    path = tmp_path / "evil.pt"
    torch.save({"format": torch.zeros(100_000)}, path)
    deflated(path)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(WrongFileError, match=r"evil\.pt"):
        load_extractor(name, path)


def test_cached_statistics_that_would_grow_are_computed_again(tmp_path, monkeypatch):
    path = tmp_path / "evil.moments"
    write_statistics(Features(torch.zeros(100, 10)), path)
    assert read_statistics(path) is not None
    path.write_bytes(path.read_bytes()[64:])
    payload = deflated(path).read_bytes()
    path.write_bytes(sha256(payload).hexdigest().encode() + payload)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.warns(UserWarning, match="computed again"):
        assert read_statistics(path) is None


def _module(folder, monkeypatch, marker):
    """A module that leaves a file when it is imported, and the marker when it is used."""
    path = folder / "evil_module.py"
    path.write_text(
        "import os, pathlib\n"
        f"pathlib.Path({str(folder / 'imported')!r}).touch()\n"
        f"class Evil:\n    def __init__(self, *a, **k): os.mkdir({str(marker)!r})\n"
        f"def evil(*a, **k): os.mkdir({str(marker)!r})\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "evil_module", raising=False)
    return folder / "imported"


@pytest.mark.parametrize(
    "hyper_parameters",
    [
        {"_instantiator": "evil_module.evil"},
        {
            "_instantiator": "pytorch_lightning.cli.instantiate_module",
            "_class_path": "evil_module.Evil",
        },
    ],
)
def test_a_checkpoint_cannot_name_a_function_to_call(
    tmp_path, marker, monkeypatch, hyper_parameters
):
    imported = _module(tmp_path, monkeypatch, marker)
    checkpoint = torch.load(_trained(tmp_path / "checkpoints"), weights_only=True)
    checkpoint["hyper_parameters"] |= hyper_parameters
    torch.save(checkpoint, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match="blocked to prevent"):
        load(tmp_path / "evil.ckpt")
    assert not imported.exists()


# Configs


def test_a_config_is_read_as_plain_yaml(tmp_path, marker, capsys):
    config = tmp_path / "evil.yaml"
    config.write_text(f'model: !!python/object/apply:os.mkdir ["{marker}"]\ndata: Ring\n')
    assert "python/object/apply" in _stopped(capsys, "fit", "--config", config)


@pytest.mark.parametrize("option", ["model", "data", "trainer.callbacks", "trainer.logger"])
def test_a_class_of_another_kind_is_rejected_without_a_call(
    tmp_path, marker, monkeypatch, capsys, option
):
    _module(tmp_path, monkeypatch, marker)
    given_classes = [f"--{option}=evil_module.Evil"]
    given_classes += [f"--{kind}" for kind in ("model=DCGAN", "data=Ring") if option not in kind]
    assert "expected" in _stopped(capsys, "fit", *given_classes)


# Weights


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["inception", "mobilenet_v2", "classifier"])
def test_weights_run_no_code(tmp_path, marker, name, kind):
    path = tmp_path / "evil.pt"
    content = {"Mixed_7c.branch_pool.conv.weight": Payload(marker), "format": Payload(marker)}
    KINDS[kind](content, path)
    with pytest.raises(WrongFileError) as rejected:
        load_extractor(name, path)
    assert "evil.pt" in str(rejected.value)
    assert "\n" not in str(rejected.value)


def test_inception_weights_that_change_after_their_check_run_no_code(
    tmp_path, marker, inception_file, monkeypatch
):
    path, torch_load = tmp_path / "weights.pth", torch.load
    path.write_bytes(inception_file.read_bytes())

    def swapping(*arguments, **options):
        loaded = torch_load(*arguments, **options)
        if not marker.exists():
            _in_zip(Payload(marker), path)
        return loaded

    monkeypatch.setattr(torch, "load", swapping)
    load_extractor("inception", path)


def test_cached_dinov2_weights_run_no_code(tmp_path, marker, monkeypatch):
    path = tmp_path / "evil.pth"
    _in_zip(Payload(marker), path)
    monkeypatch.setattr(
        extractors,
        "FeatureExtractorDinoV2",
        lambda *arguments: torch.load(path, weights_only=False),
    )
    monkeypatch.setenv(extractors.FORCE_NO_WEIGHTS_ONLY, "1")
    before = dict(os.environ)
    with pytest.raises(WrongFileError, match=r"the file of dinov2.* does not hold its weights"):
        load_extractor("dinov2_vit_s_14")
    assert dict(os.environ) == before


BAD_NAMES = ["../../out", "/out", "a/b", "nul\0", "a" * 300, "", "..", "<script>", "a|b", "a\nb", 3]


def _classifier(path, **changes):
    network = Classifier(1, 10)
    description = Description("name", (1, 8, 8), 10, 1.0, {})
    save_classifier(network, dataclasses.replace(description, **changes), path)
    return path


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_classifier_with_an_unsafe_name_is_rejected(tmp_path, name):
    with pytest.raises(WrongFileError, match="is not a classifier written by"):
        load_extractor("classifier", _classifier(tmp_path / "evil.pt", name=name))


@pytest.mark.parametrize(
    "changes",
    [{"shape": (2**40, 8, 8)}, {"shape": (1, -8, 8)}, {"shape": (1,)}, {"classes": 2**40}],
)
def test_a_classifier_allocates_no_more_than_its_weights_need(tmp_path, changes):
    with pytest.raises(WrongFileError, match="is not a classifier written by"):
        load_extractor("classifier", _classifier(tmp_path / "evil.pt", **changes))


def test_no_classifier_is_trained_under_an_unsafe_name(tmp_path, capsys):
    with pytest.raises(SystemExit):
        train_extractor(["--data=Digits", "--name=../out"])
    assert "'../out' must consist of" in capsys.readouterr().err
    assert not list(tmp_path.parent.glob("out*"))


@pytest.mark.parametrize("content", ["payload", 3, {}, {"features": 3}])
def test_cached_statistics_run_no_code_and_are_computed_again(tmp_path, marker, content):
    written = io.BytesIO()
    torch.save(Payload(marker) if content == "payload" else content, written)
    path = tmp_path / "evil.moments"
    path.write_bytes(sha256(written.getvalue()).hexdigest().encode() + written.getvalue())
    with pytest.warns(UserWarning, match="computed again"):
        assert read_statistics(path) is None


@pytest.mark.parametrize("name", [str(name) for name in BAD_NAMES])
def test_statistics_stay_in_their_folder(tmp_path, name):
    folder = tmp_path / "statistics"
    path = statistics_path(folder, name, name, True, "key")
    assert path.parent == folder
    write_statistics(Features(torch.ones(3, 2)), path)
    assert [*folder.iterdir()] == [path]
    assert torch.equal(read_statistics(path).features, torch.ones(3, 2))


# Data


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_a_pickle_other_than_the_published_one_is_not_unpickled(
    tmp_path, marker, monkeypatch, no_network, name
):
    WRITERS[name](tmp_path, monkeypatch)
    (path,) = tmp_path.rglob("test*")
    path.write_bytes(pickle.dumps(Payload(marker)))
    module = getattr(data, name)(data_dir=str(tmp_path))
    with pytest.raises(MissingFileError, match=r"Put cifar-100?-python\.tar\.gz"):
        module.prepare_data()
    with pytest.raises(RuntimeError, match="corrupted"):
        module.load("test")


@pytest.mark.parametrize(
    ("name", "archive"),
    [("CIFAR10", "cifar-10-python.tar.gz"), ("STL10", "stl10_binary.tar.gz")],
)
def test_an_archive_other_than_the_published_one_is_not_unpacked(
    tmp_path, no_network, name, archive
):
    with tarfile.open(tmp_path / archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../out"))
        tar.addfile(tarfile.TarInfo("in"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MissingFileError):
        getattr(data, name)(data_dir=str(tmp_path)).prepare_data()
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent / "out").exists()


def test_a_matlab_file_other_than_the_published_one_is_not_read(tmp_path, monkeypatch, no_network):
    WRITERS["SVHN"](tmp_path, monkeypatch)
    for split in ("train", "test"):
        (tmp_path / f"{split}_32x32.mat").write_bytes(b"else")
    monkeypatch.setattr("scipy.io.loadmat", lambda *_: pytest.fail("it was read"))
    module = data.SVHN(data_dir=str(tmp_path))
    with pytest.raises(MissingFileError):
        module.prepare_data()
    with pytest.raises(RuntimeError, match="corrupted"):
        module.load("test")


def test_a_gzip_file_that_unpacks_to_too_much_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "MAX_BYTES", 10_000)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + bytes(20_000)))
    with pytest.raises(WrongFileError, match="unpacks to more than 10,000 bytes"):
        data.MNIST(data_dir=str(tmp_path)).load("test")


@pytest.fixture
def unsafe_archive(tmp_path):
    """A zip archive of two pictures, and of members that lead out of it or are duplicates."""
    folder = tmp_path / "data"
    folder.mkdir()
    good = encoded(picture(8, 8), "PNG")
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with warnings.catch_warnings(), zipfile.ZipFile(folder / "evil.zip", "w") as archive:
        warnings.simplefilter("ignore")  # about two members with one name
        for name in ("../out.png", "/out.png", "a/../../out.png", "good.png", "good.png"):
            archive.writestr(name, good)
        archive.writestr("a/../../a/../..//out.png", good)
        archive.writestr("a/../better.png", good)
        archive.writestr(link, "../../../etc/passwd")
    return folder / "evil.zip"


def test_an_archive_is_read_and_never_unpacked(tmp_path, unsafe_archive):
    source = ZipSource(unsafe_archive)
    assert source.files == ["better.png", "good.png", "link.png"]
    with pytest.raises(UnreadableImageError, match="not an image"):
        source[2]
    cache_dir = tmp_path / "cache"
    images, _ = data.ImageFolder(
        data_dir=str(unsafe_archive), size=8, cache_dir=str(cache_dir), placement="host"
    ).load("train")
    assert len(images) == 2
    written = {path for path in tmp_path.rglob("*") if cache_dir not in [path, *path.parents]}
    assert written == {unsafe_archive.parent, unsafe_archive}


def test_a_zip_member_that_is_too_large_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", encoded(picture(8, 8), "PNG") + bytes(10_000))
    with pytest.raises(UnreadableImageError, match="unpacks to"):
        ZipSource(tmp_path / "bomb.zip")[0]


def test_links_in_a_folder_are_read_but_never_written_through(tmp_path):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "data"
    elsewhere.mkdir()
    folder.mkdir()
    (elsewhere / "one.png").write_bytes(encoded(picture(8, 8), "PNG"))
    (folder / "out").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(folder)
    (folder / "device.png").symlink_to("/dev/zero")
    cache_dir = tmp_path / "cache"
    module = data.ImageFolder(
        data_dir=str(folder), size=8, cache_dir=str(cache_dir), placement="host"
    )
    assert len(module.load("train")[0]) == 1
    assert {path.name for path in elsewhere.iterdir()} == {"one.png", "round"}
    assert {path.name for path in folder.iterdir()} == {"out", "device.png"}


def rows_of(*paths):
    """The images at these paths, in a Hugging Face data set."""
    files = {"image": [{"bytes": None, "path": str(path)} for path in paths]}
    huggingface = pytest.importorskip("datasets", reason="NOT TESTED: datasets is not installed")
    rows = huggingface.Dataset.from_dict(files, huggingface.Features(image=huggingface.Image()))
    return _ColumnSource(rows, "image", sources.WHITE, None)


IRREGULAR = {
    "pipe": os.mkfifo,
    "socket": lambda path: socket.socket(socket.AF_UNIX).bind(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": os.mkdir,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", IRREGULAR.values(), ids=IRREGULAR)
def test_only_regular_files_are_read(tmp_path, make):
    (tmp_path / "b.png").write_bytes(encoded(picture(8, 8), "PNG"))
    (tmp_path / "a.png").touch()
    listed = FolderSource(tmp_path)
    (tmp_path / "a.png").unlink()
    make(tmp_path / "a.png")
    assert FolderSource(tmp_path).files == ["b.png"]
    for source in (listed, rows_of(tmp_path / "a.png", tmp_path / "b.png")):
        assert source.fingerprint()
        with pytest.raises(UnreadableImageError, match="a folder, a pipe, a socket or a device"):
            source[0]
        assert source[1].shape == (3, 8, 8)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["list_eval_partition.txt", "list_attr_celeba.txt"])
def test_a_list_that_is_a_pipe_is_not_read(tmp_path, monkeypatch, name):
    WRITERS["CelebA"](tmp_path, monkeypatch)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(WrongFileError, match=f"{name} is not a file"):
        data.CelebA(data_dir=tmp_path, attribute="Young").source("train")


def test_links_that_lead_nowhere_are_ignored(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture(8, 8), "PNG"))
    targets = ["itself.png", "other.png", "a.png/b.png", "long" * 100, "missing.png"]
    for name, target in zip(["itself", "one", "through", "long", "gone"], targets, strict=True):
        (tmp_path / f"{name}.png").symlink_to(tmp_path / target)
    (tmp_path / "other.png").symlink_to(tmp_path / "one.png")
    assert FolderSource(tmp_path).files == ["a.png"]


def icon_of(png):
    """An icon that declares 16 x 16 pixels and contains this PNG."""
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(png), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + png


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.ico"])
@pytest.mark.parametrize("kind", ["folder", "zip", "rows"])
def test_an_image_of_too_many_pixels_is_not_decoded(tmp_path, monkeypatch, kind, name):
    monkeypatch.setattr(pixels, "MAX_PIXELS", 2000)
    before = Image.MAX_IMAGE_PIXELS
    large, small = (
        icon_of(encoded(picture(side, 40), "PNG"))
        if name == "a.ico"
        else encoded(picture(side, 40), name[2:].upper())
        for side in (51, 50)
    )
    path = tmp_path / "images" / name
    path.parent.mkdir()
    path.write_bytes(large)
    path.with_name(f"b{path.suffix}").write_bytes(small)
    source = FolderSource(path.parent)
    if kind == "zip":
        source = ZipSource(Path(shutil.make_archive(str(tmp_path / "a"), "zip", path.parent)))
    elif kind == "rows":
        source = rows_of(path, path.with_name(f"b{path.suffix}"))
    with monkeypatch.context() as patch:
        patch.setattr(PngImagePlugin.PngImageFile, "load_read", lambda *_: pytest.fail("decoded"))
        with pytest.raises(UnreadableImageError, match="more than the limit of 2,000 pixels"):
            source[0]
    assert source[1].shape == (3, 40, 50)
    assert before == Image.MAX_IMAGE_PIXELS


def _memory(name):
    """Bytes of this process, by the name of the line in Linux' status."""
    return int(re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux")
@pytest.mark.parametrize(("mode", "channels"), [("1", 3), ("RGB", 3), ("RGBA", 1)])
def test_decoding_takes_little_memory_per_pixel(tmp_path, mode, channels):
    Image.new(mode, (4000, 4000)).save(tmp_path / "a.png", compress_level=1)
    source = FolderSource(tmp_path)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _memory("VmRSS")
    ImageTransform(channels, 64)(source[0])
    assert (_memory("VmHWM") - before) / 4000**2 < 13


def test_a_program_is_not_run_for_an_image_inside_of_another(tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("it ran"))
    fields = {(3, 60): b"\1\0", (3, 20): b"\0\x08", (3, 30): b"\0\x08", (3, 120): b"\5"}
    fields[8, 10] = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n\n"
    content = (b"\x1c" + bytes(tag) + struct.pack(">H", len(x)) + x for tag, x in fields.items())
    (tmp_path / "a.iim").write_bytes(b"".join(content))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.iim").read_bytes())
    source = FolderSource(tmp_path)
    assert source.files == ["a.png"]
    with pytest.raises(UnreadableImageError, match="not an image"):
        source[0]


@pytest.mark.parametrize("name", ["new\nline.png", "\x1b[2Jclear.png", "\u202eback.png"])
def test_a_file_name_in_a_message_is_printable(tmp_path, name):
    (tmp_path / name).write_bytes(b"else")
    shown = FolderSource(tmp_path).name(0)
    assert shown.isprintable()
    assert str(WrongFileError(f"{name} is wrong")).isprintable()


# The cache of decoded images


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "one.png").write_bytes(encoded(picture(8, 8), "PNG"))
    return FolderSource(folder)


def _cached(pictures, parent):
    return cache.open_cache(pictures, ImageTransform(3, 8), parent, "Pictures")


@pytest.mark.parametrize("name", ["", cache.IMAGES, cache.CHUNKS, cache.META])
def test_a_cache_is_not_built_through_a_link(tmp_path, pictures, name):
    parent, victim = tmp_path / "cache", tmp_path / "victim"
    _cached(pictures, parent)
    (folder,) = [path for path in parent.iterdir() if path.is_dir()]
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    part = parent / f"{folder.name}.part"
    if name:
        part.mkdir()
        victim.write_text("mine")
    else:
        victim.mkdir()
    (part / name if name else part).symlink_to(victim)
    assert len(_cached(pictures, parent).images) == 1
    assert (victim.read_text() == "mine") if name else not list(victim.iterdir())


@pytest.mark.parametrize(
    "line",
    ["[1e999, 1, 0, []]", f"[{10**15}, {10**15}, 0, []]", "[" * 100_000, "[1, 1, 0, 3]", "\\x00"],
)
def test_an_invalid_journal_counts_as_damage(tmp_path, pictures, line):
    parent = tmp_path / "cache"
    _cached(pictures, parent)
    (folder,) = [path for path in parent.iterdir() if path.is_dir()]
    (folder / cache.CHUNKS).write_text(line + "\n")
    with pytest.warns(UserWarning, match="is damaged"):
        assert len(_cached(pictures, parent).images) == 1
    part = folder.rename(folder.with_name(folder.name + ".part"))
    (part / cache.CHUNKS).write_text(line + "\n")
    assert len(_cached(pictures, parent).images) == 1
    (folder / cache.META).write_text("[" * 100_000)
    with pytest.warns(UserWarning, match="is damaged"):
        assert len(_cached(pictures, parent).images) == 1


# Records and the pages that are rendered from them

FOLDER = PROTOCOLS["folder"]
HOSTILE = (
    '"><script>alert(1)</script><img src=x onerror=alert(1)>|</style>\n'
    "| a | row |\r\n# A head\n[click](javascript:alert(1)) `code` </td></table> ' --> "
    "<!-- results: end --> \x1b[2J \u2028 & &lt;b&gt; [bold]x[/italic] ![x](http://e.x/) \\"
)


def _records(text):
    """Finished, failed and diverged runs that contain ``text`` wherever possible."""
    scores = {text: 9.0, text + "2": 2.0}
    point = {"update": 1, "images": 16, "train_seconds": 1.0, **scores}
    finished = Record(
        protocol="folder",
        protocol_version=FOLDER.version,
        technique="dcgan",
        seed=0,
        status="finished",
        message=text,
        distance=text,
        score=text + "2",
        untrained=scores,
        last=scores,
        best=scores,
        curve=[point, point | {"update": 2}],
        budget={"generator_updates": 2, "critic_updates": 2, "images": 32},
        wall_seconds=60.0,
        peak_memory_bytes=1,
        device={"name": text, text: text},
        versions={text: text},
        commit=text,
        config={text: text},
    )
    failed = dataclasses.replace(finished, technique="wgan", status="failed", last={})
    own = dataclasses.replace(
        finished, technique=text, key="own", title=text, options=[text], files={text: text}
    )
    diverged = dataclasses.replace(failed, technique="lsgan", status="diverged")
    return [finished, failed, diverged, own, dataclasses.replace(own, key="other", status="failed")]


def _rendered(tmp_path, name, text):
    """The pages rendered from such records: HTML, Markdown, a technique's."""
    output = tmp_path / name
    results = output / "results"
    for record in _records(text):
        path = write_record(record, results)
        Image.new("RGB", (4, 4)).save(path.with_suffix(".png"))
    page = output / "docs" / "techniques" / "dcgan.md"
    page.parent.mkdir(parents=True)
    page.write_text("<!-- results: begin -->\n<!-- results: end -->\nafter\n")
    render.main(["--results", str(results), "--output", str(output)])
    return [
        (output / "leaderboard.html").read_text(),
        (output / "LEADERBOARD.md").read_text(),
        page.read_text(),
    ]


class _Elements(HTMLParser):
    """All elements with the names of their attributes and their links, and all texts."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.texts = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        links = [value for name, value in attributes if name in ("src", "href")]
        self.found.append((tag, [name for name, _ in attributes], links))

    def handle_endtag(self, tag):
        self.found.append(tag)

    def handle_comment(self, data):
        self.found.append(data)

    def handle_data(self, data):
        self.texts.append(data)


def test_a_record_adds_no_element_to_the_page(tmp_path):
    hostile, harmless = (
        _Elements(_rendered(tmp_path, name, text)[0])
        for name, text in {"hostile": HOSTILE, "harmless": "fd"}.items()
    )
    assert hostile.found == harmless.found
    assert "<script>alert(1)</script>" in "".join(hostile.texts)


def test_a_record_does_not_change_the_structure_of_markdown(tmp_path, capsys):
    hostile = _rendered(tmp_path, "hostile", HOSTILE)[1:]
    shown = capsys.readouterr().out
    harmless = _rendered(tmp_path, "harmless", "fd")[1:]
    for one, other in zip(hostile, harmless, strict=True):
        lines, others = one.splitlines(), other.splitlines()
        assert len(lines) == len(others)
        assert [line.count("|") for line in lines] == [line.count("|") for line in others]
        assert _Elements(one).found == _Elements(other).found
        assert "](javascript" not in one.replace("\\](", "")
        assert [line[:2] for line in lines] == [line[:2] for line in others]
    assert "\x1b[2J" not in shown


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": "/../../../out"},
        {"seed": True},
        {"wall_seconds": "60"},
        {"last": {"fd": "<script>"}},
        {"last": {}},
        {"curve": [{"update": -1, "fd": 1.0}]},
        {"curve": [{"fd": 1.0}]},
        {"curve": 3},
        {"budget": {}},
        {"message": 3},
        {"message": "\ud800"},
        {"status": "great"},
        {"versions": ["1"]},
        {"config": []},
        {"another": 1},
        {"key": "../../../out"},
        {"key": ".."},
        {"key": "A"},
        {"key": 3},
        {"title": ["x"]},
        {"options": "model.x=1"},
        {"options": [1]},
        {"files": {"a.py": 1}},
    ],
)
def test_a_record_with_wrong_types_is_rejected(tmp_path, changed):
    record = _records("fd")[0]
    path = record_path(tmp_path / "results", "folder", "dcgan", 0)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(dataclasses.asdict(record) | changed))
    with pytest.raises(SystemExit) as stopped:
        render.main(["--results", str(tmp_path / "results"), "--output", str(tmp_path)])
    assert "seed0.json is not a record" in stopped.value.code
    assert stopped.value.code.isprintable()


@pytest.mark.parametrize("name", ["A", ".hidden", "a b", "<b>", "$(x)", "x" * 65, "..."])
def test_a_folder_that_is_not_a_rows_is_not_looked_at(tmp_path, name):
    path = record_path(tmp_path, "folder", name, 0)
    path.parent.mkdir(parents=True)
    path.write_text("not a record")
    write_record(_records("fd")[0], tmp_path)
    assert [record.technique for record in read_records(tmp_path, FOLDER)] == ["dcgan"]


def test_a_record_in_the_folder_of_another_row_is_rejected(tmp_path):
    path = write_record(_records("fd")[3], tmp_path)
    path.parent.rename(tmp_path / "folder" / "copied")
    with pytest.raises(WrongFileError, match=r"copied/seed0\.json is the record of another run"):
        read_records(tmp_path, FOLDER)


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("DCGAN", "own: DCGAN"),
        ("wgangp", "own: wgangp"),
        ("a\nb\u202e", "a b\N{REPLACEMENT CHARACTER}"),
        ("x" * 500, "x" * 79 + "\N{HORIZONTAL ELLIPSIS}"),
        ("", "fd, fd"),
    ],
)
def test_the_title_of_a_record_is_short_and_not_that_of_another_row(title, shown):
    own = dataclasses.replace(_records("fd")[3], title=title)
    table = rows([own], FOLDER, Path())
    (row,) = [row for row in table if row.key == "own"]
    assert row.name == shown
    assert len({row.name for row in table}) == len(table) == len(FOLDER.rows) + 1


def test_the_title_of_a_record_is_not_markup_of_the_terminal(tmp_path, capsys):
    title = "[red]x[/i] :bug:"
    write_record(dataclasses.replace(_records("fd")[3], title=title), tmp_path)
    write_record(dataclasses.replace(_records("fd")[4], title=title + "2"), tmp_path)
    render.main(["--results", str(tmp_path), "--output", str(tmp_path / "pages")])
    shown = capsys.readouterr().out
    assert f"\N{BOX DRAWINGS LIGHT VERTICAL} {title} " in shown
    assert f"\n{title}2, seed 0 failed" in shown


@pytest.mark.parametrize("text", ["_a_", "__a__ b", "a _b", "~~a~~", "*a*", "`a", "[a](b)", "<b>"])
def test_the_title_of_a_record_is_not_markdown(text):
    escaped = escape_markdown(text)
    assert not re.search(r"(?<!\\)[*`\[\]~<]|(?<![\\a-z])_|(?<!\\)_(?![a-z])", escaped)
    assert escape_markdown("fd1797_digits_cnn last") == "fd1797_digits_cnn last"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" + "0" * 400])
def test_a_record_with_non_finite_numbers_is_rejected(tmp_path, number):
    path = write_record(_records("fd")[0], tmp_path)
    path.write_text(path.read_text().replace("60.0", number))
    with pytest.raises(WrongFileError, match="is not a record"):
        read_record(path)


def test_an_invalid_measurement_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(render, "THROUGHPUT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "speed.md").touch()
    (tmp_path / "train-evil-cpu.json").write_text('{"device": 3}')
    write_record(_records("fd")[0], tmp_path / "results")
    with pytest.raises(SystemExit) as stopped:
        render.main(["--results", str(tmp_path / "results"), "--output", str(tmp_path)])
    assert "train-evil-cpu.json is not a measurement" in stopped.value.code


def test_a_file_that_is_not_a_picture_is_not_published(tmp_path):
    (tmp_path / "secret").write_text("secret")
    results = tmp_path / "results"
    path = write_record(_records("fd")[0], results)
    path.with_suffix(".png").symlink_to(tmp_path / "secret")
    with pytest.raises(SystemExit) as stopped:
        render.main(["--results", str(results), "--output", str(tmp_path)])
    assert "seed0.png is not a picture" in stopped.value.code
    assert not (tmp_path / "leaderboard.html").exists()


def test_a_file_is_not_written_through_a_link_beside_it(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "one.part").symlink_to(tmp_path / "victim")
    write_atomically(tmp_path / "one.json", "{}")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "one.json").read_text() == "{}"
    assert not (tmp_path / "one.json").is_symlink()


@pytest.mark.parametrize("commit", ["--force", "-Bmain", "HEAD", "", "main; touch out", "$(x)"])
def test_git_gets_nothing_but_commits(tmp_path, monkeypatch, commit):
    path = write_record(dataclasses.replace(_records("fd")[0], commit=commit), tmp_path)
    monkeypatch.setattr(reproduce, "commit", lambda: "0" * 40)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("it was run"))
    with pytest.raises(SystemExit, match="names no commit"):
        reproduce.main([str(path)])


def test_torchvision_weights_are_not_downloaded_by_name(monkeypatch):
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail("it"))
    assert "mobilenet_v2" in models.list_models()
    with pytest.raises(MissingFileError):
        load_extractor("mobilenet_v2")
