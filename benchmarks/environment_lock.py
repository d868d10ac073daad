"""Lock the installed environment: ``python -m benchmarks.environment_lock``, or ``make lock``.

A lock file names every package that the project needs, with its version and checksums, so that
pip installs the environment that made a record and no other. There is one for each version of
torch that made records.
"""

import functools
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

import torch
from packaging.utils import canonicalize_name
from packaging.version import Version

from benchmarks.protocol import ROOT

#: A folder of lock files, in every commit that has some.
FOLDER = "benchmarks/locks"
LOCKS = ROOT / FOLDER
PLATFORM = "x86_64-manylinux_2_28"
HEADER = """\
# The environment of records made with torch {torch} on Linux x86-64, Python {python}.
# CPU and GPU have the same lock: the wheel of torch and the libraries that it needs are those for
# CUDA {cuda}, which compute on a CPU as well. Other builds of torch have other versions.
# To install it: make locked LOCK={lock}
# Written by `make lock`, which locks the installed environment; do not edit.
"""


def main() -> None:
    """Write the lock file of the installed environment."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SystemExit("benchmarks.environment_lock: lock files are for Linux x86-64")
    installed = installed_versions()
    installed.pop("gan-lightning", None)  # the project itself
    path = LOCKS / f"torch-{installed['torch']}-linux-x86_64.txt"
    with tempfile.TemporaryDirectory() as folder:
        constraints, locked = Path(folder) / "installed.txt", Path(folder) / "locked.txt"
        constraints.write_text(
            "".join(f"{name}=={version}\n" for name, version in installed.items())
        )
        done = subprocess.run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet"),
                *("--constraint", str(constraints), "--output-file", str(locked)),
                *("--python-version", _python(), "--python-platform", PLATFORM),
                *("--generate-hashes", "--no-header", "--no-annotate"),
            ],
            cwd=ROOT,
            check=False,
        )
        if done.returncode:
            raise SystemExit(
                f"benchmarks.environment_lock: uv failed with exit code {done.returncode}"
            )
        packages = locked.read_text()
    header = HEADER.format(
        torch=installed["torch"],
        python=_python(),
        cuda=torch.version.cuda,
        lock=path.relative_to(ROOT),
    )
    LOCKS.mkdir(exist_ok=True)
    path.write_text(f"{header}{packages}")
    print(f"{path.relative_to(ROOT)}: {len(read_pins(packages))} packages")


def read_pins(lock: str) -> dict[str, str]:
    """The version of each package in the text of a lock file."""
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


def installed_versions() -> dict[str, str]:
    """The version of each installed package."""
    # The first of a name is the one that is imported.
    found: dict[str, str] = {}
    for each in distributions():
        found.setdefault(canonicalize_name(each.metadata["Name"]), each.version)
    return found


def deviations(
    there: Mapping[str, str], here: Mapping[str, str]
) -> dict[str, tuple[str, str | None]]:
    """The packages of ``there`` whose versions differ ``here``, with both; None for no package."""
    return {
        name: (version, here.get(name))
        for name, version in there.items()
        if here.get(name) != version
    }


def read_locks() -> dict[str, dict[str, str]]:
    """The packages and versions of each lock file, by its file name; newest torch first."""
    locks = {path.name: read_pins(path.read_text()) for path in LOCKS.glob("*.txt")}
    newest = sorted(locks, key=lambda name: Version(locks[name]["torch"]), reverse=True)
    return {name: locks[name] for name in newest}


@functools.cache
def installed_lock() -> str:
    """The file name of the lock that the installed packages equal; "none" if they equal none."""
    installed = installed_versions()
    equal = (name for name, pins in read_locks().items() if not deviations(pins, installed))
    return next(equal, "none")


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


if __name__ == "__main__":
    main()
