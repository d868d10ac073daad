"""The tables of speed runs, one for each track."""

from pathlib import Path
from statistics import median

from benchmarks.render.markdown import code_span, escape_markdown, markdown_table
from benchmarks.render.numbers import short
from benchmarks.speedrun import RUNS, TRACKS, Speedrun, read_speedrun
from benchmarks.variants import class_name

HEADERS = ("#", "entry", "technique", "seconds", "reached", "options", "on", "date")


def speedrun_tables(folder: Path) -> str:
    """All tracks that have an entry, the fastest entry first; "" without any.

    Raises:
        WrongFileError: a file is no record.
    """
    parts = []
    for key, track in TRACKS.items():
        entries = [
            [read_speedrun(path) for path in sorted(each.glob("seed*.json"))]
            for each in sorted((folder / key).glob("*/"))
        ]
        if entries := [runs for runs in entries if runs]:
            parts.append(
                f"### {track.title}\n\nUntil {code_span(track.distance)} is at most "
                f"{track.target:g}:\n\n{_table(entries)}"
            )
    return "\n\n".join(parts)


def _table(entries: list[list[Speedrun]]) -> str:
    ranked = sorted(entries, key=_order)
    rows, place = [], 0
    for runs in ranked:
        place += _ranks(runs)
        rows.append(_row(str(place) if _ranks(runs) else "-", runs))
    return markdown_table(HEADERS, rows, text_columns=[1, 2, 5, 6, 7])


def _ranks(runs: list[Speedrun]) -> bool:
    """Whether an entry has enough runs, and all of them reached the target."""
    return len(runs) >= RUNS and all(run.seconds is not None for run in runs)


def _order(runs: list[Speedrun]) -> tuple[bool, float]:
    known = [run.seconds for run in runs if run.seconds is not None]
    return not _ranks(runs), median(known) if known else float("inf")


def _row(place: str, runs: list[Speedrun]) -> list[str]:
    known = sorted(run.seconds for run in runs if run.seconds is not None)
    seconds = "-"
    if known:
        seconds = f"{short(median(known))} ({short(known[0])} to {short(known[-1])})"
    first = runs[0]
    devices = sorted({str(run.environment["device"]) for run in runs})
    return [
        place,
        escape_markdown(first.name),
        escape_markdown(class_name(first.technique)),
        seconds,
        f"{len(known)} of {len(runs)}",
        " ".join(map(code_span, first.options)) or "-",
        escape_markdown(", ".join(devices)),
        max(run.date for run in runs),
    ]
