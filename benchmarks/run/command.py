"""Train the runs that have no record yet: ``python -m benchmarks.run --protocol digits``.

Every run is a separate process that uses the public command line, and leaves one record. A run
with a record of the protocol's version is skipped, an interrupted run resumes from its last
checkpoint, and a failed run leaves a record of its failure and does not stop the other runs.
Several workers, on one machine or on many that share the folders, divide the runs among themselves.
"""

import argparse
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import torch

from benchmarks.protocol import PATH_OPTIONS, PROTOCOLS, RESULTS
from benchmarks.records import Record, read_record, record_path
from benchmarks.run.attempt import Attempt
from benchmarks.run.claims import LEASE, claim
from benchmarks.run.plan import Options, Run
from gan_lightning import TECHNIQUES
from gan_lightning.utils.files import user_path


def main(args: Sequence[str] | None = None) -> None:
    """Train the runs; exits with 1 if a run did not finish, with 130 if interrupted."""
    parser = _parser()
    options = parser.parse_args(args)
    protocol = PROTOCOLS[options.protocol]
    paths = {
        option: str(user_path(path).resolve())
        for option, path in (
            ("data.data_dir", options.data_dir),
            ("evaluate.weights", options.weights),
        )
        if path is not None
    }
    for option in protocol.needs:
        if option not in paths:
            parser.error(f"{protocol.name} needs {PATH_OPTIONS[option]}: {protocol.needs[option]}")
    runs = [
        Run(protocol, technique, seed)
        for seed in options.seeds or protocol.seeds
        for technique in options.techniques or protocol.techniques
    ]
    if options.devices < 1 or (options.parallel is not None and options.parallel < 1):
        parser.error("--parallel and --devices must be at least 1")
    gpus = 0 if protocol.accelerator == "cpu" else len(_gpus())
    if options.parallel is None:
        options.parallel = max(gpus // options.devices, 1) if gpus else os.cpu_count() or 1
    for run in runs:
        if run.batch_size % options.devices:
            parser.error(
                f"{run.technique}'s batch of {run.batch_size} cannot be divided among "
                f"{options.devices} devices"
            )
    if gpus and options.parallel * options.devices > gpus:
        parser.error(
            f"{options.parallel} runs on {options.devices} device(s) each need more than the "
            f"{gpus} GPU(s) available"
        )
    machine_options = Options(
        options.results.resolve(),
        options.work.resolve(),
        options.devices,
        paths,
        options.wandb,
        options.wandb_checkpoints,
    )
    grid = Grid(runs, machine_options, options.parallel, options.lease, options.retry)
    previous = signal.signal(signal.SIGTERM, _raise_interrupt)
    try:
        grid.work()
    except KeyboardInterrupt:
        print("interrupted: the same command resumes from the last checkpoints", flush=True)
        raise SystemExit(130) from None
    finally:
        grid.stop()
        signal.signal(signal.SIGTERM, previous)
    records = [read_record(record_path(options.results, *run.key)) for run in runs]
    if any(record.status != "finished" for record in records):
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="digits")
    parser.add_argument("--techniques", nargs="+", choices=TECHNIQUES, help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: the protocol's")
    parser.add_argument(
        "--data-dir", help="the folder of the data, if the protocol does not set it"
    )
    parser.add_argument("--weights", help="the file of the extractor's weights, if it needs one")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of records")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("runs", "benchmark"),
        help="the folder of checkpoints and logs",
    )
    parser.add_argument(
        "--parallel",
        type=int,
        help="concurrent runs, each on its own devices (default: one per GPU, else one per core)",
    )
    parser.add_argument("--devices", type=int, default=1, help="devices that each run trains on")
    parser.add_argument("--retry", action="store_true", help="repeat failed runs")
    parser.add_argument("--wandb", metavar="PROJECT", help="also log to Weights & Biases")
    parser.add_argument(
        "--wandb-checkpoints", action="store_true", help="store the last checkpoints there"
    )
    parser.add_argument(
        "--lease",
        type=float,
        default=LEASE,
        help="seconds without a sign of life after which a worker's run is taken over",
    )
    return parser


def _raise_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _gpus() -> list[str]:
    """The names of the visible GPUs, as in CUDA_VISIBLE_DEVICES."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(i) for i in range(torch.cuda.device_count())]
    names = [name.strip() for name in given.split(",") if name.strip()]
    return names[: names.index("-1")] if "-1" in names else names


class Grid:
    """A grid of runs, shared with other workers.

    Args:
        runs: all runs of the grid.
        options: the options of this machine.
        parallel: the number of runs at the same time.
        lease: the lease of a claim, in seconds.
        retry: repeat the runs whose records have failed.
    """

    def __init__(
        self, runs: list[Run], options: Options, parallel: int, lease: float, retry: bool
    ) -> None:
        self.runs = runs
        self.options = options
        self.parallel = parallel
        self.lease = lease
        # With the time of the record: a run that another worker has since repeated is not repeated.
        self._to_retry = {
            run.key: self._modified(run) for run in runs if retry and self._failed(run)
        }
        self._stopped = threading.Event()
        self._attempts: list[Attempt] = []
        # Shares of each run's updates: done in the current runs, and done by this worker.
        self._current: dict[str, float] = {}
        self._done_here: dict[str, float] = {}
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def work(self) -> None:
        """Work until every run has a record."""
        todo = sum(not self._has_record(run) for run in self.runs)
        print(
            f"{self.runs[0].protocol.name}: {len(self.runs) - todo} of {len(self.runs)} runs have "
            f"a record, {todo} to go, {self.parallel} at a time",
            flush=True,
        )
        slots = [
            threading.Thread(target=self._slot, args=(number,), daemon=True)
            for number in range(min(self.parallel, max(todo, 1)))
        ]
        for slot in slots:
            slot.start()
        for slot in slots:
            while slot.is_alive():
                slot.join(0.2)  # short waits, so that an interrupt is noticed
                if self._error is not None:
                    break
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Stop the current runs; the next worker resumes from their last checkpoints."""
        self._stopped.set()
        with self._lock:
            for attempt in self._attempts:
                attempt.stop()
        deadline = time.monotonic() + 20
        while self._attempts and time.monotonic() < deadline:
            time.sleep(0.05)

    def _slot(self, number: int) -> None:
        on_cpu = self.runs[0].protocol.accelerator == "cpu"
        devices, visible = self.options.devices, [] if on_cpu else _gpus()
        gpus = visible[number * devices : (number + 1) * devices] or None
        while not self._stopped.is_set():
            missing = [run for run in self.runs if not self._has_record(run)]
            if not missing:
                return
            try:
                claimed = any(self._try_run(run, gpus) for run in missing)
            except Exception as error:
                # The main thread raises it and stops the other threads.
                self._error = error
                return
            if not claimed:
                # Other workers hold all remaining runs; one of them may die.
                self._stopped.wait(min(self.lease / 4, 5.0))

    def _try_run(self, run: Run, gpus: list[str] | None) -> bool:
        """Claim the run and train it until it ends or stops; False if another worker has it."""
        attempt = Attempt(run, self.options, gpus)
        # Next to the record: workers may have separate folders for checkpoints.
        path = record_path(self.options.results, *run.key)
        held = claim(path.parent, path.stem, attempt.stop, self.lease)
        if held is None:
            return False
        try:
            if self._has_record(run):
                return True
            with self._lock:
                self._attempts.append(attempt)
                if self._stopped.is_set():
                    return True
            previous = self._read(run)
            if previous is not None and previous.status == "diverged":
                attempt.clear()  # resumed, it would diverge again
            record = attempt.execute(
                lambda update, scores: self._report_evaluation(attempt, update, scores)
            )
            if record is not None:
                self._to_retry.pop(run.key, None)
                self._report_result(run, record)
        finally:
            held.release()
            with self._lock:
                if attempt in self._attempts:
                    self._attempts.remove(attempt)
                self._current.pop(run.name, None)
        return True

    def _report_evaluation(self, attempt: Attempt, update: int, scores: str) -> None:
        run = attempt.run
        self._current[run.name] = min(update / run.updates, 0.99)
        self._done_here[run.name] = max(0, update - attempt.start_update) / run.updates
        print(f"{run.name}, update {update}: {scores} ({self._progress()})", flush=True)

    def _report_result(self, run: Run, record: Record) -> None:
        self._current.pop(run.name, None)
        scores = ", ".join(f"{name} {value:.2f}" for name, value in record.last.items())
        outcome = "finished, but collapsed" if record.collapse else record.status
        print(
            f"{run.name} {outcome} in {record.wall_seconds:.0f} s: "
            f"{scores or record.message} ({self._progress()})",
            flush=True,
        )

    def _progress(self) -> str:
        """Progress over all runs, including other workers'; time left at this worker's pace."""
        recorded = sum(self._has_record(run) for run in self.runs)
        share, elapsed = sum(self._done_here.values()), time.monotonic() - self._started
        left = len(self.runs) - recorded - sum(self._current.values())
        text = f"{recorded} of {len(self.runs)} runs done"
        return f"{text}, about {elapsed / share * left / 60:.0f} min left" if share else text

    def _has_record(self, run: Run) -> bool:
        record = self._read(run)
        retry = run.key in self._to_retry and self._to_retry[run.key] == self._modified(run)
        return record is not None and not retry

    def _failed(self, run: Run) -> bool:
        record = self._read(run)
        return record is not None and record.status != "finished"

    def _read(self, run: Run) -> Record | None:
        """The record of the run, if it has this version of the protocol."""
        path = record_path(self.options.results, *run.key)
        if not path.is_file():
            return None
        try:
            record = read_record(path)
        except ValueError as error:
            print(f"{error}: its run is repeated", flush=True)
            return None
        return record if record.protocol_version == run.protocol.version else None

    def _modified(self, run: Run) -> int:
        path = record_path(self.options.results, *run.key)
        return path.stat().st_mtime_ns if path.is_file() else 0
