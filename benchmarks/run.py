"""Train what has no record yet: ``python -m benchmarks.run --protocol digits``.

Every run is a process of its own that goes through the command line users call, and leaves one
record. A run that has a record of the protocol's version is skipped, one that was interrupted goes
on from its last checkpoint, a failed one leaves a record that says so, and the others go on.
Several workers, on one machine or on many that share the folders, part the runs among themselves.
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

from benchmarks.attempt import Attempt, Options, Run
from benchmarks.claims import LEASE, claim
from benchmarks.protocol import PLACES, PROTOCOLS, RESULTS
from benchmarks.records import Record, read_record, record_path
from gan_lightning import TECHNIQUES
from gan_lightning.utils.files import user_path


def main(args: Sequence[str] | None = None) -> None:
    """Make the runs; exits with 1 when one did not finish, with 130 when it is interrupted."""
    parser = _parser()
    options = parser.parse_args(args)
    protocol = PROTOCOLS[options.protocol]
    places = {
        option: str(user_path(place).resolve())
        for option, place in (
            ("data.data_dir", options.data_dir),
            ("evaluate.weights", options.weights),
        )
        if place is not None
    }
    for option in protocol.needs:
        if option not in places:
            parser.error(f"{protocol.name} needs {PLACES[option]}: {protocol.needs[option]}")
    grid = [
        Run(protocol, technique, seed)
        for seed in options.seeds or protocol.seeds
        for technique in options.techniques or protocol.techniques
    ]
    if options.devices < 1 or (options.parallel is not None and options.parallel < 1):
        parser.error("--parallel and --devices must be at least 1")
    gpus = 0 if protocol.accelerator == "cpu" else len(_gpus())
    if options.parallel is None:
        options.parallel = max(gpus // options.devices, 1) if gpus else os.cpu_count() or 1
    for run in grid:
        if run.batch_size % options.devices:
            parser.error(
                f"{run.technique}'s batch of {run.batch_size} is not to be parted among "
                f"{options.devices} devices"
            )
    if gpus and options.parallel * options.devices > gpus:
        parser.error(
            f"{options.parallel} runs on {options.devices} device(s) each need more than the "
            f"{gpus} GPU(s) that there are"
        )
    here = Options(
        options.results.resolve(),
        options.work.resolve(),
        options.devices,
        places,
        options.wandb,
        options.wandb_checkpoints,
    )
    grid_work = Grid(grid, here, options.parallel, options.lease, options.retry)
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        grid_work.work()
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from the last checkpoints", flush=True)
        raise SystemExit(130) from None
    finally:
        grid_work.stop()
        signal.signal(signal.SIGTERM, before)
    records = [read_record(record_path(options.results, *run.key)) for run in grid]
    if any(record.status != "finished" for record in records):
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="digits")
    parser.add_argument("--techniques", nargs="+", choices=TECHNIQUES, help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: the protocol's")
    parser.add_argument("--data-dir", help="where the data is, where the protocol does not say")
    parser.add_argument("--weights", help="the file of the extractor's weights, where it needs one")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of records")
    parser.add_argument(
        "--work", type=Path, default=Path("runs", "benchmark"), help="checkpoints and logs go here"
    )
    parser.add_argument(
        "--parallel",
        type=int,
        help="runs at a time, on devices of their own (default: one a GPU, else one a core)",
    )
    parser.add_argument("--devices", type=int, default=1, help="that each run trains on together")
    parser.add_argument("--retry", action="store_true", help="make failed runs again")
    parser.add_argument("--wandb", metavar="PROJECT", help="log to Weights & Biases too")
    parser.add_argument(
        "--wandb-checkpoints", action="store_true", help="keep the last checkpoints there"
    )
    parser.add_argument(
        "--lease",
        type=float,
        default=LEASE,
        help="seconds without a sign of life after which another worker's run is taken over",
    )
    return parser


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _gpus() -> list[str]:
    """The GPUs of this machine that it may use, as CUDA_VISIBLE_DEVICES names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(i) for i in range(torch.cuda.device_count())]
    names = [name.strip() for name in given.split(",") if name.strip()]
    return names[: names.index("-1")] if "-1" in names else names


class Grid:
    """Runs to make, shared with other workers.

    Args:
        runs: all of them.
        options: of this machine.
        parallel: how many at a time.
        lease: of a claim.
        retry: make those again whose record says that they failed.
    """

    def __init__(
        self, runs: list[Run], options: Options, parallel: int, lease: float, retry: bool
    ) -> None:
        self.runs = runs
        self.options = options
        self.parallel = parallel
        self.lease = lease
        # As they were found: one that another worker has made since is not made once more.
        self._again = {run.key: self._stamp(run) for run in runs if retry and self._failed(run)}
        self._stopped = threading.Event()
        self._attempts: list[Attempt] = []
        # Of each run's updates: what is done of those under way, and what this worker has made.
        self._under_way: dict[str, float] = {}
        self._made_here: dict[str, float] = {}
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def work(self) -> None:
        """Until every run has a record."""
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
                slot.join(0.2)  # in short waits, between which an interrupt is heard
                if self._error is not None:
                    break
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End what runs; the next worker goes on from the last checkpoints."""
        self._stopped.set()
        with self._lock:
            for attempt in self._attempts:
                attempt.stop()
        deadline = time.monotonic() + 20
        while self._attempts and time.monotonic() < deadline:
            time.sleep(0.05)

    def _slot(self, number: int) -> None:
        on_cpu = self.runs[0].protocol.accelerator == "cpu"
        each, visible = self.options.devices, [] if on_cpu else _gpus()
        gpus = visible[number * each : (number + 1) * each] or None
        while not self._stopped.is_set():
            missing = [run for run in self.runs if not self._has_record(run)]
            if not missing:
                return
            try:
                made = any(self._made(run, gpus) for run in missing)
            except Exception as error:
                # Raised in the main thread, which stops the others.
                self._error = error
                return
            if not made:
                # Other workers have them all; one of them may die.
                self._stopped.wait(min(self.lease / 4, 5.0))

    def _made(self, run: Run, gpus: list[str] | None) -> bool:
        """Whether this worker could claim the run, and made it as far as it was let."""
        attempt = Attempt(run, self.options, gpus)
        # Beside the record: workers may have checkpoints in places of their own.
        place = record_path(self.options.results, *run.key)
        held = claim(place.parent, place.stem, attempt.stop, self.lease)
        if held is None:
            return False
        try:
            if self._has_record(run):
                return True
            with self._lock:
                self._attempts.append(attempt)
                if self._stopped.is_set():
                    return True
            found = self._read(run)
            if found is not None and found.status == "diverged":
                attempt.clear()  # it would end where it ended
            record = attempt.make(lambda update, scores: self._say(attempt, update, scores))
            if record is not None:
                self._again.pop(run.key, None)
                self._say_done(run, record)
        finally:
            held.release()
            with self._lock:
                if attempt in self._attempts:
                    self._attempts.remove(attempt)
                self._under_way.pop(run.name, None)
        return True

    def _say(self, attempt: Attempt, update: int, scores: str) -> None:
        run = attempt.run
        self._under_way[run.name] = min(update / run.updates, 0.99)
        self._made_here[run.name] = max(0, update - attempt.began) / run.updates
        print(f"{run.name}, update {update}: {scores} ({self._progress()})", flush=True)

    def _say_done(self, run: Run, record: Record) -> None:
        self._under_way.pop(run.name, None)
        scores = ", ".join(f"{name} {value:.2f}" for name, value in record.last.items())
        print(
            f"{run.name} {record.status} in {record.wall_seconds:.0f} s: "
            f"{scores or record.message} ({self._progress()})",
            flush=True,
        )

    def _progress(self) -> str:
        """Over all runs, those of other workers too; the time left is at this worker's pace."""
        recorded = sum(self._has_record(run) for run in self.runs)
        share, elapsed = sum(self._made_here.values()), time.monotonic() - self._started
        left = len(self.runs) - recorded - sum(self._under_way.values())
        text = f"{recorded} of {len(self.runs)} runs done"
        return f"{text}, about {elapsed / share * left / 60:.0f} min left" if share else text

    def _has_record(self, run: Run) -> bool:
        record = self._read(run)
        again = run.key in self._again and self._again[run.key] == self._stamp(run)
        return record is not None and not again

    def _failed(self, run: Run) -> bool:
        record = self._read(run)
        return record is not None and record.status != "finished"

    def _read(self, run: Run) -> Record | None:
        """The record of this version of the protocol."""
        path = record_path(self.options.results, *run.key)
        if not path.is_file():
            return None
        try:
            record = read_record(path)
        except ValueError as error:
            print(f"{error}: it is made again", flush=True)
            return None
        return record if record.protocol_version == run.protocol.version else None

    def _stamp(self, run: Run) -> int:
        path = record_path(self.options.results, *run.key)
        return path.stat().st_mtime_ns if path.is_file() else 0


if __name__ == "__main__":
    main()
