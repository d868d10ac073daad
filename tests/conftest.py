"""Set-up that all tests share: one thread, a folder for each test, and data sets on disk."""

import csv
import importlib
import os
import shutil
import socket
import time
from pathlib import Path
from urllib.error import URLError

import processes
import pytest
import pytorch_lightning as pl
import torch
from formats import WRITERS
from helpers import SILENT
from program import Program
from ranks import Ranks
from torch import nn
from torch_fidelity import feature_extractor_inceptionv3 as torch_fidelity

from gan_lightning import data
from gan_lightning.cli.program import main
from gan_lightning.training import iteration

# One thread is fastest for tiny tensors, also in processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

#: Steps that tell how fast a machine is, and how long one takes on a machine whose seconds count.
STEPS, FAST_STEP = 10_000, 10e-6
#: The number of inputs that a fuzz test generates in a fast run and in a slow one.
FEW, MANY = 5, 100


def pytest_addoption(parser):
    parser.addoption("--times", type=int, default=1, help="how many times a reliability test runs")
    parser.addoption(
        "--examples",
        type=int,
        help=f"number of inputs that a fuzz test generates (default: {FEW} or {MANY})",
    )
    parser.addoption(
        "--fast", type=float, default=5, help="time limit in seconds of a test not marked as slow"
    )


def pytest_sessionstart(session):
    """Start the fork server where tests run, but not in the controller of pytest-xdist."""
    if hasattr(session.config, "workerinput") or not session.config.getoption("-n", None):
        processes.start()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """Wait for the fork server and import ``torch._dynamo``, so that no test has to."""
    if session.items and not session.config.getoption("collectonly"):
        importlib.import_module("torch._dynamo")
        processes.wait()


def pytest_sessionfinish():
    """Stop the fork server."""
    processes.stop()


def pytest_collection_modifyitems(items):
    """Give slow tests a longer timeout, and skip those that need a GPU where there is none."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(900))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="NOT TESTED: there is no GPU here"))


def waited():
    """The seconds that this process was ready to run but waited for a core."""
    status = Path("/proc/self/schedstat")
    return int(status.read_text().split()[1]) / 1e9 if status.is_file() else 0.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail a test that exceeds the time limit and is not marked as slow.

    The limit is in seconds of a fast machine: a slow or a busy one gets more of its own. The time
    that the test waited for a core does not count.
    """
    report, fast = (yield), item.config.getoption("--fast")
    before, item.config.waited = getattr(item.config, "waited", 0.0), waited()
    taken = call.duration - (item.config.waited - before)
    marked = item.get_closest_marker("slow")
    if report.passed and taken > fast and not marked and taken > (limit := fast * slowness()):
        report.outcome = "failed"
        report.longrepr = (
            f"{call.when} took {taken:.1f} s, and a test that is not marked as slow has "
            f"{limit:.1f} here now: shorten it, or mark it"
        )
    return report


def slowness():
    """How many times as long as a fast machine this one takes now for small steps; 1 at least."""
    x = weight = torch.ones(32, 32) / 32
    started = time.perf_counter()
    for _ in range(STEPS):
        x = torch.tanh(x @ weight + x)
    return max(1.0, (time.perf_counter() - started) / STEPS / FAST_STEP)


def pytest_generate_tests(metafunc):
    """Repeat tests that take ``time``, and set the number of ``examples`` of a fuzz test."""
    if "time" in metafunc.fixturenames:
        metafunc.parametrize("time", range(metafunc.config.getoption("--times")))
    if "examples" in metafunc.fixturenames:
        given = metafunc.config.getoption("--examples")
        slow = pytest.param(MANY, marks=pytest.mark.slow)
        metafunc.parametrize("examples", [FEW, slow] if given is None else [given])


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Each test runs in its own folder, below which runs write, from the same random state."""
    monkeypatch.chdir(tmp_path)
    # Files that persist between runs are below it, too.
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.manual_seed(0)


@pytest.fixture
def forked(monkeypatch):
    """Processes that the test starts are forked from one that has imported the package."""
    monkeypatch.setattr("subprocess.Popen", processes.Popen)


@pytest.fixture(scope="session")
def ranks():
    """``ranks(function, *args, **kwargs)``: the function's results on each of two ranks."""
    pool = Ranks()
    yield pool
    pool.end()


@pytest.fixture
def start(tmp_path):
    """``start(*arguments, folder=..., **environment)`` starts Python until the test ends."""
    started = []

    def begin(*arguments, folder=tmp_path, anew=False, **environment):
        folder.mkdir(exist_ok=True)
        started.append(Program(folder, *arguments, anew=anew, **environment))
        return started[-1]

    yield begin
    for each in started:
        each.kill()
        each.process.wait()


@pytest.fixture
def program(start, tmp_path):
    """``program(*arguments, root=..., devices=1, **environment)`` starts a fit on the CPU.

    Another ``command`` takes its settings from the checkpoint among the arguments.
    """

    def begin(*arguments, root=tmp_path, devices=1, command="fit", anew=False, **environment):
        return start(
            *("-m", "gan_lightning", command, "--trainer.accelerator=cpu"),
            *(f"--trainer.devices={devices}", f"--trainer.default_root_dir={root}"),
            *("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
            *arguments,
            folder=root,
            anew=anew,
            **environment,
        )

    return begin


def fit_in(root):
    """``fit(*arguments)``, whose runs are written below a folder."""

    def call(*arguments, command="fit"):
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
def fit(tmp_path):
    """``fit(*arguments)`` calls the command line and returns the run's folder."""
    return fit_in(tmp_path / "runs")


@pytest.fixture(scope="session")
def fit_once(tmp_path_factory):
    """``fit`` for runs that several tests read; a test that changes one takes a copy."""
    return lambda *arguments: fit_in(tmp_path_factory.mktemp("once") / "runs")(*arguments)


@pytest.fixture
def copied(tmp_path):
    """``copied(run)``: a copy of a run's folder, among the runs of ``fit``."""

    def copy(run):
        root = tmp_path / "runs"
        path = Path(shutil.copytree(run, root / run.parent.name / run.name, symlinks=True))
        config = path / "config.yaml"
        config.write_text(config.read_text().replace(str(run.parents[1]), str(root)))
        return path

    return copy


@pytest.fixture
def metrics():
    """``metrics(folder)``: the values in a run's metrics.csv, by update."""

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
    """``make_trainer(*callbacks, **arguments)``: a silent trainer that writes no files."""

    def make(*callbacks, **arguments):
        return pl.Trainer(callbacks=list(callbacks), **(SILENT | arguments))

    return make


@pytest.fixture
def no_network(monkeypatch):
    """Downloads of torch and torchvision fail at once, as they do offline."""

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
    """A file of untrained Inception weights."""
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
    """The only server that W&B knows: it listens, and must not receive a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
        monkeypatch.delenv("WANDB_API_KEY", raising=False)
        for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
            monkeypatch.setenv(name, str(tmp_path / "home"))
        wandb = pytest.importorskip("wandb", reason="NOT TESTED: wandb is not installed")
        yield server
        wandb.finish()
        wandb.teardown()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A server on the loopback that stands for the Hugging Face hub."""
    pytest.importorskip("huggingface_hub", reason="NOT TESTED: huggingface_hub is not installed")
    server = importlib.import_module("hub_server").Hub()
    server.use(monkeypatch, tmp_path)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def as_if_captured(monkeypatch):
    """Simulates CUDA graphs without a GPU: a replay computes again, and replays are counted."""
    replayed = []

    def capture(stream, function):
        written = {}

        def replay():
            replayed.append(1)
            for name, value in function().items():
                written.setdefault(name, torch.empty_like(value)).copy_(value)

        return replay, written

    monkeypatch.setattr(iteration, "capture", capture)
    monkeypatch.setattr(iteration, "run_on", lambda stream, function: function())
    monkeypatch.setattr(iteration, "side_stream", lambda: None)
    monkeypatch.setattr("gan_lightning.training.module.check_one_gpu", lambda *_: None)
    return replayed
