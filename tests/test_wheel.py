"""What a wheel contains, and that the program works from it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE, CONFIGS = ROOT / "gan_lightning", ROOT / "configs"


def test_every_folder_is_listed():
    tomllib = pytest.importorskip("tomllib", reason="NOT TESTED before Python 3.11")
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    modules = {path.parent for path in PACKAGE.rglob("*.py")}
    found = {".".join(folder.relative_to(ROOT).parts) for folder in modules}
    folders = {CONFIGS, *(path.parent for path in CONFIGS.rglob("*.yaml"))}
    found |= {"gan_lightning." + ".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert listed == sorted(found)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The folder that a wheel of this repository is unpacked to."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for part in (PACKAGE, CONFIGS):  # a build leaves files in its folder
        shutil.copytree(part, source / part.name, ignore=shutil.ignore_patterns("__pycache__"))
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


@pytest.mark.slow
def test_a_wheel_contains_the_package_and_the_configs(unpacked):
    def files(folder, *endings):
        return {
            str(path.relative_to(folder)) for ending in endings for path in folder.rglob(ending)
        }

    kinds = ("*.py", "*.pt", "*.yaml", "*.json", "*.safetensors", "py.typed")
    inside = files(unpacked / "gan_lightning", *kinds)
    expected = files(PACKAGE, *kinds) | {f"configs/{name}" for name in files(CONFIGS, "*.yaml")}
    assert inside == expected
    assert [path.name for path in unpacked.iterdir() if path.suffix != ".dist-info"] == [
        "gan_lightning"
    ]


@pytest.mark.slow
def test_a_config_trains_by_name_in_an_empty_folder(unpacked, tmp_path):
    arguments = ["fit", "--config", "digits/dcgan", "--trainer.max_steps=2"]
    arguments += ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    program = "import sys, gan_lightning, gan_lightning.cli as cli\n"
    program += "print(gan_lightning.__file__)\ncli.main(sys.argv[1:])"
    run = subprocess.run(
        # Through env it is a new process, which imports the package from the wheel.
        ["env", sys.executable, "-P", "-c", program, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )
    assert not run.returncode, run.stderr
    assert run.stdout.startswith(str(unpacked))
    run_folder = tmp_path / "runs" / "Digits-DCGAN" / "version_0"
    assert (run_folder / "checkpoints" / "last.ckpt").exists()


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
