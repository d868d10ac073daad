"""Rows of a table from the records of a protocol."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from benchmarks.protocol import Protocol
from benchmarks.records import Record, record_path
from benchmarks.render.difference import Difference
from benchmarks.render.numbers import mean_and_deviation, short, thousands
from benchmarks.variants import Variant
from gan_lightning import TECHNIQUES
from gan_lightning.utils.errors import one_line


@dataclass(frozen=True)
class Row:
    """The runs of a technique or of a variant of it, finished or not.

    Args:
        variant: the technique, and what distinguishes it.
        index: a number that is the row's own in the table, and the same in all tables for a
            technique of ``TECHNIQUES``.
        runs: its records, ordered by seed.
        missing: seeds of the protocol without a record.
        picture: samples of its first finished run, if there are any.
        animation: samples at each evaluation of a finished run, if they were saved.
        version: the version of the protocol.
    """

    variant: Variant
    index: int
    runs: list[Record]
    missing: list[int]
    picture: Path | None
    animation: Path | None
    version: int

    @property
    def key(self) -> str:
        """The key of the row, which for a technique as it is is that of the technique."""
        return self.variant.key

    @property
    def name(self) -> str:
        """The title of the row, the name of the class by default; not escaped."""
        return self.variant.title

    @property
    def label(self) -> str:
        """The name, marked if runs are stale or have collapsed; not escaped."""
        marks = ["stale"] * bool(self.stale)
        marks += self.collapse_marks
        return f"{self.name} ({', '.join(marks)})" if marks else self.name

    @property
    def collapse_marks(self) -> list[str]:
        """How many of the runs collapsed, if any did."""
        if not self.collapsed:
            return []
        return [f"{len(self.collapsed)} of {len(self.finished)} collapsed"]

    @property
    def stale(self) -> list[Record]:
        """Runs of an older version or other options, since when the scores may have changed."""
        return [
            run
            for run in self.runs
            if run.protocol_version != self.version or not run.is_of(self.variant)
        ]

    @property
    def finished(self) -> list[Record]:
        """The runs with scores."""
        return [run for run in self.runs if run.status == "finished"]

    @property
    def collapsed(self) -> list[Record]:
        """The finished runs whose last samples have collapsed; a row with one does not rank."""
        return [run for run in self.finished if run.collapse]

    def rank(self, place: int) -> str:
        """The rank at a place of the table; ``-`` if the row does not rank."""
        return str(place) if self.finished and not self.collapsed else "-"

    def values(self, which: str, kind: str = "distance") -> list[float]:
        """One value per finished run.

        ``which`` is ``untrained``, ``last`` or ``best``, ``kind`` is ``distance`` or ``score``.
        """
        values = (getattr(run, which).get(getattr(run, kind)) for run in self.finished)
        return [value for value in values if value is not None]

    def problems(self) -> Iterator[str]:
        """Descriptions of unfinished, collapsed, stale and missing runs."""
        for run in self.runs:
            if run.status != "finished":
                yield f"seed {run.seed} {run.status}: {one_line(run.message)}"
        for run in self.collapsed:
            yield f"seed {run.seed} collapsed: {one_line(run.collapse or '')}"
        for run in self.stale:
            if run.protocol_version != self.version:
                yield (
                    f"seed {run.seed} stale: from version {run.protocol_version} of the protocol, "
                    f"whose version is now {self.version}"
                )
            else:
                given = one_line(" ".join([run.technique, *run.options]))
                yield f"seed {run.seed} stale: trained as {given}"
        if len({tuple(sorted(run.files.items())) for run in self.runs}) > 1:
            yield "its seeds were trained with different files"
        if self.missing:
            yield f"seed {', '.join(map(str, self.missing))} not run"


def rows(records: list[Record], protocol: Protocol, *results: Path) -> list[Row]:
    """The protocol's rows and those of other records.

    The best mean distance is first, and those that do not rank are last. The pictures of a row are
    in the first of the folders ``results`` that has one of its own.
    """
    table: list[Row] = []
    variants = [*protocol.rows, *_other_variants(records, protocol)]
    others = [variant.key for variant in variants if variant.key not in TECHNIQUES]
    indices = {key: index for index, key in enumerate([*TECHNIQUES, *others])}
    for variant in variants:
        runs = [record for record in records if record.folder == variant.key]
        missing = [seed for seed in protocol.seeds if seed not in {run.seed for run in runs}]
        places = (each for each in results if (each / protocol.name / variant.key).is_dir())
        folder = next(places, results[0])
        paths = [
            record_path(folder, protocol.name, variant.key, run.seed)
            for run in runs
            if run.status == "finished"
        ]
        picture, animation = (
            next((path.with_suffix(end) for path in paths if path.with_suffix(end).is_file()), None)
            for end in (".png", ".webp")
        )
        table.append(
            Row(
                variant=variant,
                index=indices[variant.key],
                runs=runs,
                missing=missing,
                picture=picture,
                animation=animation,
                version=protocol.version,
            )
        )
    return sorted(
        table,
        key=lambda row: (bool(row.collapsed), mean(row.values("last") or [float("inf")])),
    )


def _other_variants(records: list[Record], protocol: Protocol) -> list[Variant]:
    """The rows of records that the protocol does not have."""
    titles = {row.key: row.title for row in protocol.rows}
    found = []
    for record in records:
        if record.folder not in titles:
            variant = Variant(
                record.technique, tuple(record.options), record.title, key=record.folder
            )
            if variant.title.casefold() in map(str.casefold, titles.values()):
                # Whoever reads the table must be able to tell them apart.
                variant = replace(variant, title=f"{variant.key}: {variant.title}")
            titles[variant.key] = variant.title
            found.append(variant)
    return found


def score_name(protocol: Protocol, rows: Sequence[Row], kind: str) -> str:
    """The name of the protocol's distance or score; ``kind`` is ``distance`` or ``score``."""
    runs = (run for row in rows for run in row.finished)
    return getattr(protocol, kind) or next((one_line(getattr(run, kind)) for run in runs), kind)


#: The sort value of a cell without a number.
SORTED_LAST = 1e99


@dataclass(frozen=True)
class Cell:
    """The text of a cell, and the value that it is sorted by; None sorts by the text."""

    text: str
    value: float | None


def headers(protocol: Protocol, rows: Sequence[Row]) -> list[str]:
    """The names of the columns; only the second, the technique, holds text."""
    distance, score = (score_name(protocol, rows, kind) for kind in ("distance", "score"))
    names = ["#", "technique", f"{distance} last", "best", "untrained"]
    if protocol.baseline is not None:
        names.insert(3, "difference")
    names += [score, *protocol.more_scores]
    return [*names, "diversity", "updates", "real images", "minutes", "seeds"]


def table_cells(protocol: Protocol, rows: Sequence[Row]) -> list[list[Cell]]:
    """The cells of each row, in the order of ``headers``."""
    baseline = next((row for row in rows if row.key == protocol.baseline), None)
    return [_cells(place, row, protocol, baseline) for place, row in enumerate(rows, start=1)]


def _cells(place: int, row: Row, protocol: Protocol, baseline: Row | None) -> list[Cell]:
    def cell(values: Sequence[float], text: Callable[[float], str]) -> Cell:
        return Cell(text(mean(values)), mean(values)) if values else Cell("-", SORTED_LAST)

    def with_spread(values: list[float]) -> Cell:
        return cell(values, lambda _: mean_and_deviation(values))

    done = row.finished
    differences = [] if protocol.baseline is None else [_difference_cell(row, baseline)]
    more = [[run.last[name] for run in done if name in run.last] for name in protocol.more_scores]
    diversities = [run.diversity for run in done if run.diversity is not None]
    return [
        Cell(row.rank(place), place),
        Cell(row.label, None),
        with_spread(row.values("last")),
        *differences,
        *(with_spread(row.values(which)) for which in ("best", "untrained")),
        with_spread(row.values("last", "score")),
        *map(with_spread, more),
        cell(diversities, lambda share: f"{share:.0%}")
        if diversities or not done
        else Cell("not measured", SORTED_LAST),
        cell([run.budget["generator_updates"] for run in done], thousands),
        cell([run.budget["images"] for run in done], thousands),
        cell([run.wall_seconds for run in done], lambda seconds: short(seconds / 60)),
        Cell(str(len(done)), len(done)),
    ]


def _difference_cell(row: Row, baseline: Row | None) -> Cell:
    if row is baseline:
        return Cell("baseline", 0.0)
    difference = Difference.of(
        row.values("last"), [] if baseline is None else baseline.values("last")
    )
    return (
        Cell("-", SORTED_LAST) if difference is None else Cell(str(difference), difference.change)
    )
