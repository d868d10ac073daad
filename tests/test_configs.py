"""The bundled configs: each runs, matches its path, and repeats no default."""

import inspect
from pathlib import Path

import pytest
import torch
import yaml

from gan_lightning import TECHNIQUES, Trainer
from gan_lightning import data as data_modules
from gan_lightning.callbacks import Evaluate, RunCheckpoint, SampleWriter

FOLDER = Path(__file__).parents[1] / "configs"
CONFIGS = sorted(FOLDER.rglob("*.yaml"))
DATA_SETS = {name.lower(): getattr(data_modules, name) for name in data_modules.__all__}

#: Configs of a technique with the two learning rates of TTUR.
TTUR = {"dcgan_ttur", "wgan_gp_ttur", "began_ttur"}
#: Configs of a data set with other settings of a technique than its paper's or authors' for it.
MORE = {"cifar10": {"biggan_hierarchical"}}

every_config = pytest.mark.parametrize(
    "path", [pytest.param(path, id=str(path.relative_to(FOLDER))) for path in CONFIGS]
)


def read(path):
    """The sections, with ``model`` and ``data`` as pairs of class name and arguments."""
    sections = yaml.safe_load(path.read_text())
    for name in ("model", "data"):
        chosen = sections[name]
        if isinstance(chosen, str):
            chosen = {"class_path": chosen}
        sections[name] = chosen["class_path"], chosen.get("init_args", {})
    return sections


def technique(path):
    return TECHNIQUES[path.stem.removesuffix("_ttur").removesuffix("_hierarchical")]


def data_set(path):
    return DATA_SETS[path.parent.name.replace("_", "")]


def defaults(cls, **changed):
    """Defaults of a class's arguments, including those that it passes to its bases."""
    known = {}
    for base in reversed(cls.__mro__[:-1]):
        parameters = inspect.signature(base).parameters.values()
        known |= {parameter.name: parameter.default for parameter in parameters}
    return known | changed


def equal(value, default):
    """Whether a YAML value equals a default; YAML reads 2e-4 as a string and a tuple as a list."""
    if isinstance(default, tuple):
        return len(value) == len(default) and all(map(equal, value, default))
    if isinstance(value, str) and isinstance(default, float):
        return float(value) == default
    return value == default


def test_every_data_set_has_a_config_for_every_technique():
    folders = [folder for folder in FOLDER.iterdir() if folder.is_dir()]
    expected = {"digits", "fashion_mnist", "cifar10", "image_folder"}
    assert expected <= {folder.name for folder in folders}
    for folder in folders:
        names = {*TECHNIQUES} | TTUR | MORE.get(folder.name, set())
        assert {path.stem for path in folder.iterdir()} == names, folder.name


@every_config
def test_the_path_of_a_config_names_its_technique_and_data_set(path):
    sections = read(path)
    assert sections["model"][0] == technique(path).__name__
    assert sections["data"][0] == data_set(path).__name__


@pytest.mark.parametrize("name", sorted(TTUR))
def test_a_config_of_ttur_has_two_rates_and_one_critic_update(name):
    for path in FOLDER.glob(f"*/{name}.yaml"):
        known = defaults(technique(path)) | read(path)["model"][1]
        critic, generator = float(known["critic_lr"]), float(known["generator_lr"])
        ratio = {"dcgan_ttur": 1 / 5, "wgan_gp_ttur": 3, "began_ttur": 3 / 2}[name]
        if path.parent.name == "image_folder" and name == "dcgan_ttur":
            ratio = 1 / 50  # the paper's for CelebA
        assert critic / generator == pytest.approx(ratio)
        assert known["n_critic"] == 1


@every_config
def test_a_config_repeats_no_default(path):
    sections = read(path)
    known = {
        "model": defaults(technique(path)),
        "data": defaults(data_set(path)),
        "trainer": defaults(Trainer),
        "evaluate": defaults(Evaluate),
        "checkpoint": defaults(RunCheckpoint),
        "samples": defaults(SampleWriter),
    }
    repeated = [
        f"{section}.{name}"
        for section, content in sections.items()
        for name, value in (content[1] if section in ("model", "data") else content).items()
        if equal(value, known[section][name])
    ]
    assert repeated == []


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=str(path.relative_to(FOLDER)),
            # The folders differ in their data, the files of a folder in their technique.
            marks=() if path.stem == "dcgan" else pytest.mark.slow,
        )
        for path in CONFIGS
    ],
)
def test_a_config_trains(fit, path, data_files):
    tiny = {
        "model.generator_width": 8,
        "model.critic_width": 8,
        "data.batch_size": 4,
        "trainer.max_steps": 1,
        "trainer.val_check_interval": 1,
    }
    if files := data_files(data_set(path).__name__):
        tiny |= {f"data.{name}": file for name, file in files.items()}
        tiny["evaluate.extractor"] = "none"
    run = fit(f"--config={path}", *(f"--{name}={value}" for name, value in tiny.items()))

    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 1
    assert checkpoint["technique"].endswith(f".{technique(path).__name__}")
    assert (run / "grids" / "step_000001.png").is_file()
    saved = yaml.safe_load((run / "config.yaml").read_text())
    for section in ("model", "data"):
        for name, value in read(path)[section][1].items():
            used = saved[section]["init_args"][name]
            assert f"{section}.{name}" in tiny or equal(value, used), name
