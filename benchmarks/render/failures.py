"""How many runs of each row failed in which way, over all protocols with a baseline."""

from collections.abc import Callable, Sequence

from benchmarks.protocol import Protocol
from benchmarks.records import Record
from benchmarks.render.markdown import escape_markdown, markdown_table
from benchmarks.render.summary import Table, row_titles

#: A run has learnt nothing if its best distance is above this share of the untrained generator's.
NOTHING_LEARNT = 0.5
#: A run got worse if its last distance is above so many times its best.
GOT_WORSE = 1.5


def learnt_nothing(run: Record, protocol: Protocol) -> bool:
    """Whether no evaluation was much better than the untrained generator."""
    distance = run.distance
    return run.best[distance] > NOTHING_LEARNT * run.untrained[distance]


def lost_modes(run: Record, protocol: Protocol) -> bool:
    """Whether the last samples miss modes of points, or are much less diverse than real images."""
    if protocol.modes is None:
        return run.collapse is not None
    return run.last[run.score] < protocol.modes


def got_worse(run: Record, protocol: Protocol) -> bool:
    """Whether the last generator is much worse than one before it."""
    return run.last[run.distance] > GOT_WORSE * run.best[run.distance]


FAILURES: dict[str, Callable[[Record, Protocol], bool]] = {
    "learnt nothing": learnt_nothing,
    "lost modes": lost_modes,
    "got worse": got_worse,
}


def failure_table(tables: Sequence[Table]) -> str:
    """The number of runs with each failure, of images and of points; rows are the protocols'."""
    kinds = {
        "images": [table for table in tables if table[0].modes is None],
        "points": [table for table in tables if table[0].modes is not None],
    }
    kinds = {kind: chosen for kind, chosen in kinds.items() if chosen}
    lines = [
        [
            escape_markdown(title),
            *(
                _cell(title, chosen, failed)
                for failed in FAILURES.values()
                for chosen in kinds.values()
            ),
        ]
        for title in row_titles(tables)
    ]
    headers = ["", *(f"{failure}, {kind}" for failure in FAILURES for kind in kinds)]
    return markdown_table(headers, lines, text_columns=[0])


def _cell(title: str, tables: Sequence[Table], failed: Callable[[Record, Protocol], bool]) -> str:
    runs = [
        (run, protocol)
        for protocol, table in tables
        for row in table
        if row.name == title
        for run in row.finished
    ]
    if not runs:
        return "-"
    count = sum(failed(run, protocol) for run, protocol in runs)
    return f"**{count} of {len(runs)}**" if count else f"0 of {len(runs)}"
