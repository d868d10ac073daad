"""What all tests share: one thread, a folder of their own, and data sets in their real formats."""

import csv
import gzip
import hashlib
import os
import pickle
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from helpers import SILENT
from torchvision import datasets

from gan_lightning.cli import main

# Tiny tensors want one thread, in processes that tests start too.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Runs write below the current folder, and each test has random state of its own."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


@pytest.fixture
def fit(tmp_path):
    """``fit(*arguments)`` calls the command line and returns the run's folder."""

    def call(*arguments, command="fit"):
        root = tmp_path / "runs"
        before = set(root.glob("*/version_*"))
        main(
            [
                command,
                f"--trainer.default_root_dir={root}",
                "--trainer.accelerator=cpu",
                "--trainer.enable_progress_bar=false",
                "--trainer.enable_model_summary=false",
                *map(str, arguments),
            ]
        )
        new = set(root.glob("*/version_*")) - before
        return new.pop() if new else None

    return call


@pytest.fixture
def metrics():
    """``metrics(folder)``: what a run's metrics.csv says, by update."""

    def read(folder):
        rows = {}
        with (folder / "metrics.csv").open() as file:
            for row in csv.DictReader(file):
                values = {name: float(value) for name, value in row.items() if value}
                rows.setdefault(int(values.pop("step")), {}).update(values)
        return rows

    return read


@pytest.fixture
def make_trainer():
    """``make_trainer(*callbacks, **arguments)``: a silent trainer that writes nothing itself."""

    def make(*callbacks, **arguments):
        return pl.Trainer(callbacks=list(callbacks), **(SILENT | arguments))

    return make


@pytest.fixture
def no_network(monkeypatch):
    """Every download of torch and torchvision fails at once, as it does offline."""

    def refuse(*args, **kwargs):
        raise URLError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)


@pytest.fixture(scope="session")
def fashion_mnist_dir(tmp_path_factory):
    """Fashion-MNIST's four packed IDX files, with 100 random pictures a split."""
    folder = tmp_path_factory.mktemp("fashion")
    rng = np.random.default_rng(0)
    for name in ("train", "t10k"):
        images = rng.integers(0, 256, (100, 28, 28), np.uint8)
        labels = (np.arange(100) % 10).astype(np.uint8)
        _write_idx(folder / f"{name}-images-idx3-ubyte.gz", images)
        _write_idx(folder / f"{name}-labels-idx1-ubyte.gz", labels)
    return folder


@pytest.fixture
def cifar10_dir(tmp_path_factory, monkeypatch):
    """CIFAR-10's folder of pickled batches, 40 random pictures each.

    torchvision compares checksums, so it is told those of these files.
    """
    root = tmp_path_factory.mktemp("cifar")
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = {"train_list": [f"data_batch_{i}" for i in range(1, 6)], "test_list": ["test_batch"]}
    for attribute, files in names.items():
        sums = []
        for name in files:
            pixels = rng.integers(0, 256, (40, 3072), np.uint8)
            batch = {"data": pixels, "labels": [i % 10 for i in range(40)]}
            sums.append([name, _write_pickle(folder / name, batch)])
        monkeypatch.setattr(datasets.CIFAR10, attribute, sums)
    meta = {"label_names": [str(i) for i in range(10)]}
    checksum = _write_pickle(folder / "batches.meta", meta)
    monkeypatch.setattr(
        datasets.CIFAR10,
        "meta",
        {"filename": "batches.meta", "key": "label_names", "md5": checksum},
    )
    return root


def _write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


def _write_pickle(path: Path, value: object) -> str:
    data = pickle.dumps(value)
    path.write_bytes(data)
    return hashlib.md5(data).hexdigest()
