"""Ranks, which rows share where their seeds do not tell them apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.render.difference import LEVEL, Difference
from benchmarks.render.table import Row

#: What a rank means, for the pages.
EXPLANATION = (
    "Rows are in the order of the mean distance of their last generators. The first leads rank 1, "
    "and each one after it shares the rank for as long as Welch's test, at a level of "
    f"{100 * LEVEL:g} %, does not tell its runs from the leader's; the first that it does leads "
    'the next rank. "=2" is a rank that several share. Three runs against three do not show a '
    "small difference: a shared rank does not mean equal. In brackets is the place of a row with a "
    "single run, which tells nothing of the seeds. A row with a run that has collapsed does not "
    "rank, and is below all that do."
)


@dataclass(frozen=True)
class Rank:
    """The rank of a row.

    Args:
        place: one more than the number of rows that are ahead.
        shared: whether other rows have it, too.
        single: whether the row has a single run, so that the rank is only its place.
    """

    place: int
    shared: bool = False
    single: bool = False

    def __str__(self) -> str:
        return f"({self.place})" if self.single else f"{'=' * self.shared}{self.place}"


def ranks(rows: Sequence[Row]) -> list[Rank | None]:
    """The ranks of the rows of a table, in its order; None for rows that do not rank."""
    found: list[Rank | None] = []
    leader: tuple[int, list[float]] | None = None
    for place, row in enumerate(rows, start=1):
        values = row.values("last")
        if not row.finished or row.collapsed:
            found.append(None)
        elif len(values) < 2:
            found.append(Rank(place, single=True))
        else:
            if leader is None or _are_told_apart(values, leader[1]):
                leader = place, values
            found.append(Rank(leader[0]))
    places = [rank.place for rank in found if rank is not None and not rank.single]
    return [
        rank if rank is None or rank.single else replace(rank, shared=places.count(rank.place) > 1)
        for rank in found
    ]


def _are_told_apart(values: Sequence[float], others: Sequence[float]) -> bool:
    difference = Difference.of(values, others)
    return difference is not None and bool(difference.beyond_seeds)
