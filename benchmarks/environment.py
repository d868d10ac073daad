"""The environment of a measurement: the code, the libraries and the device."""

import hashlib
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.environment_lock import installed_lock
from benchmarks.protocol import INSTALLED, ROOT
from gan_lightning.version import __version__

#: The environment variable with the commit of a copy without its history.
COMMIT_VARIABLE = "GAN_LIGHTNING_COMMIT"
#: The files that affect results.
SOURCES = ("gan_lightning", "configs", "benchmarks/*.py", "pyproject.toml")
LIBRARIES = (
    *("torch", "torchvision", "pytorch-lightning", "torchmetrics", "torch-fidelity"),
    *("numpy", "scipy", "scikit-learn", "pillow"),
)
CPUINFO = Path("/proc/cpuinfo")
DRIVER = Path("/proc/driver/nvidia/version")
#: What /proc/cpuinfo calls the identity of a processor: first x86, then ARM.
IDENTITY = {
    "vendor_id": "vendor",
    "cpu family": "family",
    "model": "model",
    "stepping": "stepping",
    "CPU implementer": "implementer",
    "CPU variant": "variant",
    "CPU part": "part",
    "CPU revision": "revision",
}
#: The capabilities that libraries choose kernels and the sizes of blocks by.
CAPABILITIES = re.compile(
    r"(s?sse|avx|amx|fma|f16c|neon|sve|sme|fp16|bf16|i8mm|dot|fhm|rdm|l\d+d?_cache_size).*"
)
#: The environment variables that make libraries choose other kernels.
SETTINGS = (
    *("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"),
    *("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"),
    *("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES"),
    *("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG"),
)


def processor() -> str:
    """The name of the CPU, which many different ones can share."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def describe_processor() -> dict[str, Any]:
    """What tells CPUs of one name apart: identity, instruction sets, and caches in bytes.

    What the operating system does not say, or a version of torch, is missing.
    """
    cpuinfo = _cpuinfo()
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    chosen = {name: known[name] for name in sorted(known) if CAPABILITIES.fullmatch(name)}
    sets = [name for name, value in chosen.items() if value is True]
    return {
        "architecture": platform.machine(),
        **{name: cpuinfo[key] for key, name in IDENTITY.items() if key in cpuinfo},
        **({"instruction_sets": sets} if sets else {}),
        # Sizes of caches and lengths of vectors.
        **{name: value for name, value in chosen.items() if type(value) is int and value},
    }


def kernel_settings() -> dict[str, str]:
    """The kernels that torch uses on this CPU, and variables that make libraries choose others."""
    given = {name: os.environ[name] for name in SETTINGS if name in os.environ}
    return {"cpu_capability": torch.backends.cpu.get_cpu_capability(), **given}


def _cpuinfo() -> dict[str, str]:
    """What Linux says about the first CPU; empty on other systems."""
    first = CPUINFO.read_text().partition("\n\n")[0] if CPUINFO.is_file() else ""
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def versions() -> dict[str, str]:
    """The versions of Python, the libraries that move bits, and the lock that they come from."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "gan-lightning": __version__,
        "cuda": torch.version.cuda or "none",  # what torch was built for
        **(_gpu_versions() if torch.cuda.is_available() else {}),
        "libc": " ".join(platform.libc_ver()).strip(),
        "lock": installed_lock(),
    }


def _gpu_versions() -> dict[str, str]:
    """cuDNN's version, and the driver's where Linux says it."""
    found = {"cudnn": str(torch.backends.cudnn.version())}
    text = DRIVER.read_text() if DRIVER.is_file() else ""
    if number := re.search(r"Module.*?\s(\d+(\.\d+)+)\s", text):
        found["driver"] = number[1]
    return found


def commit() -> str:
    """The commit, with ``-dirty`` if files have changed; "" outside a git checkout.

    An installed package has none: its version is among ``versions``. Where a checkout was copied
    without its history, ``GAN_LIGHTNING_COMMIT`` says what it is of.
    """
    if given := os.environ.get(COMMIT_VARIABLE):
        return given
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


def show_file(revision: str, path: str) -> str:
    """The text of a file of a commit.

    Raises:
        OSError: there is no git.
        subprocess.CalledProcessError: there is no such file or commit.
    """
    return _git("show", f"{revision}:{path}")


def describe_environment(device: torch.device) -> dict[str, Any]:
    """The device's name, the CPU, the versions and the commit, for a file of results."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "device": name,
        "processor": describe_processor(),
        "settings": kernel_settings(),
        "versions": versions(),
        "commit": commit(),
    }


def gpu_names() -> list[str]:
    """The name of each visible GPU."""
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def revision() -> str:
    """The first digits of the commit or, of an installed package, its version."""
    return commit()[:8] or f"v{__version__}"


def _git(*args: str) -> str:
    if INSTALLED:
        # The folder of packages may be inside of a checkout of the user's.
        raise OSError("an installed package is no checkout")
    result = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.strip()
