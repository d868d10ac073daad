"""Make a record's run again: ``python -m benchmarks.reproduce RECORD``.

Trains with the record's own config, which can name any class and is to be trusted as a program is,
on the code of its own commit, and says whether the score is the
same: to the last bit on the same processor and versions, else, as on a GPU, within the spread of
the seeds. Exits with 1 where it is not.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from benchmarks.environment import commit, devices, versions
from benchmarks.protocol import PLACES, ROOT
from benchmarks.records import Record, read_record
from gan_lightning.training.loggers import read_rows
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import user_path

#: What git could take for an option is none.
COMMIT = "[0-9a-f]{40}|[0-9a-f]{64}"
#: A score is within the spread where it is at most so many standard deviations from the mean.
DEVIATIONS = 2.0


def main(args: Sequence[str] | None = None) -> None:
    """Train again, compare and say; exits with 1 where the score is another."""
    options = _parser().parse_args(args)
    try:
        record = read_record(options.record)
        others = siblings(options.record, record)
    except OSError as error:
        raise SystemExit(f"{options.record} cannot be read ({error.strerror})") from error
    except UserError as error:
        raise SystemExit(f"benchmarks.reproduce: {error}") from error
    if record.status != "finished":
        raise SystemExit(f"{options.record} is of a run that {record.status}: {record.message}")
    if record.commit.endswith("-dirty"):
        raise SystemExit(f"{options.record} is of changed code, which no commit has")
    places = {
        option: str(user_path(place).resolve())
        for option, place in zip(PLACES, (options.data_dir, options.weights), strict=True)
        if place is not None
    }
    code = nullcontext(ROOT) if options.options else _code_of(record.commit)
    with code as place:
        found = train(record, place, options.work, places, options.options)
    print(f"{record.distance}: {found!r}, the record has {record.last[record.distance]!r}")
    same, said = verdict(record, others, found, options.options)
    print(said)
    if not same:
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.reproduce", description=__doc__)
    parser.add_argument("record", type=Path, help="the JSON file")
    parser.add_argument("--data-dir", help="where the data is, where the config does not say")
    parser.add_argument("--weights", help="the file of the extractor's weights, where it needs one")
    parser.add_argument("--work", type=Path, default=Path("runs", "reproduce"))
    parser.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="over the record's config, and with the code as it is here: do they move the score?",
    )
    return parser


def train(
    record: Record, code: Path, work: Path, places: dict[str, str], options: Sequence[str] = ()
) -> float:
    """The distance that the run ends with."""
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(yaml.safe_dump(record.config))
        command = [
            *(sys.executable, "-m", "gan_lightning", "fit", f"--config={config}"),
            *("--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={folder}"),
            *("--trainer.logger.name=run", "--trainer.logger.version=0"),
            f"--evaluate.cache_dir={folder}/statistics",
            *(f"--{option}={place}" for option, place in places.items()),
            *(f"--{option}" for option in options),
        ]
        threads = str(record.device.get("threads", 1))
        environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        done = subprocess.run(command, cwd=code, env=environment, check=False)
        if done.returncode:
            raise SystemExit(f"the run failed with {done.returncode}")
        rows = read_rows(Path(folder) / "run" / "version_0" / "metrics.csv")
    values = [float(row[record.distance]) for row in rows if row.get(record.distance)]
    return values[-1]


def siblings(path: Path, record: Record) -> list[Record]:
    """The finished runs of the same technique on all seeds, this one among them."""
    records = [read_record(other) for other in sorted(path.parent.glob("seed*.json"))]
    return [
        other
        for other in records
        if other.status == "finished" and other.protocol_version == record.protocol_version
    ]


def verdict(
    record: Record, runs: Sequence[Record], found: float, options: Sequence[str] = ()
) -> tuple[bool, str]:
    """Whether the score is as it is to be, and why; ``options`` are others than the record's."""
    if found == record.last[record.distance]:
        return True, "the same to the last bit"
    # The sums of a GPU are made in an order of its own.
    on_cpu, others = "threads" in record.device, [*options, *differences(record)]
    if on_cpu and not others:
        return False, "not the same bits, on the same processor and versions"
    scores = [run.last[run.distance] for run in runs]
    if len(scores) < 2:
        return False, "not the same, and there are no other seeds to compare with"
    middle, spread = mean(scores), stdev(scores)
    within = abs(found - middle) <= DEVIATIONS * spread
    return within, (
        f"{'within' if within else 'outside of'} {DEVIATIONS:g} standard deviations of the "
        f"{len(scores)} seeds ({middle:.4g} ± {spread:.2g}); of other bits, "
        f"{'with another ' + ', '.join(others) if others else 'on a GPU'}"
    )


def differences(record: Record) -> list[str]:
    """What here is not as it was: names of libraries, and the device."""
    here = versions()
    found = [name for name, version in record.versions.items() if here.get(name) != version]
    if record.device.get("name") not in devices():
        found.append("processor" if "threads" in record.device else "GPU")
    return found


@contextmanager
def _code_of(revision: str) -> Iterator[Path]:
    """A folder with the code of a commit: this one, where it is that."""
    if revision == commit():
        yield ROOT
        return
    if not re.fullmatch(COMMIT, revision):
        raise SystemExit(f"the record names no commit, but {revision!r}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "code"
        added: Any = subprocess.run(
            ["git", "worktree", "add", "--detach", str(place), revision],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if added.returncode:
            raise SystemExit(f"there is no commit {revision} here: {added.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run(
                ["git", "worktree", "remove", "--force", str(place)], cwd=ROOT, check=False
            )


if __name__ == "__main__":
    main()
