"""What is learnt is lost again: distances over training, from the committed records.

Nothing is trained: the runs are those of the stabilisers' table on the ring of 8 Gaussians.
"""

from dataclasses import dataclass

from matplotlib.figure import Figure as Picture

from benchmarks.figures.figure import Figure, Numbers, Report, significant
from benchmarks.figures.style import BLUE, GREEN, ORANGE, panels
from benchmarks.protocol import RESULTS
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import read_records


@dataclass(frozen=True)
class Settings:
    """Which runs to show.

    Args:
        protocol: the name of their protocol.
        rows: the keys of the rows, a panel each.
    """

    protocol: str = "ring-stabilizers"
    rows: tuple[str, ...] = (
        "plain",
        "saturating-loss-5-unrolled-steps",
        "gradient-penalty-one-sided",
    )


def compute(settings: Settings, report: Report) -> Numbers:
    """The distance of each run at each evaluation, and the modes that its last points reach."""
    protocol = PROTOCOLS[settings.protocol]
    records = read_records(RESULTS, protocol)
    titles = {row.key: row.title for row in protocol.rows}
    panels = []
    for key in settings.rows:
        runs = [
            {
                "seed": record.seed,
                "updates": [point["update"] for point in record.curve],
                "distances": significant([point[record.distance] for point in record.curve]),
                "modes": record.last[record.score],
            }
            for record in records
            if record.folder == key and record.status == "finished"
        ]
        panels.append({"row": titles[key], "runs": runs})
        report(len(panels) / len(settings.rows), titles[key])
    return {"distance": protocol.distance, "modes": protocol.modes, "panels": panels}


def draw(numbers: Numbers) -> Picture:
    """A panel for each row, a line for each seed, which ends in the number of its modes."""
    picture, (row,) = panels(1, len(numbers["panels"]), 9, 2.5)
    most = max(max(run["distances"]) for panel in numbers["panels"] for run in panel["runs"])
    for axes, panel in zip(row, numbers["panels"], strict=True):
        for run, color in zip(panel["runs"], (BLUE, ORANGE, GREEN), strict=False):
            name = f"seed {run['seed']}: {run['modes']:.0f} of {numbers['modes']} modes"
            axes.plot(run["updates"], run["distances"], "o-", color=color, markersize=3, label=name)
        axes.set(title=panel["row"], ylim=(0, 1.5 * most), xlabel="generator updates")
        axes.legend(loc="upper right")
    row[0].set_ylabel("distance")
    return picture


FIGURE = Figure(
    name="lost-again",
    title="what is learnt on a ring is lost again, and where it is not",
    protocol=1,
    settings=Settings(),
    tiny=Settings(),
    compute=compute,
    draw=draw,
)
