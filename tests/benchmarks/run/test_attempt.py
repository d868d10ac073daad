"""One run: its command line, its record, and what it logs to Weights & Biases."""

import dataclasses
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import yaml
from filelock import FileLock
from torchvision import models
from wandb_log import read, records

from benchmarks.protocol import ROOT, Budget, Protocol
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import read_record, record_path, write_record
from benchmarks.run import attempt as attempt_module
from benchmarks.run import command as run
from benchmarks.run import process as process_module
from benchmarks.run.attempt import Attempt
from benchmarks.run.plan import Options, Run
from benchmarks.run.results import resolved_config
from benchmarks.variants import Variant
from gan_lightning import TECHNIQUES
from gan_lightning.metrics.classifier import load_classifier
from gan_lightning.metrics.extractors import load_extractor

wandb = pytest.importorskip("wandb", reason="NOT TESTED: wandb is not installed")

pytestmark = pytest.mark.usefixtures("forked")


@pytest.fixture
def command(tmp_path):
    """``command(protocol, technique, **options)``: the arguments of its process, by name."""

    def build(name, technique, gpus=None, **options):
        given = Options(tmp_path / "results", tmp_path / "work", **options)
        planned = Attempt(Run(PROTOCOLS[name], Variant(technique), 3), given, gpus)
        planned.folder.mkdir(parents=True)
        verb, *arguments = planned._arguments(None)
        assert verb == "fit"
        return dict(argument[2:].split("=", 1) for argument in arguments)

    return build


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_fair_budget_fixes_the_images_and_the_network(command, technique):
    protocol = PROTOCOLS["cifar10-fair"]
    arguments = command("cifar10-fair", technique)
    assert arguments["seed_everything"] == "3"
    assert arguments["data.batch_size"] == "64"
    assert arguments["model.network"] == "resnet"
    updates = int(arguments["trainer.max_steps"])
    assert updates % int(arguments["trainer.val_check_interval"]) == 0
    n_critic = TECHNIQUES[technique](shape=(3, 32, 32), generator_width=8, critic_width=8).n_critic
    images = updates * n_critic * 64
    assert images == pytest.approx(protocol.budget.images, rel=0.001)
    model = protocol.settings(Variant(technique)).get("model", {})
    assert (arguments.get("model.decay_steps") == str(updates)) == ("decay_steps" in model)
    assert (arguments.get("model.long_n_critic") == "0") == ("long_n_critic" in model)


def test_devices_share_the_protocols_batch(command):
    assert command("cifar10-fair", "dcgan", devices=4)["data.batch_size"] == "16"
    assert command("digits", "dcgan", devices=2)["data.batch_size"] == "8"
    assert command("digits", "sagan", devices=1)["trainer.devices"] == "1"


def planned(run, options, gpus=None):
    """The environment variables of the run's process."""
    attempt = Attempt(run, options, gpus)
    attempt.folder.mkdir(parents=True, exist_ok=True)
    return attempt.training(None).environment


def test_a_run_sees_only_the_gpus_of_its_slot_and_one_thread(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # a fit may have set it
    todo, options = Run(PROTOCOLS["folder"], Variant("dcgan"), 0), Options(tmp_path, tmp_path)
    seen = planned(todo, options, ["2", "GPU-3"])
    assert seen["CUDA_VISIBLE_DEVICES"] == "2,GPU-3"
    assert seen["OMP_NUM_THREADS"] == "1"
    assert seen.items() >= planned(todo, options).items()


def test_threads_beside_a_gpu_are_shared_and_those_of_a_cpu_are_fixed(tmp_path):
    options = Options(tmp_path, tmp_path, gpu_threads=4)
    cases = [("folder", ["0"], "4"), ("folder", None, "1"), ("digits", None, "1")]
    for name, gpus, threads in cases:
        todo = Run(PROTOCOLS[name], Variant("dcgan"), 0)
        assert planned(todo, options, gpus)["OMP_NUM_THREADS"] == threads


def test_a_run_on_a_cpu_sees_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    todo, options = Run(PROTOCOLS["digits"], Variant("dcgan"), 0), Options(tmp_path, tmp_path)
    assert planned(todo, options)["CUDA_VISIBLE_DEVICES"] == ""


def test_runs_do_not_inherit_the_ranks_that_a_launcher_gave_their_worker(tmp_path, monkeypatch):
    for name in ("SLURM_PROCID", "SLURM_NTASKS", "RANK", "LOCAL_RANK", "MASTER_PORT"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("RANKING", "kept")
    todo, options = Run(PROTOCOLS["digits"], Variant("dcgan"), 0), Options(tmp_path, tmp_path)
    seen = planned(todo, options)
    assert not {"SLURM_PROCID", "SLURM_NTASKS", "RANK", "LOCAL_RANK", "MASTER_PORT"} & set(seen)
    assert seen["RANKING"] == "kept"


@pytest.fixture
def process(tmp_path, monkeypatch):
    """``process(code)`` executes a run as this code: the record, and the reported scores."""

    def execute(code, technique="dcgan"):
        options = Options(tmp_path / "results", tmp_path / "work")
        planned = Attempt(Run(PROTOCOLS["digits"], Variant(technique), 0), options)
        script = tmp_path / "process.py"
        script.write_text(code)
        monkeypatch.setattr(process_module, "CHILD", script)
        reports = []
        record = planned.execute(lambda update, scores: reports.append((update, scores)))
        assert read_record(record_path(options.results, *planned.run.key)) == record
        return record, reports

    return execute


def test_a_process_that_exits_before_its_last_update_has_failed(process):
    record, reports = process("print('update 10: fd 3.0')\nprint('update available')")
    assert reports == [(10, "fd 3.0")]
    assert (record.status, record.message) == ("failed", "it logged no fd1797_digits_cnn")


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_a_run_whose_checkpoint_is_damaged_starts_again(process, tmp_path, capsys):
    folder = tmp_path / "work" / "digits" / "dcgan" / "seed0"
    path, seen = folder / "checkpoints" / "step=10.ckpt", tmp_path / "seen.txt"
    look = f"import os; open({str(seen)!r}, 'w').write(str(os.path.exists({str(path)!r})))"
    process(look)
    path.parent.mkdir()
    torch.save({"x": torch.zeros(1000)}, path)
    process(look)
    assert seen.read_text() == "True"
    assert capsys.readouterr().out == ""
    path.write_bytes(flipped(path.read_bytes()))
    process(look)
    assert seen.read_text() == "False"
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("step=10.ckpt is damaged: dcgan seed 0 starts again at update 0")
    assert json.loads((folder / "history.json").read_text())["processes"] == 1


def test_a_run_that_moves_to_another_machine_is_recorded_with_both(process, monkeypatch):
    wait, home = "import sys; sys.exit(143)", attempt_module._machine()
    elsewhere = {"processor": {"family": "1"}, "settings": {}}
    monkeypatch.setattr(attempt_module, "_machine", lambda: elsewhere)
    with pytest.raises(FileNotFoundError):  # stopped, so without a record
        process(wait)
    monkeypatch.setattr(attempt_module, "_machine", lambda: home)
    record, _ = process("pass")
    assert record.device["processor"] == home["processor"]
    assert record.device["earlier_machines"] == [elsewhere]


@pytest.fixture
def waiting(tmp_path, record, monkeypatch):
    """``waiting(previous)``: what an attempt returns that waits for another process to end.

    The other process has written ``record`` by then.
    """

    def execute(previous):
        options, said = Options(tmp_path / "results", tmp_path / "work"), []
        run = Run(PROTOCOLS["digits"], Variant("dcgan"), 0)
        attempt = Attempt(run, options, say=said.append)
        monkeypatch.setattr(attempt, "execute", lambda on_evaluation: "trained")
        attempt.folder.mkdir(parents=True)
        with ThreadPoolExecutor(1) as other:
            with FileLock(attempt.folder.with_name("seed0.lock")):
                result = other.submit(attempt.execute_alone, previous, print)
                while not said:
                    time.sleep(0.01)
                write_record(record, options.results)
            assert said == ["dcgan seed 0 waits for another process that still trains it"]
            return result.result(10)

    return execute


def test_a_run_that_another_process_has_ended_meanwhile_is_not_repeated(waiting, record):
    assert waiting(None) == record


def test_a_run_whose_record_is_to_be_repeated_is_trained(waiting, record):
    assert waiting(record) == "trained"


def test_the_signal_that_kills_a_process_is_recorded(process):
    record, _ = process("import os; os.kill(os.getpid(), 9)")
    assert (record.status, record.message) == ("failed", "killed by signal 9 (out of memory?)")


def test_the_message_of_a_failed_run_contains_no_local_path(process, tmp_path):
    record, _ = process(f"print('there is no folder {tmp_path}/work/x'); raise SystemExit(3)")
    assert record.message == "there is no folder .../x"


def test_an_invalid_config_fails_only_its_own_run(process, tmp_path):
    path = tmp_path / "work" / "digits" / "dcgan" / "seed0" / "config.yaml"
    record, _ = process(f"open({str(path)!r}, 'w').write('trainer:')")
    assert record.status == "failed"
    assert "TypeError" in record.message or "AttributeError" in record.message


def test_output_that_is_not_text_is_tolerated(process):
    record, _ = process("import sys; sys.stdout.buffer.write(b'\\xff\\n'); raise SystemExit(1)")
    assert record.status == "failed"


def test_local_paths_are_passed_on_but_not_recorded(command, tmp_path):
    paths = {"data.data_dir": "/somewhere/pictures", "evaluate.weights": "/else/weights.pt"}
    arguments = command("folder", "dcgan", paths=paths)
    assert arguments["data.data_dir"] == "/somewhere/pictures"
    assert arguments["evaluate.weights"] == "/else/weights.pt"
    config = {
        "ckpt_path": "/somewhere/one.ckpt",
        "model": {"init_args": {"n_critic": 1}},
        "data": {"init_args": {"data_dir": "/somewhere/pictures", "size": 64}},
        "evaluate": {"weights": "/else/weights.pt", "cache_dir": "/else", "seed": 0},
        "trainer": {"logger": [{"save_dir": "/somewhere"}], "devices": 1},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    resolved = resolved_config(tmp_path, paths)
    assert "somewhere" not in json.dumps(resolved)
    assert "else" not in json.dumps(resolved)
    assert resolved["data"]["init_args"] == {"size": 64}


def test_every_protocol_has_a_config_and_a_budget_for_every_technique():
    for protocol in PROTOCOLS.values():
        if protocol.configs is not None:
            same_networks = any("model.network" in each for each in protocol.arguments)
            expected = [
                name for name in TECHNIQUES if not (same_networks and TECHNIQUES[name].own_networks)
            ]
            assert protocol.techniques == tuple(expected)
            assert protocol.rows[: len(expected)] == tuple(map(Variant, expected))
        for row in protocol.rows:
            assert protocol.updates(row) > 0


@pytest.mark.parametrize("data", ["fashion-mnist", "cifar10-jpeg"])
def test_on_a_cpu_every_technique_is_in_one_table_or_in_the_other(data):
    small, own = PROTOCOLS[f"{data}-cpu"], PROTOCOLS[f"{data}-cpu-own"]
    keys = {row.key for row in own.rows}
    assert keys | set(small.techniques) == set(TECHNIQUES)
    assert keys & set(small.techniques) == {"dcgan"}  # the measure
    for row in own.rows:
        assert row.is_plain
        images = own.updates(row) * own.batch_size(row) * (row.default("n_critic") or 1)
        assert images == own.budget.images


@pytest.mark.parametrize(
    "name",
    [f"{data}-cpu{own}" for data in ("fashion-mnist", "cifar10-jpeg") for own in ("", "-own")],
)
def test_a_protocol_scores_with_the_committed_classifier(name):
    protocol = PROTOCOLS[name]
    given = dict(argument[2:].split("=", 1) for argument in protocol.arguments)
    extractor = load_extractor(given["evaluate.extractor"], ROOT / given["evaluate.weights"])
    assert protocol.distance == f"fd10k_{extractor.name}"
    assert protocol.score == f"is10k_{extractor.name}"
    assert extractor.classes
    _, description = load_classifier(ROOT / given["evaluate.weights"])
    assert description.accuracy > 0.7


@pytest.mark.slow
def test_a_custom_folder_is_recorded_with_its_own_scores(tmp_path, data_files, monkeypatch):
    files = data_files("ImageFolder")
    folder = PROTOCOLS["folder"]
    arguments = ("--evaluate.extractor=mobilenet_v2", "--model.generator_width=8")
    arguments += ("--model.critic_width=8", "--data.size=8")
    small: Protocol = dataclasses.replace(
        folder, arguments=arguments, budget=Budget(images=8, batch_size=2, evaluations=2)
    )
    monkeypatch.setitem(run.PROTOCOLS, "folder", small)
    weights = tmp_path / "weights.pth"
    state = models.get_model("mobilenet_v2").state_dict()
    # Without its last layer the network has no classes, and there is no score of them.
    torch.save({k: v for k, v in state.items() if not k.startswith("classifier")}, weights)
    results = tmp_path / "results"
    run.main(
        [
            *("--protocol", "folder", "--techniques", "dcgan", "--seeds", "0", "--parallel", "1"),
            *("--data-dir", files["data_dir"], "--weights", str(weights)),
            *("--results", str(results), "--work", str(tmp_path / "work")),
        ]
    )
    record = read_record(record_path(results, "folder", "dcgan", 0))
    assert record.status == "finished"
    assert record.distance == "fd30_mobilenet_v2"
    assert record.score == ""
    assert record.last.keys() == {"fd30_mobilenet_v2", "diversity/fake", "diversity/real"}
    assert str(tmp_path) not in json.dumps(dataclasses.asdict(record))


@pytest.mark.slow
def test_a_run_is_logged_to_wandb_in_the_group_of_its_protocol(server, tmp_path, monkeypatch):
    config = {
        "model": {"class_path": "WGAN", "init_args": {"generator_width": 4, "critic_width": 4}},
        "data": {"class_path": "Digits", "init_args": {"batch_size": 8}},
        "trainer": {"max_steps": 2, "val_check_interval": 1},
    }
    (tmp_path / "wgan.yaml").write_text(yaml.safe_dump(config))
    small = dataclasses.replace(PROTOCOLS["digits"], configs=tmp_path)
    monkeypatch.setitem(run.PROTOCOLS, "digits", small)
    results = tmp_path / "results"
    run.main(
        [
            *("--techniques", "wgan", "--seeds", "0", "--parallel", "1", "--wandb", "gans"),
            "--wandb-checkpoints",
            *("--results", str(results), "--work", str(tmp_path / "work")),
        ]
    )
    (path,) = (tmp_path / "work").rglob("*.wandb")
    written = list(records(path))
    (started,) = (record.run for record in written if record.HasField("run"))
    assert started.project == "gans"
    assert started.run_group == f"digits-v{small.version}"
    assert started.display_name == "wgan-seed0"
    assert {"digits", "wgan", "seed0"} <= set(started.tags)
    assert len(started.tags) == 4
    summary = {}
    for record in written:
        if record.HasField("summary"):
            summary |= read(record.summary.update)
        if record.HasField("history"):
            summary |= read(record.history.item)
    last = read_record(record_path(results, "digits", "wgan", 0)).last
    assert {name: summary[name] for name in last} == pytest.approx(last)
    artifacts = [record.artifact for record in written if record.HasField("artifact")]
    assert {artifact.type for artifact in artifacts} == {"model"}
    assert [[file.path for file in artifact.manifest.contents] for artifact in artifacts] == [
        ["model.ckpt"]
    ] * len(artifacts)
    assert {"latest", "best"} <= {alias for artifact in artifacts for alias in artifact.aliases}
    with pytest.raises(BlockingIOError):
        server.accept()
    wandb.finish()
