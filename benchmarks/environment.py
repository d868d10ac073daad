"""The environment of a measurement: the code, the libraries and the device."""

import hashlib
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.protocol import ROOT

#: The files that affect results.
SOURCES = ("gan_lightning", "configs", "benchmarks/*.py", "pyproject.toml")
LIBRARIES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "gan-lightning")


def processor() -> str:
    """The name of the CPU."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    found = re.search(r"model name\s*:\s*(.+)", text)
    return found[1] if found else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """The versions of Python and the main libraries."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def commit() -> str:
    """The commit, with ``-dirty`` if files have changed; "" outside a git checkout."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--", *SOURCES)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + "-dirty" * bool(changed)


def changes_checksum() -> str:
    """A checksum of the changes since the commit; "" if there are none."""
    try:
        text = _git("diff", "HEAD", "--", *SOURCES)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def describe_environment(device: torch.device) -> dict[str, Any]:
    """The device's name, the versions and the commit, for a file of results."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {"device": name, "versions": versions(), "commit": commit()}


def device_names() -> set[str]:
    """The names of the CPU and the GPUs."""
    return {processor()} | {
        torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())
    }


def _git(*args: str) -> str:
    result = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.strip()
