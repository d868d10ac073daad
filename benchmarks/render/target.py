"""How long the runs of a row take until their distance is below the protocol's target."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

from benchmarks.protocol import Protocol
from benchmarks.render.names import short_title
from benchmarks.render.numbers import mean_and_deviation
from benchmarks.render.table import Row

#: What the columns mean, for the pages.
EXPLANATION = (
    "The columns of a target show the seconds of training, without evaluations, and the real "
    "images until the distance of a run is below it for the first time: mean and standard "
    "deviation over the runs that got there, and how many did if not all. Runs are evaluated a few "
    "times: the figures are those of the first evaluation below the target. Seconds are those of "
    "the machine that made the record."
)


@dataclass(frozen=True)
class TimeToTarget:
    """When the runs of a row were below the target for the first time.

    Args:
        values: seconds of training or real images, of each run that got there.
        runs: the number of runs, including those that failed or diverged.
    """

    values: list[float]
    runs: int

    @classmethod
    def of(cls, row: Row, target: float, unit: str) -> "TimeToTarget | None":
        """The times in ``train_seconds`` or ``images``; None without runs that tell them."""
        values: list[float] = []
        for run in row.runs:
            for point in run.curve:
                if run.distance in point and point[run.distance] < target:
                    if unit not in point:
                        return None
                    values.append(point[unit])
                    break
        return cls(values, len(row.runs)) if row.runs else None

    def text(self, show: Callable[[float], str]) -> str:
        """Mean and spread, and how many runs got there if not all."""
        if not self.values:
            return "not reached"
        text = mean_and_deviation(self.values, show)
        missed = len(self.values) < self.runs
        return f"{text}, {len(self.values)} of {self.runs}" if missed else text

    @property
    def order(self) -> float:
        """What to sort by: rows of which more runs got there come first."""
        share = len(self.values) / self.runs
        return 1e15 * (1 - share) + (mean(self.values) if self.values else 0.0)


def target_text(protocol: Protocol, distance: str) -> str | None:
    """A sentence about the target of the protocol; None if it has none."""
    if protocol.target is None:
        return None
    name = short_title(distance)
    return f"The target is {name} {protocol.target.distance:g}, {protocol.target.reason}."
