"""Whether a row differs from the one that it is compared with by more than its seeds do."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from scipy.stats import ttest_ind

from benchmarks.render.numbers import short

#: The level of the test.
LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """The mean of a row's runs compared with that of the baseline's.

    Args:
        change: the mean minus the baseline's.
        relative: the same as a share of the baseline's; nan if that is 0.
        spread: the standard deviation of the difference of two runs; None with a single run.
        beyond_seeds: whether Welch's test, which does not take the variances to be equal, rejects
            equal means at ``LEVEL``; None with a single run.
    """

    change: float
    relative: float
    spread: float | None
    beyond_seeds: bool | None

    @classmethod
    def of(cls, values: Sequence[float], baseline: Sequence[float]) -> "Difference | None":
        """The difference of two rows' runs; None if one of them has none."""
        if not values or not baseline:
            return None
        center = mean(baseline)
        change = mean(values) - center
        relative = change / center if center else math.nan
        if min(len(values), len(baseline)) < 2:
            return cls(change, relative, None, None)
        spread = math.hypot(stdev(values), stdev(baseline))
        if not spread:
            return cls(change, relative, spread, bool(change))
        p_value = ttest_ind(values, baseline, equal_var=False).pvalue
        return cls(change, relative, spread, bool(p_value < LEVEL))

    def __str__(self) -> str:
        sign = "-" if self.change < 0 else "+"
        text = f"{sign}{short(abs(self.change))}"
        if self.spread is None:
            return f"{text}, one seed"
        text += f" ± {short(self.spread)}"
        return text if self.beyond_seeds else f"{text}, within the seeds"
