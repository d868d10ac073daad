"""What all tests share: one thread, a folder of their own, and data sets on disk."""

import csv
import os
import socket
from urllib.error import URLError

import pytest
import pytorch_lightning as pl
import torch
import wandb
from formats import WRITERS
from helpers import SILENT
from torch import nn
from torch_fidelity import feature_extractor_inceptionv3 as torch_fidelity

from gan_lightning import data
from gan_lightning.cli import main

# Tiny tensors want one thread, in processes that tests start too.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption("--times", type=int, default=1, help="how often a test of reliability runs")
    parser.addoption("--thorough", action="store_true", help="what takes too long for every day")
    parser.addoption("--examples", type=int, default=100, help="inputs that a fuzz test makes up")


def pytest_generate_tests(metafunc):
    """A test that takes ``time`` runs again and again."""
    if "time" in metafunc.fixturenames:
        metafunc.parametrize("time", range(metafunc.config.getoption("times")))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Runs write below the current folder, and each test has random state of its own."""
    monkeypatch.chdir(tmp_path)
    # Of what is kept between runs, too.
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.manual_seed(0)


@pytest.fixture
def thorough(pytestconfig):
    """Whether there is time for everything."""
    return pytestconfig.getoption("--thorough")


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


@pytest.fixture
def data_files(tmp_path_factory, monkeypatch):
    """``data_files(name)``: the arguments that point a data module at files of its format."""

    def write(name):
        if name not in WRITERS:
            return {}
        arguments = WRITERS[name](tmp_path_factory.mktemp(name), monkeypatch)
        if issubclass(getattr(data, name), data.CachedDataModule):
            arguments["cache_dir"] = tmp_path_factory.mktemp("cache")
        return {key: str(value) for key, value in arguments.items()}

    return write


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory):
    """Weights of the right architecture that nothing trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(
            torch_fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None
        )
        network = torch_fidelity.FeatureExtractorInceptionV3("random", ["2048"])
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            # Keeps the size of activations, so that different images have different features.
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The only server that W&B knows of: it listens, and nobody must call."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
        monkeypatch.delenv("WANDB_API_KEY", raising=False)
        for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
            monkeypatch.setenv(name, str(tmp_path / "home"))
        yield server
        wandb.finish()
        wandb.teardown()
