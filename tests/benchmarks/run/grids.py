"""Small grids of runs, as command lines in their own processes, and what they leave."""

import dataclasses
import json
from typing import NamedTuple

import yaml

from benchmarks.protocol import ROOT
from benchmarks.records import read_record, record_path

# What depends on when and where a run was executed.
VOLATILE = {"wall_seconds", "peak_memory_bytes", "date"}
#: The command line of the benchmark, with a protocol that takes only a moment.
SMALL = f"""
import dataclasses, sys
from pathlib import Path
sys.path[0] = {str(ROOT)!r}
from benchmarks.run import command as run
from benchmarks.protocols import PROTOCOLS
run.PROTOCOLS["digits"] = dataclasses.replace(PROTOCOLS["digits"], configs=Path(sys.argv[1]))
run.main(sys.argv[2:])
"""


class Size(NamedTuple):
    """The runs of a grid and their updates, and how often it is killed."""

    techniques: tuple[str, ...]
    seeds: tuple[int, ...]
    updates: int
    kills: int = 0

    @property
    def names(self):
        """The names of the runs in messages."""
        return [f"{name} seed {seed}" for seed in self.seeds for name in self.techniques]


def write_configs(folder, size):
    """Write configs with a checkpoint every sixth of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    for technique in size.techniques:
        widths = {"generator_width": 8, "critic_width": 8}
        config = {
            "model": {"class_path": technique.upper(), "init_args": widths},
            "data": {"class_path": "Digits", "init_args": {"batch_size": 8}},
            "trainer": {"max_steps": size.updates, "val_check_interval": size.updates // 6},
        }
        (folder / f"{technique}.yaml").write_text(yaml.safe_dump(config))


def command(configs, folder, size, *arguments):
    """The arguments of Python for a grid that writes to a folder."""
    return (
        *("-c", SMALL, configs, "--protocol", "digits", "--techniques", *size.techniques),
        *("--seeds", *size.seeds, "--results", folder / "results", "--work", folder / "w"),
        *arguments,
    )


def has_reported(worker, update):
    """A function that returns whether a worker has reported an evaluation."""
    return lambda: f"update {update}:" in worker.said.read_text()


def records(folder, size):
    """The content of the records and pictures, without what is volatile."""
    found = {}
    for technique in size.techniques:
        for seed in size.seeds:
            path = record_path(folder / "results", "digits", technique, seed)
            record = dataclasses.asdict(read_record(path))
            for name in VOLATILE:
                del record[name]
            for point in [*record["curve"], record["best"]]:
                assert point.pop("train_seconds") >= 0
            found[technique, seed] = record, path.with_suffix(".png").read_bytes()
    return found


def processes(folder):
    """The number of processes that each run took, in ascending order."""
    histories = folder.rglob("history.json")
    return sorted(json.loads(path.read_text())["processes"] for path in histories)
