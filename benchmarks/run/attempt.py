"""One run: started or resumed in a separate process, and recorded."""

import json
import re
import shutil
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from benchmarks.environment import (
    changes_checksum,
    commit,
    describe_processor,
    kernel_settings,
    processor,
    revision,
    versions,
)
from benchmarks.protocol import ROOT
from benchmarks.records import Record, record_path, write_atomically, write_record
from benchmarks.run.grid import say
from benchmarks.run.lock import held_run
from benchmarks.run.plan import Options, Run
from benchmarks.run.process import STOPPED_CODES, Training, read_evaluation, read_report
from benchmarks.run.results import current_record, save_film, with_results
from gan_lightning.training.checkpoints import read_checkpoint
from gan_lightning.utils.errors import WrongFileError
from gan_lightning.utils.files import whole_file

OnEvaluation = Callable[[int, str], None]


@dataclass
class _History:
    """What earlier processes of a run pass to later ones, in ``history.json``.

    Args:
        protocol_version: the version of the protocol.
        commit: the commit of the code; with a different one the run starts from the beginning.
        places: options with the paths of data and weights.
        with_what: devices, versions of libraries, changes to the code, and the row's options and
            files, as JSON.
        seconds: the time until the checkpoint that the run resumes from, over all processes.
        started: the start time of the last process, comparable with file times.
        gpu: the first GPU that the last process trained on; "" for none.
        peak_memory_bytes: the largest peak of all processes that ended normally.
        processes: the number of processes started.
        machines: the different machines that they ran on, as ``_machine`` describes them.
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
    machines: list[dict[str, Any]] = field(default_factory=list)


class Attempt:
    """A process that trains a run, from its last checkpoint if it has one.

    Args:
        run: the run to train.
        options: the options of this machine.
        gpus: the GPUs to use, as in CUDA_VISIBLE_DEVICES; None leaves the choice to the process.
        say: called with messages for the user; prints them by default.

    Attributes:
        start_update: the update that ``execute`` started or resumed from.
    """

    def __init__(
        self,
        run: Run,
        options: Options,
        gpus: list[str] | None = None,
        say: Callable[[str], None] = say,
    ) -> None:
        self.run = run
        self.options = options
        self.gpus = gpus
        self._say = say
        self.start_update = 0
        self._files: dict[str, str] = {}
        self._stopped = threading.Event()
        self._training: Training | None = None

    @property
    def folder(self) -> Path:
        """The folder of its checkpoints and logs."""
        name, row, seed = self.run.key
        return self.options.work / name / row / f"seed{seed}"

    @property
    def _report_path(self) -> Path:
        """The path of the report that the process writes when it exits."""
        return self.folder / "report.json"

    def stop(self) -> None:
        """Stop the process; nothing is recorded, and the next attempt resumes the run."""
        self._stopped.set()
        if self._training is not None:
            self._training.stop()

    def execute_alone(self, previous: Record | None, on_evaluation: OnEvaluation) -> Record | None:
        """As ``execute``, when no other process trains the run.

        ``previous`` is its last known record. If there is another one by now, a process that was
        believed dead has made it, and it is the result.
        """
        path = self.folder.with_name(f"{self.folder.name}.lock")
        with held_run(path, self.run.name, self._stopped, self._say) as held:
            if not held:
                return None
            latest = current_record(self.run, self.options.results)
            if latest is not None and latest != previous:
                return latest
            if previous is not None and previous.status == "diverged":
                self.clear()  # resumed, it would diverge again
            return self.execute(on_evaluation)

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
        if (machine := _machine()) not in history.machines:
            history.machines.append(machine)
        self._save_history(history)
        self._report_path.unlink(missing_ok=True)
        code, message = self._train(checkpoint, on_evaluation)
        if code:
            # An interrupt may reach the process before it reaches this one.
            self._stopped.wait(2)
        if self._stopped.is_set() or code in STOPPED_CODES:
            return None
        history.seconds += time.time() - history.started
        if (report := read_report(self._report_path)) is not None:
            history.gpu = report.gpu
            history.peak_memory_bytes = max(history.peak_memory_bytes, report.peak_memory_bytes)
        record = self._blank_record(history, self._without_local_paths(message))
        try:
            record = with_results(
                record, self.run, self.folder, code, self.options.paths, self._last_checkpoint()[1]
            )
        except Exception as error:
            # The files of the process cannot be read: the run has failed.
            error_text = self._without_local_paths(f"{type(error).__name__}: {error}")
            record = replace(record, message=error_text)
        self._save_pictures()
        write_record(record, self.options.results)
        return record

    def _save_pictures(self) -> None:
        """Save the last samples and, for the first seed, a film of its evaluations.

        Of rows that are compared with a baseline, which are many, only those of the first seed.
        """
        is_first = self.run.seed == self.run.protocol.seeds[0]
        is_compared = self.run.protocol.baseline is not None
        if is_compared and not is_first:
            return
        grids = sorted((self.folder / "grids").glob("*.png"))
        if not grids:
            return
        picture = record_path(self.options.results, *self.run.key).with_suffix(".png")
        with whole_file(picture) as file:
            file.write(grids[-1].read_bytes())
        if is_first and not is_compared and len(grids) > 1:
            save_film(grids, picture.with_suffix(".webp"))

    def _load_history(self) -> _History:
        """The history in the folder; a new one if the code, data or environment has changed."""
        options, row = self.options, self.run.row
        self._files = row.files()
        with_what = {
            "devices": options.devices,
            "versions": versions(),
            "changes": changes_checksum(),
            "row": [row.technique, row.options, self._files],
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
            self._say(f"{error}: {self.run.name} starts again at update 0")
            return False
        return True

    def _train(self, checkpoint: Path | None, on_evaluation: OnEvaluation) -> tuple[int, str]:
        """Run the process; its exit code and the last line that it printed."""
        self._training = self.training(checkpoint)
        if self._stopped.is_set():
            self._training.stop()
        with (self.folder / "log.txt").open("a") as log:

            def on_line(line: str) -> None:
                log.write(line)
                log.flush()
                if evaluation := read_evaluation(line):
                    on_evaluation(*evaluation)

            return self._training.run(on_line)

    def training(self, checkpoint: Path | None) -> Training:
        """The process that trains the run, from a checkpoint if there is one."""
        protocol = self.run.protocol
        return Training(
            self._arguments(checkpoint),
            threads=self._threads,
            gpus=[] if protocol.accelerator == "cpu" else self.gpus,
            report=self._report_path,
            modules=self.run.row.modules,
        )

    @property
    def _threads(self) -> int:
        """CPU threads of each process: on a CPU they are the protocol's."""
        fixed = self.run.protocol.threads
        return max(fixed, self.options.gpu_threads) if self.gpus else fixed

    def _arguments(self, checkpoint: Path | None) -> list[str]:
        run, options = self.run, self.options
        name, _, seed = run.key
        loggers = self.folder / "loggers.yaml"
        loggers.write_text(yaml.safe_dump({"trainer": {"logger": self._loggers()}}))
        arguments = [
            "fit",
            *run.protocol.config_arguments(run.row),
            f"--config={loggers}",
            *run.protocol.command_line(run.row),
            f"--seed_everything={seed}",
            f"--trainer.accelerator={run.protocol.accelerator}",
            f"--trainer.devices={options.devices}",
            "--checkpoint.enable_version_counter=false",
            f"--evaluate.cache_dir={options.work / name / f'statistics-{run.protocol.version}'}",
            *(f"--{option}={path}" for option, path in options.paths.items()),
        ]
        if options.devices > 1:
            arguments.append(f"--data.batch_size={run.batch_size // options.devices}")
        if checkpoint is not None:
            arguments.append(f"--ckpt_path={checkpoint}")
        return arguments

    def _loggers(self) -> list[dict[str, Any]]:
        name, row, seed = self.run.key
        location = {"save_dir": str(self.folder.parent.parent), "name": row}
        loggers: list[dict[str, Any]] = [
            {
                "class_path": "gan_lightning.training.loggers.ContinuedCSVLogger",
                "init_args": {**location, "version": f"seed{seed}"},
            }
        ]
        if self.options.wandb is not None:
            identity = f"{name}-v{self.run.protocol.version}-{row}-{seed}-{revision()}"
            if self._files:  # which the commit does not tell
                identity += f"-{sha256(json.dumps(self._files).encode()).hexdigest()[:8]}"
            loggers.append(
                {
                    "class_path": "pytorch_lightning.loggers.WandbLogger",
                    "init_args": {
                        "project": self.options.wandb,
                        "save_dir": str(self.folder),
                        "name": f"{row}-seed{seed}",
                        "id": identity,
                        "log_model": self.options.wandb_checkpoints,
                    },
                    "dict_kwargs": {
                        "group": f"{name}-v{self.run.protocol.version}",
                        "tags": [name, row, f"seed{seed}", revision()],
                        "resume": "allow",
                    },
                }
            )
        return loggers

    def _blank_record(self, history: _History, message: str) -> Record:
        """The record of a run without readable results."""
        run, row = self.run, self.run.row
        own = {} if row.is_plain else {"key": row.key, "title": row.title}
        return Record(
            protocol=run.protocol.name,
            protocol_version=run.protocol.version,
            technique=row.technique,
            seed=run.seed,
            status="failed",
            message=message,
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
            **own,
            options=list(row.options),
            files=self._files,
            date=time.strftime("%Y-%m-%d", time.gmtime()),
        )

    def _device(self, history: _History) -> dict[str, Any]:
        device: dict[str, Any] = {"name": history.gpu}
        if not history.gpu:
            device = {"name": processor(), "threads": self.run.protocol.threads}
        elif self.options.per_gpu > 1:
            device["runs_per_gpu"] = self.options.per_gpu
        device["count"] = self.options.devices
        here = _machine()
        others = [machine for machine in history.machines if machine != here]
        return {**device, **here} | ({"earlier_machines": others} if others else {})

    def _without_local_paths(self, message: str) -> str:
        """The message without paths of this machine."""
        row = self.run.row
        folders = [self.options.work, row.modules, row.config and row.config.parent, ROOT]
        paths = [*self.options.paths.values(), *(folder for folder in folders if folder)]
        for path in [*paths, Path.home()]:
            message = message.replace(str(path), "...")
        return message


def _machine() -> dict[str, Any]:
    """What distinguishes the bits of this machine's results."""
    return {"processor": describe_processor(), "settings": kernel_settings()}
