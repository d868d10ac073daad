"""Records of a protocol as the rows of a table."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from benchmarks.protocol import Protocol
from benchmarks.records import Record, record_path
from gan_lightning import TECHNIQUES


@dataclass(frozen=True)
class Row:
    """A technique's runs, finished or not.

    Args:
        technique: the key in ``TECHNIQUES``.
        runs: its records, by seed.
        missing: seeds of the protocol without a record.
        picture: samples of its first finished run, if there is one.
    """

    technique: str
    runs: list[Record]
    missing: list[int]
    picture: Path | None

    @property
    def name(self) -> str:
        """The name of the class."""
        return TECHNIQUES[self.technique].__name__

    @property
    def finished(self) -> list[Record]:
        """The runs with scores."""
        return [run for run in self.runs if run.status == "finished"]

    def values(self, which: str, metric: str) -> list[float]:
        """One number per finished run: ``which`` is ``untrained``, ``last`` or ``best``."""
        return [getattr(run, which)[metric] for run in self.finished]

    def troubles(self) -> Iterator[str]:
        """What did not finish, in words."""
        for run in self.runs:
            if run.status != "finished":
                yield f"seed {run.seed} {run.status}: {run.message}"
        if self.missing:
            yield f"seed {', '.join(map(str, self.missing))} not run"


def rows(records: list[Record], protocol: Protocol, results: Path) -> list[Row]:
    """One row for each technique of the protocol, the best mean distance first."""
    table = []
    for technique in protocol.techniques:
        runs = [record for record in records if record.technique == technique]
        missing = [seed for seed in protocol.seeds if seed not in {run.seed for run in runs}]
        pictures = (
            record_path(results, protocol.name, technique, run.seed).with_suffix(".png")
            for run in runs
            if run.status == "finished"
        )
        picture = next((path for path in pictures if path.is_file()), None)
        table.append(Row(technique, runs, missing, picture))
    worst = float("inf")
    return sorted(table, key=lambda row: mean(row.values("last", protocol.distance) or [worst]))


#: Sorts what has no number behind all that has.
BEHIND = 1e99


@dataclass(frozen=True)
class Cell:
    """What a table shows, and the number it is sorted by; None sorts by the text."""

    text: str
    value: float | None


def heads(protocol: Protocol) -> list[str]:
    """The names of the columns; the second, the technique's, is the only one of words."""
    names = ["#", "technique", f"{protocol.distance} last", "best", "untrained"]
    return [*names, protocol.score, "updates", "real images", "minutes", "seeds"]


def cells(rank: int, row: Row, protocol: Protocol) -> list[Cell]:
    """A row's cells in the order of ``heads``."""

    def cell(values: Sequence[float], text: Callable[[float], str]) -> Cell:
        return Cell(text(mean(values)), mean(values)) if values else Cell("-", BEHIND)

    def with_spread(which: str, metric: str) -> Cell:
        values = row.values(which, metric)
        return cell(values, lambda _: spread(values))

    done = row.finished
    return [
        Cell(str(rank), rank),
        Cell(row.name, None),
        *(with_spread(which, protocol.distance) for which in ("last", "best", "untrained")),
        with_spread("last", protocol.score),
        cell([run.budget["generator_updates"] for run in done], thousands),
        cell([run.budget["images"] for run in done], thousands),
        cell([run.wall_seconds for run in done], lambda seconds: short(seconds / 60)),
        Cell(str(len(done)), len(done)),
    ]


def texts(rank: int, row: Row, protocol: Protocol) -> list[str]:
    """What a row's cells show."""
    return [cell.text for cell in cells(rank, row, protocol)]


def spread(values: list[float]) -> str:
    """Mean, and standard deviation where there are several values; ``-`` for none."""
    if not values:
        return "-"
    text = short(mean(values))
    return f"{text} ± {short(stdev(values))}" if len(values) > 1 else text


def short(value: float) -> str:
    """Three significant digits, no exponent."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}"


def thousands(value: float) -> str:
    """As 12k."""
    return f"{value / 1000:.0f}k" if value >= 1000 else f"{value:.0f}"
