"""One run: started or gone on with, in a process of its own, and made into a record."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from benchmarks.environment import changes, commit, processor, versions
from benchmarks.protocol import ROOT, Protocol
from benchmarks.records import Record, Scores, Status, record_path, write_record, write_whole
from gan_lightning import load
from gan_lightning.metrics.measures import is_full_name
from gan_lightning.training.divergence import DivergedError
from gan_lightning.training.loggers import read_rows
from gan_lightning.utils.files import whole_file

#: What a run exits with that a signal stopped: it goes on when it is made again.
STOPPED = {128 + number for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
#: The variables by which launchers number the processes of one training.
LAUNCHERS = re.compile(
    r"(SLURM|TORCHELASTIC|JSM|PMI|OMPI)_.*|(LOCAL_|NODE_|GROUP_)?RANK|(LOCAL_)?WORLD_SIZE"
    r"|MASTER_(ADDR|PORT)|PL_GLOBAL_SEED"
)

Say = Callable[[int, str], None]


@dataclass(frozen=True)
class Run:
    """One run to make."""

    protocol: Protocol
    technique: str
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """What its record is found by."""
        return self.protocol.name, self.technique, self.seed

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.technique} seed {self.seed}"

    @property
    def updates(self) -> int:
        """Of the generator."""
        return self.protocol.updates(self.technique)

    @property
    def batch_size(self) -> int:
        """Real images of one critic update, on all devices together."""
        if self.protocol.budget is not None:
            return self.protocol.budget.batch_size
        return int(self.protocol.settings(self.technique).get("data", {}).get("batch_size", 64))


@dataclass(frozen=True)
class Options:
    """What a worker is told of this machine.

    Args:
        results: the folder of records.
        work: of checkpoints and logs.
        devices: that each run trains on.
        places: more of the command line: where data and weights are, which no record holds.
        wandb: the W&B project; None for none.
        wandb_checkpoints: keep the last checkpoint there, too.
    """

    results: Path
    work: Path
    devices: int = 1
    places: Mapping[str, str] = field(default_factory=dict)
    wandb: str | None = None
    wandb_checkpoints: bool = False


@dataclass
class _History:
    """What earlier processes of the same run leave to later ones.

    Args:
        protocol_version: of the protocol.
        commit: of the code; another one starts from the beginning.
        places: of data and weights.
        with_what: devices, versions of libraries and changes to the code, as JSON.
        seconds: until the checkpoint that the run goes on from, over all processes.
        started: when the last process was, by the clock of files.
        gpu: that the last process trained on, the first of several; "" for none.
        peak_memory_bytes: the largest of all processes that came to their end.
        processes: how many have been started.
    """

    protocol_version: int
    commit: str
    places: dict[str, str]
    with_what: str
    seconds: float = 0.0
    started: float = 0.0
    gpu: str = ""
    peak_memory_bytes: int = 0
    processes: int = 0


class Attempt:
    """A process that makes a run, from its last checkpoint if it has one.

    Args:
        run: to make.
        options: of this machine.
        gpus: those to use, as CUDA_VISIBLE_DEVICES names them; None leaves it to the process.

    Attributes:
        began: the update that ``make`` went on from.
    """

    def __init__(self, run: Run, options: Options, gpus: list[str] | None = None) -> None:
        self.run = run
        self.options = options
        self.gpus = gpus
        self.began = 0
        self._stopped = threading.Event()
        self._process: subprocess.Popen[str] | None = None

    @property
    def folder(self) -> Path:
        """Of its checkpoints and logs."""
        name, technique, seed = self.run.key
        return self.options.work / name / technique / f"seed{seed}"

    @property
    def _report(self) -> Path:
        """What the process says of itself when it ends."""
        return self.folder / "report.json"

    def stop(self) -> None:
        """End the process; nothing is recorded, and the next attempt goes on from here."""
        self._stopped.set()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def make(self, say: Say) -> Record | None:
        """Train and write the record; None where it was stopped.

        ``say`` is told of each evaluation: the update, and its scores in short.
        """
        history, (self.began, checkpoint) = self._history(), self._checkpoint()
        if checkpoint is not None:
            history.seconds += max(0.0, checkpoint.stat().st_mtime - history.started)
        else:
            # What is there cannot be gone on from.
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        history.started = time.time()
        history.processes += 1
        self._keep(history)
        self._report.unlink(missing_ok=True)
        code, message = self._train(checkpoint, say)
        if code:
            # An interrupt may have reached the process before it reaches this one.
            self._stopped.wait(2)
        if self._stopped.is_set() or code in STOPPED:
            return None
        history.seconds += time.time() - history.started
        self._read_report(history)
        try:
            record = self._record(history, code, message)
        except Exception as error:
            # What a process left behind cannot be read: that is how this run failed.
            record = self._failed(history, f"{type(error).__name__}: {error}")
        self._keep_pictures()
        write_record(record, self.options.results)
        return record

    def _read_report(self, history: _History) -> None:
        try:
            said = json.loads(self._report.read_text())
        except (OSError, ValueError):
            return  # it was killed, or is not one that reports
        history.gpu = said["gpu"]
        history.peak_memory_bytes = max(history.peak_memory_bytes, said["peak_memory_bytes"])

    def _keep_pictures(self) -> None:
        """The last samples and, of the protocol's first seed, those of all evaluations."""
        grids = sorted((self.folder / "grids").glob("*.png"))
        if not grids:
            return
        picture = record_path(self.options.results, *self.run.key).with_suffix(".png")
        with whole_file(picture) as file:
            file.write(grids[-1].read_bytes())
        if self.run.seed == self.run.protocol.seeds[0] and len(grids) > 1:
            film(grids, picture.with_suffix(".webp"))

    def _history(self) -> _History:
        """That of the folder, or of a new one, where it was of other code or other data."""
        options = self.options
        with_what = {"devices": options.devices, "versions": versions(), "changes": changes()}
        new = _History(
            self.run.protocol.version, commit(), dict(options.places), json.dumps(with_what)
        )
        try:
            old = _History(**json.loads((self.folder / "history.json").read_text()))
        except (OSError, ValueError, TypeError):
            old = None
        same = ("protocol_version", "commit", "places", "with_what")
        if old is not None and all(getattr(old, name) == getattr(new, name) for name in same):
            return old
        self.clear()
        return new

    def clear(self) -> None:
        """Leave nothing to go on from."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)

    def _keep(self, history: _History) -> None:
        write_whole(self.folder / "history.json", json.dumps(asdict(history)))

    def _checkpoint(self) -> tuple[int, Path | None]:
        """The update of the last one, and the file, which is written whole or not at all."""
        found = {
            int(step[1]): path
            for path in (self.folder / "checkpoints").glob("*.ckpt")
            if (step := re.fullmatch(r"step=(\d+)", path.stem)) and zipfile.is_zipfile(path)
        }
        return max(found.items(), default=(0, None))

    def _train(self, checkpoint: Path | None, say: Say) -> tuple[int, str]:
        """The exit code, and the last line that was printed."""
        last = ""
        with (
            (self.folder / "log.txt").open("a") as log,
            subprocess.Popen(
                self._command(checkpoint),
                cwd=ROOT,  # where the paths of a protocol begin
                # Held by its standard input: it ends when this process does, however that comes.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=self._environment(),
            ) as process,
        ):
            self._process = process
            try:
                if self._stopped.is_set():
                    self.stop()
                assert process.stdout is not None
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    if evaluation := re.match(r"update (\d+): (.*)", line):
                        say(int(evaluation[1]), evaluation[2].strip())
                    # What libraries say at the very end is not why it ended.
                    if not last.startswith("gan-lightning: "):
                        last = line.strip() or last
            except BaseException:
                process.kill()
                raise
        code = process.returncode
        if code < 0:
            last = f"killed by signal {-code}" + " (out of memory?)" * (code == -9)
        return code, last

    def _environment(self) -> dict[str, str]:
        threads = str(self.run.protocol.threads)
        changed = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        changed["GAN_LIGHTNING_REPORT"] = str(self._report)
        if self.run.protocol.accelerator == "cpu":
            changed["CUDA_VISIBLE_DEVICES"] = ""
        elif self.gpus is not None:
            changed["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)
        # A launcher of this worker has not launched the run.
        kept = {k: v for k, v in os.environ.items() if not LAUNCHERS.fullmatch(k)}
        return kept | changed

    def _command(self, checkpoint: Path | None) -> list[str]:
        run, options = self.run, self.options
        name, technique, seed = run.key
        loggers = self.folder / "loggers.yaml"
        loggers.write_text(yaml.safe_dump({"trainer": {"logger": self._loggers()}}))
        command = [
            *(sys.executable, "-m", "benchmarks.train", "fit"),
            f"--config={run.protocol.config(technique)}",
            f"--config={loggers}",
            *run.protocol.command_line(technique),
            f"--seed_everything={seed}",
            f"--trainer.accelerator={run.protocol.accelerator}",
            f"--trainer.devices={options.devices}",
            "--checkpoint.enable_version_counter=false",
            f"--evaluate.cache_dir={options.work / name / f'statistics-{run.protocol.version}'}",
            *(f"--{option}={place}" for option, place in options.places.items()),
        ]
        if options.devices > 1:
            command.append(f"--data.batch_size={run.batch_size // options.devices}")
        if checkpoint is not None:
            command.append(f"--ckpt_path={checkpoint}")
        return command

    def _loggers(self) -> list[dict[str, Any]]:
        name, technique, seed = self.run.key
        place = {"save_dir": str(self.folder.parent.parent), "name": technique}
        loggers: list[dict[str, Any]] = [
            {
                "class_path": "gan_lightning.training.loggers.ContinuedCSVLogger",
                "init_args": {**place, "version": f"seed{seed}"},
            }
        ]
        if self.options.wandb is not None:
            identity = f"{name}-v{self.run.protocol.version}-{technique}-{seed}-{commit()[:8]}"
            loggers.append(
                {
                    "class_path": "pytorch_lightning.loggers.WandbLogger",
                    "init_args": {
                        "project": self.options.wandb,
                        "save_dir": str(self.folder),
                        "name": f"{technique}-seed{seed}",
                        "id": identity,
                        "log_model": self.options.wandb_checkpoints,
                    },
                    "dict_kwargs": {
                        "group": f"{name}-v{self.run.protocol.version}",
                        "tags": [name, technique, f"seed{seed}", commit()[:8]],
                        "resume": "allow",
                    },
                }
            )
        return loggers

    def _record(self, history: _History, code: int, message: str) -> Record:
        run, config = self.run, _resolved(self.folder, self.options.places)
        distance, score, curve = _curve(self.folder, config, run.protocol)
        names = (distance, score)
        last = _scores(curve[-1], names) if curve else {}
        updates = int(curve[-1]["update"]) if curve else 0
        status: Status = "finished"
        if code == DivergedError.exit_code:
            status = "diverged"
        elif code:
            status = "failed"
        elif not curve:
            status, message = "failed", f"it logged no {distance or 'Frechet distance'}"
        elif updates < run.updates:
            status, message = "failed", f"ended after {updates} of {run.updates} updates"
        elif not last or not all(map(math.isfinite, last.values())):
            status, message = "diverged", "the last scores are not finite"
        finite = [point for point in curve if math.isfinite(point[distance])]
        return replace(
            self._failed(history, message),
            status=status,
            message="" if status == "finished" else self._without_places(message),
            distance=distance,
            score=score,
            untrained=_scores(finite[0], names) if finite and not finite[0]["update"] else {},
            last=last if status == "finished" else {},
            best=min(finite, key=lambda point: point[distance], default={}),
            curve=finite,
            budget={
                "generator_updates": updates,
                "critic_updates": _critic_updates(self._checkpoint()[1], updates),
                "images": updates * _images_per_update(config),
            },
            config=config,
        )

    def _failed(self, history: _History, message: str) -> Record:
        """The record of a run that left nothing to read."""
        run = self.run
        return Record(
            protocol=run.protocol.name,
            protocol_version=run.protocol.version,
            technique=run.technique,
            seed=run.seed,
            status="failed",
            message=self._without_places(message),
            distance=run.protocol.distance or "",
            score=run.protocol.score or "",
            untrained={},
            last={},
            best={},
            curve=[],
            budget={"generator_updates": 0, "critic_updates": 0, "images": 0},
            wall_seconds=round(history.seconds, 1),
            peak_memory_bytes=history.peak_memory_bytes,
            device=self._device(history),
            versions=versions(),
            commit=history.commit,
            config={},
        )

    def _device(self, history: _History) -> dict[str, Any]:
        count = self.options.devices
        if history.gpu:
            return {"name": history.gpu, "count": count}
        return {"name": processor(), "threads": self.run.protocol.threads, "count": count}

    def _without_places(self, message: str) -> str:
        """The message without what only this machine has."""
        places = [*self.options.places.values(), str(self.options.work), str(ROOT)]
        for place in [*places, str(Path.home())]:
            message = message.replace(place, "...")
        return message


def _resolved(folder: Path, places: Mapping[str, str]) -> dict[str, Any]:
    """The resolved config, but for where things are on this machine, which is no part of it."""
    path = folder / "config.yaml"
    if not path.is_file():
        return {}
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    config.pop("ckpt_path", None)
    config["trainer"].pop("logger")
    config["evaluate"].pop("cache_dir")
    for option in places:
        group, _, name = option.partition(".")
        settings = config[group]
        (settings.get("init_args") or settings).pop(name, None)
    return config


def _images_per_update(config: dict[str, Any]) -> int:
    if not config:
        return 0
    n_critic = int(config["model"]["init_args"]["n_critic"])
    batch_size = int(config["data"]["init_args"]["batch_size"])
    return n_critic * batch_size * int(config["trainer"]["devices"])


def _critic_updates(checkpoint: Path | None, updates: int) -> int:
    """With the longer phases that a technique may have."""
    if checkpoint is None:
        return 0
    gan = load(checkpoint)
    return sum(gan.critic_updates(update) for update in range(updates))


def _curve(
    folder: Path, config: dict[str, Any], protocol: Protocol
) -> tuple[str, str, list[Scores]]:
    """The names of the distance and the score, and the evaluations that the run logged."""
    rows: dict[int, dict[str, float]] = {}
    for row in read_rows(folder / "metrics.csv"):
        values = {name: float(value) for name, value in row.items() if value}
        rows.setdefault(int(values.pop("step")), {}).update(values)
    logged = sorted({name for row in rows.values() for name in row if is_full_name(name)})
    distance, score = (
        given or next((name for name in logged if name.startswith(metrics)), "")
        for given, metrics in ((protocol.distance, ("fid", "fd")), (protocol.score, "is"))
    )
    each = _images_per_update(config)
    return (
        distance,
        score,
        [
            {"update": step, "images": step * each}
            | {name: row[name] for name in ("train_seconds", distance, score) if name in row}
            for step, row in rows.items()
            if distance in row
        ],
    )


def _scores(point: Scores, names: tuple[str, str]) -> Scores:
    return {name: point[name] for name in names if name in point}


def film(pictures: list[Path], path: Path) -> None:
    """The pictures in turn, the last one for longer, as one that moves."""
    frames = [Image.open(picture).convert("RGB") for picture in pictures]
    with whole_file(path) as file:
        frames[0].save(
            file,
            "WEBP",
            save_all=True,
            append_images=frames[1:],
            duration=[400] * (len(frames) - 1) + [2000],
            loop=0,
            quality=70,
            method=6,
        )
