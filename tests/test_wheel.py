"""What a wheel contains, and that the program works from it."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gan_lightning import __version__

ROOT = Path(__file__).parents[1]
PACKAGE, CONFIGS, BENCHMARKS = (ROOT / name for name in ("gan_lightning", "configs", "benchmarks"))
#: What the wheel has of each folder beside its modules.
DATA = {
    PACKAGE: (
        "**/*.pt",
        "py.typed",
        "weights/*.json",
        "weights/*/*/*.json",
        "weights/**/*.safetensors",
    ),
    CONFIGS: ("**/*.yaml",),
    BENCHMARKS: (
        "extractors/*.pt",
        "*.yaml",
        "locks/*.txt",
        "real_samples/*.png",
        *("render/*.css", "render/*.j2", "render/*.js"),
        *("results/dates.json", "results/*/*/seed*.json"),
    ),
}


def test_every_folder_is_listed():
    tomllib = pytest.importorskip("tomllib", reason="NOT TESTED before Python 3.11")
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    modules = {path.parent for path in PACKAGE.rglob("*.py")}
    found = {".".join(folder.relative_to(ROOT).parts) for folder in modules}
    folders = {CONFIGS, *(path.parent for path in CONFIGS.rglob("*.yaml"))}
    folders |= {path.parent for path in BENCHMARKS.rglob("*.py")}
    found |= {
        "gan_lightning.shipped." + ".".join(folder.relative_to(ROOT).parts) for folder in folders
    }
    assert listed == sorted(found)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The folder that a wheel of this repository is unpacked to."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for part in DATA:  # a build leaves files in its folder
        ignored = shutil.ignore_patterns("__pycache__", "*.webp")
        shutil.copytree(part, source / part.name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    built = subprocess.run(
        [*command, "--wheel-dir", str(folder), str(source)],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if "setuptools" in built.stderr and "No module named" in built.stderr:
        pytest.skip("the wheel is NOT TESTED: setuptools is not installed")
    assert not built.returncode, built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def installed(unpacked, tmp_path):
    """``installed(*arguments)`` runs the program from the wheel in an empty folder."""
    program = "import sys, gan_lightning, gan_lightning.cli as cli\n"
    program += "print(gan_lightning.__file__)\ncli.main(sys.argv[1:])"

    def run(*arguments):
        done = subprocess.run(
            # Through env it is a new process, which imports the package from the wheel.
            ["env", sys.executable, "-P", "-c", program, *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(unpacked)},
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stderr + done.stdout
        assert done.stdout.startswith(str(unpacked))
        return done.stdout

    return run


def files(folder):
    """The files in a folder, without what Python compiles there."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


@pytest.mark.slow
def test_a_wheel_contains_the_package_the_configs_and_the_benchmark_without_pictures(unpacked):
    prefixes = {folder: f"shipped/{folder.name}/" for folder in DATA} | {PACKAGE: ""}
    assert files(unpacked / "gan_lightning") == {
        prefixes[folder] + path.relative_to(folder).as_posix()
        for folder, patterns in DATA.items()
        for pattern in ("**/*.py", *patterns)
        for path in folder.glob(pattern)
    }
    names = [path.name for path in unpacked.iterdir() if path.suffix != ".dist-info"]
    assert names == ["gan_lightning"]


@pytest.mark.slow
def test_a_config_trains_by_name_in_an_empty_folder(installed, tmp_path):
    arguments = ["fit", "--config", "digits/dcgan", "--trainer.max_steps=2"]
    installed(*arguments, "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")
    run_folder = tmp_path / "runs" / "Digits-DCGAN" / "version_0"
    assert (run_folder / "checkpoints" / "last.ckpt").exists()


TECHNIQUE = """
from gan_lightning import DCGAN

class MyGAN(DCGAN):
    def generator_loss(self, fake):
        return -fake.mean()
"""
CONFIG = """
model: {generator_width: 8, critic_width: 8}
data: {batch_size: 8}
trainer: {max_steps: 6, val_check_interval: 3}
"""


@pytest.mark.slow
def test_a_custom_technique_gets_its_row_in_an_empty_folder(installed, unpacked, tmp_path):
    (tmp_path / "my_module.py").write_text(TECHNIQUE)
    (tmp_path / "my.yaml").write_text(CONFIG)
    # A folder of the user's that is named like ours hides nothing.
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise RuntimeError('not ours')")
    before = files(unpacked)
    own = ("--technique", "my_module.MyGAN", "--config", "my.yaml", "--seeds", "0")
    installed("benchmark", "run", "--protocol", "digits", *own)
    results = tmp_path / "runs" / "leaderboard"
    path = results / "digits" / "mygan" / "seed0.json"
    record = json.loads(path.read_text())
    assert (record["status"], record["technique"]) == ("finished", "my_module.MyGAN")
    assert (record["commit"], record["versions"]["gan-lightning"]) == ("", __version__)
    assert set(record["files"]) == {"my_module.py", "my.yaml"}
    for folder in (tmp_path, unpacked, ROOT):
        assert str(folder) not in path.read_text()

    shown = installed("benchmark", "render")
    table = (results / "LEADERBOARD.md").read_text()
    assert re.search(r"\| MyGAN( \(1 of 1 collapsed\))? \|", table)
    assert "![MyGAN](digits/mygan/seed0.png)" in table
    assert re.search(r"\| =?\d+ \| WGAN-GP \|.*\| 3 \|\n", table)
    assert "Trained here: MyGAN. The other rows are the published ones." in table
    assert "MyGAN" in shown

    repeated = installed("benchmark", "reproduce", path)
    assert f"code version {__version__}" in repeated
    assert "identical to the last bit" in repeated
    assert files(unpacked) == before


@pytest.mark.slow
def test_classes_of_the_benchmark_have_the_same_path_in_a_wheel(installed, tmp_path):
    arguments = ["fit", "--model=benchmarks.stabilizers.ClippedDCGAN", "--data=Ring"]
    arguments += ["--trainer.max_steps=2", "--trainer.accelerator=cpu"]
    installed(*arguments, "--trainer.enable_progress_bar=false")
    run_folder = tmp_path / "runs" / "Ring-ClippedDCGAN" / "version_0"
    config = (run_folder / "config.yaml").read_text()
    assert "class_path: benchmarks.stabilizers.ClippedDCGAN" in config
    installed("validate", "--ckpt_path", run_folder / "checkpoints" / "last.ckpt")
    # A validation has a folder of its own beside that of the fit.
    assert (run_folder.with_name("version_1") / "validate.json").is_file()


@pytest.mark.slow
def test_a_generator_loads_by_name_in_an_empty_folder(unpacked, tmp_path):
    program = "import gan_lightning\nprint(gan_lightning.__file__)\n"
    program += 'print(gan_lightning.load("digits/dcgan").sample(3).shape)'
    run = subprocess.run(
        ["env", sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )
    assert not run.returncode, run.stderr
    assert run.stdout.startswith(str(unpacked))
    assert run.stdout.splitlines()[-1] == "torch.Size([3, 1, 8, 8])"
