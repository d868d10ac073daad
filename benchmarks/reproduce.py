"""Repeat the run of a record: ``python -m benchmarks.reproduce RECORD``.

Says what differs between this machine and the record's, and whether equal bits can be expected.
Then trains with the record's config, on the code of its commit (an installed package: on its own
code), and reports whether the score is
the same: bit for bit where nothing differs; otherwise, and on a GPU, within the spread of the
seeds. Exits with 1 if it is not, with 130 if interrupted. A config can name any class: use only
records that you would trust as programs.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from statistics import mean, stdev

import yaml

from benchmarks.command_line import Parser
from benchmarks.comparison import COMMIT, Comparison, compare
from benchmarks.environment import commit
from benchmarks.protocol import INSTALLED, PATH_OPTIONS, ROOT
from benchmarks.records import Record, read_record
from benchmarks.run.process import Training, sigterm_interrupts
from benchmarks.variants import check_modules
from gan_lightning import TECHNIQUES
from gan_lightning.training.loggers import read_rows
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import user_path

#: The largest distance from the mean, in standard deviations, that is within the spread.
MAX_DEVIATIONS = 2.0


def main(args: Sequence[str] | None = None, prog: str = "benchmarks.reproduce") -> None:
    """Train again, compare and report; exits with 1 if the score is not the same."""
    parser = _parser(prog)
    options = parser.parse_args(args)
    try:
        record = read_record(options.record)
        runs = comparable_runs(options.record, record)
    except OSError as error:
        parser.stop(f"{options.record} cannot be read ({error.strerror})")
    except UserError as error:
        parser.stop(error)
    if record.status != "finished":
        parser.stop(
            f"{options.record} is the record of a run that {record.status}: {record.message}"
        )
    if record.commit.endswith("-dirty"):
        parser.stop(f"{options.record} comes from uncommitted changes, which no commit contains")
    try:
        check_modules(record.technique, record.files, Path.cwd())
    except UserError as error:
        parser.stop(error)
    paths = {
        option: str(user_path(path).resolve())
        for option, path in zip(PATH_OPTIONS, (options.data_dir, options.weights), strict=True)
        if path is not None
    }
    code: AbstractContextManager[Path | None]
    if INSTALLED:
        code = nullcontext()
    else:
        code = nullcontext(ROOT) if options.options else _checkout(record, parser)
    try:
        with sigterm_interrupts(), code as folder:
            comparison = compare(record, options.options, current=folder is None)
            print(comparison, flush=True)
            score = train(record, folder, options.work, paths, options.options)
    except TrainingError as error:
        parser.stop(error)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        raise SystemExit(130) from None
    print(f"{record.distance}: {score!r}, the record has {record.last[record.distance]!r}")
    same, message = verdict(record, runs, score, comparison)
    print(message)
    if not same:
        raise SystemExit(1)


class TrainingError(Exception):
    """The repeated run failed."""


def _parser(prog: str) -> Parser:
    parser = Parser(prog, __doc__)
    parser.add_argument("record", type=Path, help="the JSON file of the record")
    parser.add_argument("--data-dir", help="the folder of the data, if the config does not set it")
    parser.add_argument("--weights", help="the file of the extractor's weights, if it needs one")
    parser.add_argument("--work", type=Path, default=Path("runs", "reproduce"))
    parser.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="override the record's config, and use the current code; does the score change?",
    )
    return parser


def train(
    record: Record,
    code: Path | None,
    work: Path,
    paths: dict[str, str],
    options: Sequence[str] = (),
) -> float:
    """Repeat the run; the last distance.

    Raises:
        TrainingError: it failed.
    """
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(yaml.safe_dump(record.config))
        on_cpu = "threads" in record.device
        training = Training(
            [
                *("fit", f"--config={config}"),
                *("--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={folder}"),
                *("--trainer.logger.name=run", "--trainer.logger.version=0"),
                f"--evaluate.cache_dir={folder}/statistics",
                *(f"--{option}={path}" for option, path in paths.items()),
                *(f"--{option}" for option in options),
            ],
            threads=record.device.get("threads", 1),
            gpus=[] if on_cpu else None,
            code=code,
            modules=None if record.technique in TECHNIQUES else Path.cwd(),
        )
        status, message = training.run(lambda line: print(line, end="", flush=True))
        if status:
            raise TrainingError(f"the run failed with exit code {status}: {message}")
        rows = read_rows(Path(folder) / "run" / "version_0" / "metrics.csv")
    values = [float(row[record.distance]) for row in rows if row.get(record.distance)]
    return values[-1]


def comparable_runs(path: Path, record: Record) -> list[Record]:
    """The finished runs of the same technique and version on all seeds, including this one."""
    runs = [read_record(other) for other in sorted(path.parent.glob("seed*.json"))]
    return [
        run
        for run in runs
        if run.status == "finished"
        and run.protocol_version == record.protocol_version
        and (run.options, run.files) == (record.options, record.files)
    ]


def verdict(
    record: Record, runs: Sequence[Record], score: float, comparison: Comparison
) -> tuple[bool, str]:
    """Whether the score is as expected, and why."""
    if score == record.last[record.distance]:
        return True, "identical to the last bit"
    if comparison.exact:
        return False, "not identical, though nothing differs that moves bits"
    scores = [run.last[run.distance] for run in runs]
    if len(scores) < 2:
        return False, "not identical, and there are no other seeds to compare with"
    center, spread = mean(scores), stdev(scores)
    within = abs(score - center) <= MAX_DEVIATIONS * spread
    return within, (
        f"{'within' if within else 'outside of'} {MAX_DEVIATIONS:g} standard deviations of the "
        f"{len(scores)} seeds ({center:.4g} ± {spread:.2g}); not identical: {comparison.reason}"
    )


@contextmanager
def _checkout(record: Record, parser: Parser) -> Iterator[Path]:
    """A folder with the code of the record's commit: this checkout if it is at that commit."""
    revision = record.commit
    if revision and revision == commit():
        yield ROOT
        return
    if not revision:
        version = record.versions.get("gan-lightning", "")
        parser.stop(
            f"the record names no commit: an installed package made it (version {version}); "
            "repeat it with gan-lightning benchmark reproduce of that version"
        )
    if not re.fullmatch(COMMIT, revision):
        parser.stop(f"the record names no commit, but {revision!r}")
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "code"
        try:
            added = _worktree("add", "--detach", str(checkout), revision)
            if added.returncode:
                parser.stop(f"there is no commit {revision} here: {added.stderr.strip()}")
            yield checkout
        finally:
            _worktree("remove", "--force", str(checkout))


def _worktree(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "worktree", *args], cwd=ROOT, capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    main()
