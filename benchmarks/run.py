"""Train what has no record yet: ``python -m benchmarks.run --protocol digits``.

Every run is a process of its own that calls the command line users call, ``python -m
gan_lightning fit``, and leaves one record. A run that has a record of the protocol's version is
skipped, a failed one leaves a record that says so, and the others go on.
"""

import argparse
import csv
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.environment import commit, processor, versions
from benchmarks.protocol import PROTOCOLS, RESULTS, Protocol
from benchmarks.records import Record, Scores, Status, read_record, record_path, write_record
from gan_lightning import TECHNIQUES


@dataclass(frozen=True)
class Run:
    """One run to make."""

    protocol: Protocol
    technique: str
    seed: int


def main(args: Sequence[str] | None = None) -> None:
    """Make the runs; exits with 1 when one did not finish."""
    options = _parser().parse_args(args)
    protocol = PROTOCOLS[options.protocol]
    grid = [
        Run(protocol, technique, seed)
        for seed in options.seeds or protocol.seeds
        for technique in options.techniques or protocol.techniques
    ]
    todo = [run for run in grid if not _has_record(run, options.results)]
    print(
        f"{protocol.name}: {len(grid) - len(todo)} of {len(grid)} runs have a record, "
        f"{len(todo)} to go, {options.parallel} at a time"
    )
    started = time.monotonic()
    with ThreadPoolExecutor(options.parallel) as pool:
        for done, record in enumerate(
            pool.map(lambda run: _make(run, options.results, options.work), todo), start=1
        ):
            left = (time.monotonic() - started) / done * (len(todo) - done)
            print(
                f"{record.technique} seed {record.seed} {record.status} "
                f"in {record.wall_seconds:.0f} s: {_in_short(record.last) or record.message} "
                f"({done} of {len(todo)}, about {left / 60:.0f} min left)",
                flush=True,
            )
    records = [read_record(record_path(options.results, *_key(run))) for run in grid]
    if any(record.status != "finished" for record in records):
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="digits")
    parser.add_argument("--techniques", nargs="+", choices=TECHNIQUES, help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: the protocol's")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of records")
    parser.add_argument(
        "--work", type=Path, default=Path("runs", "benchmark"), help="checkpoints and logs go here"
    )
    parser.add_argument(
        "--parallel", type=int, default=os.cpu_count() or 1, help="runs at a time, one thread each"
    )
    return parser


def _key(run: Run) -> tuple[str, str, int]:
    return run.protocol.name, run.technique, run.seed


def _has_record(run: Run, results: Path) -> bool:
    path = record_path(results, *_key(run))
    return path.is_file() and read_record(path).protocol_version == run.protocol.version


def _make(run: Run, results: Path, work: Path) -> Record:
    """Train in a process of its own, and write the record."""
    name, technique, seed = _key(run)
    folder = work / name / technique / f"seed{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # Before training: what is changed meanwhile is not what trained.
    trained_by = commit()
    started = time.monotonic()
    code, peak, message = _train(run, folder)
    seconds = time.monotonic() - started

    config = _config(folder)
    curve = _curve(folder, run.protocol, _images_per_update(config))
    last = _scores(curve[-1], run.protocol) if curve else {}
    status: Status = "finished"
    if code:
        status = "failed"
    elif not last or not all(map(math.isfinite, last.values())):
        status, message = "diverged", "the last scores are not finite"
    finite = [point for point in curve if math.isfinite(point[run.protocol.distance])]
    best = min(finite, key=lambda point: point[run.protocol.distance], default={})
    updates = int(curve[-1]["update"]) if curve else 0
    record = Record(
        protocol=name,
        protocol_version=run.protocol.version,
        technique=technique,
        seed=seed,
        status=status,
        message="" if status == "finished" else message,
        untrained=_scores(curve[0], run.protocol) if curve else {},
        last=last if status == "finished" else {},
        best=best,
        curve=finite,
        budget={
            "generator_updates": updates,
            "critic_updates": updates * _n_critic(config),
            "images": updates * _images_per_update(config),
        },
        wall_seconds=round(seconds, 1),
        peak_memory_bytes=peak,
        device=_device(run.protocol),
        versions=versions(),
        commit=trained_by,
        config=config,
    )
    grids = sorted((folder / "grids").glob("*.png"))
    if grids:
        picture = record_path(results, *_key(run)).with_suffix(".png")
        picture.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(grids[-1], picture)
    write_record(record, results)
    return record


def _train(run: Run, folder: Path) -> tuple[int, int, str]:
    """The exit code, the peak memory in bytes, and the last line that was printed."""
    command = [
        *(sys.executable, "-m", "gan_lightning", "fit"),
        f"--config={run.protocol.config(run.technique)}",
        f"--seed_everything={run.seed}",
        f"--trainer.accelerator={run.protocol.accelerator}",
        "--trainer.logger=CSVLogger",
        f"--trainer.logger.save_dir={folder.parent.parent}",
        f"--trainer.logger.name={run.technique}",
        f"--trainer.logger.version=seed{run.seed}",
        f"--evaluate.cache_dir={folder.parent.parent / 'statistics'}",
    ]
    threads = str(run.protocol.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    last = ""
    with (
        (folder / "log.txt").open("w") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            if line.startswith("update "):
                print(f"{run.technique} seed {run.seed}: {line.rstrip()}", flush=True)
            last = line.strip() or last
        # wait4, not wait: it tells this one process's peak memory.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return process.returncode, usage.ru_maxrss * unit, last


def _config(folder: Path) -> dict[str, Any]:
    """The resolved config, but for where the run was written, which is no part of it."""
    path = folder / "config.yaml"
    if not path.is_file():
        return {}
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    config["trainer"].pop("logger")
    config["evaluate"].pop("cache_dir")
    return config


def _n_critic(config: dict[str, Any]) -> int:
    return int(config["model"]["init_args"]["n_critic"]) if config else 0


def _images_per_update(config: dict[str, Any]) -> int:
    return _n_critic(config) * int(config["data"]["init_args"]["batch_size"]) if config else 0


def _curve(folder: Path, protocol: Protocol, images_per_update: int) -> list[Scores]:
    """The evaluations that the run logged."""
    path = folder / "metrics.csv"
    if not path.is_file():
        return []
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row.get(protocol.distance)]
    return [
        {"update": int(row["step"]), "images": int(row["step"]) * images_per_update}
        | {name: float(row[name]) for name in (protocol.distance, protocol.score)}
        for row in rows
    ]


def _scores(point: Scores, protocol: Protocol) -> Scores:
    return {name: point[name] for name in (protocol.distance, protocol.score)}


def _in_short(scores: Scores) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in scores.items())


def _device(protocol: Protocol) -> dict[str, Any]:
    if protocol.accelerator == "cpu":
        return {"name": processor(), "threads": protocol.threads}
    return {"name": torch.cuda.get_device_name(), "count": 1}


if __name__ == "__main__":
    main()
