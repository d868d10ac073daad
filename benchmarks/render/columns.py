"""The columns of a table, and the cells of its rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from benchmarks.protocol import Protocol
from benchmarks.records import Record
from benchmarks.render.difference import Difference
from benchmarks.render.markdown import code_span, escape_markdown
from benchmarks.render.names import score_title
from benchmarks.render.numbers import mean_and_deviation, short, thousands
from benchmarks.render.ranks import Rank, ranks
from benchmarks.render.sources import runs_on_a_gpu
from benchmarks.render.table import Row, score_name
from benchmarks.render.target import TimeToTarget

#: The sort value of a cell without a number.
SORTED_LAST = 1e99


@dataclass(frozen=True)
class Header:
    """The head of a column; only the second, the technique, holds text.

    Args:
        title: the name that people read.
        detail: the name of the score in records, if it is the column of one.
        minor: whether a page may hide the column at first.
    """

    title: str
    detail: str = ""
    minor: bool = False

    @property
    def markdown(self) -> str:
        """The title, and below it the detail."""
        title = escape_markdown(self.title)
        return f"{title}<br>{code_span(self.detail)}" if self.detail else title


@dataclass(frozen=True)
class Cell:
    """The text of a cell, and numbers behind it.

    Args:
        text: what tables show.
        value: the value that it is sorted by; None sorts by the text.
        numbers: the numbers that the text sums up, one for each run, or the only one.
    """

    text: str
    value: float | None
    numbers: tuple[float, ...] = ()

    @property
    def mean(self) -> float | None:
        """The mean of the numbers, if there are any."""
        return mean(self.numbers) if self.numbers else None

    @property
    def deviation(self) -> float | None:
        """Their standard deviation, if there are several."""
        return stdev(self.numbers) if len(self.numbers) > 1 else None


def headers(protocol: Protocol, rows: Sequence[Row]) -> list[Header]:
    """The heads of the columns."""
    distance, score = (score_name(protocol, rows, kind) for kind in ("distance", "score"))
    columns = [Header("#"), Header("technique"), _score_header(distance, "distance")]
    if protocol.baseline is not None:
        columns.append(Header("difference"))
    columns += [Header("best", minor=True), Header("untrained", minor=True)]
    columns += [_score_header(score, "score")]
    columns += [_score_header(name, name) for name in protocol.more_scores]
    columns.append(Header("diversity"))
    if protocol.target is not None:
        target = f"{protocol.target.distance:g}"
        columns += [Header(f"seconds to {target}"), Header(f"images to {target}")]
    columns += [Header("updates", minor=True), Header("real images", minor=True)]
    return [*columns, Header("minutes"), Header("seeds")]


def _score_header(name: str, otherwise: str) -> Header:
    return Header(score_title(name) or otherwise, name)


def table_cells(protocol: Protocol, rows: Sequence[Row]) -> list[list[Cell]]:
    """The cells of each row, in the order of ``headers``."""
    baseline = next((row for row in rows if row.key == protocol.baseline), None)
    return [
        _cells(place, rank, row, protocol, baseline)
        for place, (rank, row) in enumerate(zip(ranks(rows), rows, strict=True), start=1)
    ]


def _cells(
    place: int, rank: Rank | None, row: Row, protocol: Protocol, baseline: Row | None
) -> list[Cell]:
    def cell(values: Sequence[float], text: Callable[[float], str]) -> Cell:
        if not values:
            return Cell("-", SORTED_LAST)
        return Cell(text(mean(values)), mean(values), (mean(values),))

    def with_spread(values: list[float]) -> Cell:
        if not values:
            return Cell("-", SORTED_LAST)
        return Cell(mean_and_deviation(values), mean(values), tuple(values))

    done = row.finished
    differences = [] if protocol.baseline is None else [_difference_cell(row, baseline)]
    more = [[run.last[name] for run in done if name in run.last] for name in protocol.more_scores]
    diversities = [run.diversity for run in done if run.diversity is not None]
    return [
        Cell("-" if rank is None else str(rank), place),
        Cell(row.label, None),
        with_spread(row.values("last")),
        *differences,
        *(with_spread(row.values(which)) for which in ("best", "untrained")),
        with_spread(row.values("last", "score")),
        *map(with_spread, more),
        cell(diversities, lambda share: f"{share:.0%}")
        if diversities or not done
        else Cell("not measured", SORTED_LAST),
        *_target_cells(row, protocol),
        cell([run.budget["generator_updates"] for run in done], thousands),
        cell([run.budget["images"] for run in done], thousands),
        _minutes_cell(done),
        Cell(str(len(done)), len(done), (len(done),)),
    ]


def _minutes_cell(runs: Sequence[Record]) -> Cell:
    """The mean; where runs shared a GPU with others, which slowed them down, it says so."""
    if not runs:
        return Cell("-", SORTED_LAST)
    minutes = mean(run.wall_seconds / 60 for run in runs)
    shared = max(runs_on_a_gpu(run) for run in runs)
    text = short(minutes) + f", {shared} on a GPU" * (shared > 1)
    return Cell(text, minutes, (minutes,))


def _target_cells(row: Row, protocol: Protocol) -> list[Cell]:
    if protocol.target is None:
        return []
    cells = []
    for unit, show in (("train_seconds", short), ("images", thousands)):
        time = TimeToTarget.of(row, protocol.target.distance, unit)
        if time is None:
            cells.append(Cell("-", SORTED_LAST))
        else:
            cells.append(Cell(time.text(show), time.order, tuple(time.values)))
    return cells


def _difference_cell(row: Row, baseline: Row | None) -> Cell:
    if row is baseline:
        return Cell("baseline", 0.0)
    difference = Difference.of(
        row.values("last"), [] if baseline is None else baseline.values("last")
    )
    if difference is None:
        return Cell("-", SORTED_LAST)
    return Cell(str(difference), difference.change, (difference.change,))
