"""The host's time per iteration by package, with Lightning and without."""

import cProfile
import pstats
from pathlib import PurePath
from typing import Any

import torch

from benchmarks.throughput.training import EAGER, MODES, BareLoop, Case, LightningLoop

#: Packages whose functions are summed up; all other functions count as Python's.
PACKAGES = (
    "torch",
    "pytorch_lightning",
    "lightning_fabric",
    "lightning_utilities",
    "gan_lightning",
)
#: How many of the slowest functions are listed.
NAMED_FUNCTIONS = 12


def measure_host_profile(case: Case, device: torch.device, updates: int) -> dict[str, Any]:
    """Microseconds of one update by package, and the slowest functions outside of torch.

    Measured with Python's profiler, which adds overhead to every function call.
    """
    bare = _profile_loop(BareLoop(case, device), updates)
    lightning = _profile_loop(LightningLoop(case, device, MODES[EAGER]), updates)
    packages = {
        name: {"bare loop": _sum(bare, name), EAGER: _sum(lightning, name)}
        for name in (*PACKAGES, "Python")
    }
    slowest = sorted(
        (row for row in lightning if "lightning" in row["package"]),
        key=lambda row: row["microseconds"],
        reverse=True,
    )
    return {"packages": packages, "functions": slowest[:NAMED_FUNCTIONS]}


def _profile_loop(loop: BareLoop | LightningLoop, updates: int) -> list[dict[str, Any]]:
    profiler = cProfile.Profile()
    loop.seconds(updates, inside=profiler)
    rows = []
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]]
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    for (file, _, function), (_, calls, own, _, _) in stats.items():
        package = _package(file, function)
        rows.append(
            {
                "function": f"{PurePath(file).stem}.{function}",
                "package": package,
                "calls": round(calls / updates, 1),
                "microseconds": round(1e6 * own / updates, 2),
            }
        )
    return rows


def _package(file: str, function: str) -> str:
    parts = PurePath(file).parts
    package = next((name for name in PACKAGES if name in parts), None)
    return package or ("torch" if "torch" in function else "Python")


def _sum(rows: list[dict[str, Any]], package: str) -> float:
    return round(sum(row["microseconds"] for row in rows if row["package"] == package), 1)
