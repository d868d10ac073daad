"""Rows of a table from the records of a protocol."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from benchmarks.protocol import Protocol
from benchmarks.records import Record, record_path
from benchmarks.render.names import row_title
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
        results: the folder of records that they are in.
        picture: samples of its first finished run, if there are any.
        pictured: the run whose samples they are.
        film: samples at its evaluations, one below the other, if they were saved.
        version: the version of the protocol.
    """

    variant: Variant
    index: int
    runs: list[Record]
    missing: list[int]
    results: Path
    picture: Path | None
    pictured: Record | None
    film: Path | None
    version: int

    @property
    def key(self) -> str:
        """The key of the row, which for a technique as it is is that of the technique."""
        return self.variant.key

    @property
    def name(self) -> str:
        """The title of the row, the name of the technique by default; not escaped."""
        return row_title(self.variant)

    @property
    def label(self) -> str:
        """The name, marked if runs are stale or have collapsed; not escaped."""
        return f"{self.name} ({', '.join(self.marks)})" if self.marks else self.name

    @property
    def marks(self) -> list[str]:
        """What distinguishes its runs from those of a row without problems."""
        return [*["stale"] * bool(self.stale), *self.collapse_marks]

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
        pictured = next(
            (
                run
                for run in runs
                if run.status == "finished" and run_file(folder, run, ".png").is_file()
            ),
            None,
        )
        film = None if pictured is None else run_file(folder, pictured, ".webp")
        table.append(
            Row(
                variant=variant,
                index=indices[variant.key],
                runs=runs,
                missing=missing,
                results=folder,
                picture=None if pictured is None else run_file(folder, pictured, ".png"),
                pictured=pictured,
                film=film if film is not None and film.is_file() else None,
                version=protocol.version,
            )
        )
    return sorted(
        table,
        key=lambda row: (bool(row.collapsed), mean(row.values("last") or [float("inf")])),
    )


def run_file(results: Path, run: Record, suffix: str) -> Path:
    """The path of a run's record, picture or film."""
    return record_path(results, run.protocol, run.folder, run.seed).with_suffix(suffix)


def _other_variants(records: list[Record], protocol: Protocol) -> list[Variant]:
    """The rows of records that the protocol does not have."""
    titles = {row.key: row_title(row) for row in protocol.rows}
    found = []
    for record in records:
        if record.folder not in titles:
            variant = Variant(
                record.technique, tuple(record.options), record.title, key=record.folder
            )
            taken = {*titles.values(), *(row.title for row in protocol.rows)}
            if row_title(variant).casefold() in map(str.casefold, taken):
                # Whoever reads the table must be able to tell them apart.
                variant = replace(variant, title=f"{variant.key}: {variant.title}")
            titles[variant.key] = row_title(variant)
            found.append(variant)
    return found


def score_name(protocol: Protocol, rows: Sequence[Row], kind: str) -> str:
    """The name of the protocol's distance or score; ``kind`` is ``distance`` or ``score``."""
    runs = (run for row in rows for run in row.finished)
    return getattr(protocol, kind) or next((one_line(getattr(run, kind)) for run in runs), kind)
