"""One run: started or resumed in a separate process, and recorded."""

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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from benchmarks.environment import changes_checksum, commit, processor, versions
from benchmarks.protocol import ROOT, Protocol
from benchmarks.records import (
    DIVERSITY,
    Record,
    Scores,
    Status,
    record_path,
    write_atomically,
    write_record,
)
from gan_lightning import load
from gan_lightning.metrics.measures import is_full_name
from gan_lightning.training.checkpoints import read_checkpoint
from gan_lightning.training.divergence import DivergedError
from gan_lightning.training.loggers import read_rows
from gan_lightning.utils.errors import WrongFileError
from gan_lightning.utils.files import whole_file

#: Exit codes of a run stopped by a signal, which the next attempt resumes.
STOPPED_CODES = {128 + number for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
#: Environment variables by which launchers number the processes of one training.
LAUNCHERS = re.compile(
    r"(SLURM|TORCHELASTIC|JSM|PMI|OMPI)_.*|(LOCAL_|NODE_|GROUP_)?RANK|(LOCAL_)?WORLD_SIZE"
    r"|MASTER_(ADDR|PORT)|PL_GLOBAL_SEED"
)

OnEvaluation = Callable[[int, str], None]


@dataclass(frozen=True)
class Run:
    """One run of a protocol."""

    protocol: Protocol
    technique: str
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """The key of its record: protocol, technique and seed."""
        return self.protocol.name, self.technique, self.seed

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"{self.technique} seed {self.seed}"

    @property
    def updates(self) -> int:
        """The number of generator updates."""
        return self.protocol.updates(self.technique)

    @property
    def batch_size(self) -> int:
        """Real images per critic update, over all devices."""
        if self.protocol.budget is not None:
            return self.protocol.budget.batch_size
        return int(self.protocol.settings(self.technique).get("data", {}).get("batch_size", 64))


@dataclass(frozen=True)
class Options:
    """A worker's options on this machine.

    Args:
        results: the folder of records.
        work: the folder of checkpoints and logs.
        devices: the number of devices that each run trains on.
        paths: command-line options with the paths of data and weights, which are not recorded.
        wandb: the W&B project; None does not log to W&B.
        wandb_checkpoints: also store the last checkpoint in W&B.
    """

    results: Path
    work: Path
    devices: int = 1
    paths: Mapping[str, str] = field(default_factory=dict)
    wandb: str | None = None
    wandb_checkpoints: bool = False


@dataclass
class _History:
    """What earlier processes of a run pass to later ones, in ``history.json``.

    Args:
        protocol_version: the version of the protocol.
        commit: the commit of the code; with a different one the run starts from the beginning.
        places: options with the paths of data and weights.
        with_what: devices, versions of libraries and changes to the code, as JSON.
        seconds: the time until the checkpoint that the run resumes from, over all processes.
        started: the start time of the last process, comparable with file times.
        gpu: the first GPU that the last process trained on; "" for none.
        peak_memory_bytes: the largest peak of all processes that ended normally.
        processes: the number of processes started.
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
    """A process that trains a run, from its last checkpoint if it has one.

    Args:
        run: the run to train.
        options: the options of this machine.
        gpus: the GPUs to use, as in CUDA_VISIBLE_DEVICES; None leaves the choice to the process.

    Attributes:
        start_update: the update that ``execute`` started or resumed from.
    """

    def __init__(self, run: Run, options: Options, gpus: list[str] | None = None) -> None:
        self.run = run
        self.options = options
        self.gpus = gpus
        self.start_update = 0
        self._stopped = threading.Event()
        self._process: subprocess.Popen[str] | None = None

    @property
    def folder(self) -> Path:
        """The folder of its checkpoints and logs."""
        name, technique, seed = self.run.key
        return self.options.work / name / technique / f"seed{seed}"

    @property
    def _report_path(self) -> Path:
        """The path of the report that the process writes when it exits."""
        return self.folder / "report.json"

    def stop(self) -> None:
        """Stop the process; nothing is recorded, and the next attempt resumes the run."""
        self._stopped.set()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def execute(self, on_evaluation: OnEvaluation) -> Record | None:
        """Train and write the record; None if the run was stopped.

        ``on_evaluation`` is called with the update and a summary of the scores.
        """
        history, (self.start_update, checkpoint) = self._load_history(), self._last_checkpoint()
        if checkpoint is not None and not self._can_read(checkpoint):
            self.clear()
            history, (self.start_update, checkpoint) = self._load_history(), (0, None)
        if checkpoint is not None:
            history.seconds += max(0.0, checkpoint.stat().st_mtime - history.started)
        else:
            # The folder holds no complete checkpoint.
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        history.started = time.time()
        history.processes += 1
        self._save_history(history)
        self._report_path.unlink(missing_ok=True)
        code, message = self._train(checkpoint, on_evaluation)
        if code:
            # An interrupt may reach the process before it reaches this one.
            self._stopped.wait(2)
        if self._stopped.is_set() or code in STOPPED_CODES:
            return None
        history.seconds += time.time() - history.started
        self._read_report(history)
        try:
            record = self._record(history, code, message)
        except Exception as error:
            # The files of the process cannot be read: the run has failed.
            record = self._failed_record(history, f"{type(error).__name__}: {error}")
        self._save_pictures()
        write_record(record, self.options.results)
        return record

    def _read_report(self, history: _History) -> None:
        try:
            report = json.loads(self._report_path.read_text())
        except (OSError, ValueError):
            return  # the process was killed, or does not write reports
        history.gpu = report["gpu"]
        history.peak_memory_bytes = max(history.peak_memory_bytes, report["peak_memory_bytes"])

    def _save_pictures(self) -> None:
        """Save the last samples and, for the first seed, an animation of all evaluations."""
        grids = sorted((self.folder / "grids").glob("*.png"))
        if not grids:
            return
        picture = record_path(self.options.results, *self.run.key).with_suffix(".png")
        with whole_file(picture) as file:
            file.write(grids[-1].read_bytes())
        if self.run.seed == self.run.protocol.seeds[0] and len(grids) > 1:
            save_animation(grids, picture.with_suffix(".webp"))

    def _load_history(self) -> _History:
        """The history in the folder; a new one if the code, data or environment has changed."""
        options = self.options
        with_what = {
            "devices": options.devices,
            "versions": versions(),
            "changes": changes_checksum(),
        }
        new = _History(
            self.run.protocol.version, commit(), dict(options.paths), json.dumps(with_what)
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
        """Delete everything that the run could resume from."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)

    def _save_history(self, history: _History) -> None:
        write_atomically(self.folder / "history.json", json.dumps(asdict(history)))

    def _last_checkpoint(self) -> tuple[int, Path | None]:
        """The update and the file of the last complete checkpoint."""
        found = {
            int(step[1]): path
            for path in (self.folder / "checkpoints").glob("*.ckpt")
            if (step := re.fullmatch(r"step=(\d+)", path.stem)) and zipfile.is_zipfile(path)
        }
        return max(found.items(), default=(0, None))

    def _can_read(self, checkpoint: Path) -> bool:
        """Whether a checkpoint is whole; otherwise, say that its run starts again."""
        try:
            read_checkpoint(checkpoint)
        except WrongFileError as error:
            print(f"{error}: {self.run.name} starts again at update 0", flush=True)
            return False
        return True

    def _train(self, checkpoint: Path | None, on_evaluation: OnEvaluation) -> tuple[int, str]:
        """Run the process; its exit code and the last line that it printed."""
        last = ""
        with (
            (self.folder / "log.txt").open("a") as log,
            subprocess.Popen(
                self._command(checkpoint),
                cwd=ROOT,  # the paths of a protocol are relative to it
                # It exits when its standard input closes, and so with this process in any case.
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
                        on_evaluation(int(evaluation[1]), evaluation[2].strip())
                    # What libraries print after the error is not the cause.
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
        variables = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        variables["GAN_LIGHTNING_REPORT"] = str(self._report_path)
        if self.run.protocol.accelerator == "cpu":
            variables["CUDA_VISIBLE_DEVICES"] = ""
        elif self.gpus is not None:
            variables["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)
        # A launcher that started this worker did not start the run.
        inherited = {k: v for k, v in os.environ.items() if not LAUNCHERS.fullmatch(k)}
        return inherited | variables

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
            *(f"--{option}={path}" for option, path in options.paths.items()),
        ]
        if options.devices > 1:
            command.append(f"--data.batch_size={run.batch_size // options.devices}")
        if checkpoint is not None:
            command.append(f"--ckpt_path={checkpoint}")
        return command

    def _loggers(self) -> list[dict[str, Any]]:
        name, technique, seed = self.run.key
        location = {"save_dir": str(self.folder.parent.parent), "name": technique}
        loggers: list[dict[str, Any]] = [
            {
                "class_path": "gan_lightning.training.loggers.ContinuedCSVLogger",
                "init_args": {**location, "version": f"seed{seed}"},
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
        run, config = self.run, _resolved_config(self.folder, self.options.paths)
        distance, score, curve = _learning_curve(self.folder, config, run.protocol)
        names = (distance, score, *DIVERSITY)
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
        finite = [point for point in curve if all(map(math.isfinite, point.values()))]
        return replace(
            self._failed_record(history, message),
            status=status,
            message="" if status == "finished" else self._without_local_paths(message),
            distance=distance,
            score=score,
            untrained=_scores(finite[0], names) if finite and not finite[0]["update"] else {},
            last=last if status == "finished" else {},
            best=min(finite, key=lambda point: point[distance], default={}),
            curve=finite,
            budget={
                "generator_updates": updates,
                "critic_updates": _critic_updates(self._last_checkpoint()[1], updates),
                "images": updates * _images_per_update(config),
            },
            config=config,
        )

    def _failed_record(self, history: _History, message: str) -> Record:
        """The record of a run without readable results."""
        run = self.run
        return Record(
            protocol=run.protocol.name,
            protocol_version=run.protocol.version,
            technique=run.technique,
            seed=run.seed,
            status="failed",
            message=self._without_local_paths(message),
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

    def _without_local_paths(self, message: str) -> str:
        """The message without paths of this machine."""
        paths = [*self.options.paths.values(), str(self.options.work), str(ROOT)]
        for path in [*paths, str(Path.home())]:
            message = message.replace(path, "...")
        return message


def _resolved_config(folder: Path, paths: Mapping[str, str]) -> dict[str, Any]:
    """The resolved config without the paths of this machine."""
    file = folder / "config.yaml"
    if not file.is_file():
        return {}
    config: dict[str, Any] = yaml.safe_load(file.read_text())
    config.pop("ckpt_path", None)
    config["trainer"].pop("logger")
    config["evaluate"].pop("cache_dir")
    for option in paths:
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
    """Critic updates of so many generator updates, including long critic phases."""
    if checkpoint is None:
        return 0
    gan = load(checkpoint)
    return sum(gan.critic_updates(update) for update in range(updates))


def _learning_curve(
    folder: Path, config: dict[str, Any], protocol: Protocol
) -> tuple[str, str, list[Scores]]:
    """The names of the distance and the score, and the logged evaluations."""
    rows: dict[int, dict[str, float]] = {}
    for row in read_rows(folder / "metrics.csv"):
        values = {name: float(value) for name, value in row.items() if value}
        rows.setdefault(int(values.pop("step")), {}).update(values)
    logged = sorted({name for row in rows.values() for name in row if is_full_name(name)})
    distance, score = (
        given or next((name for name in logged if name.startswith(metrics)), "")
        for given, metrics in ((protocol.distance, ("fid", "fd")), (protocol.score, "is"))
    )
    images = _images_per_update(config)
    return (
        distance,
        score,
        [
            {"update": step, "images": step * images}
            | {
                name: row[name]
                for name in ("train_seconds", distance, score, *DIVERSITY)
                if name in row
            }
            for step, row in rows.items()
            if distance in row
        ],
    )


def _scores(point: Scores, names: Iterable[str]) -> Scores:
    return {name: point[name] for name in names if name in point}


def save_animation(pictures: list[Path], path: Path) -> None:
    """Save the pictures as an animation that shows the last one for longer."""
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
