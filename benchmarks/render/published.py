"""Published scores, next to our own."""

from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import yaml

from benchmarks.protocol import ROOT, Protocol
from benchmarks.render.numbers import short
from benchmarks.render.table import Row

REPORTED = ROOT / "benchmarks" / "reported.yaml"
#: The line above the table.
PUBLISHED = "Published for CIFAR-10, unconditional unless stated otherwise:"
PUBLISHED_HEADERS = ("technique", "ours", "FID", "IS", "network", "samples", "comparable", "source")
#: The heading and the introduction of the newest scores.
NEWEST = "The newest results on CIFAR-10"
NEWEST_TERMS = (
    "FID of 50,000 samples against the training images, as published; lower is better. Works of "
    "different classes do not compare: pretrained features and diffusion models have seen more "
    "than CIFAR-10, and such features are near those that FID is computed from."
)
NEWEST_HEADERS = ("starts", "work", "year", "FID with labels", "FID without", "source")
#: Published protocols with as many generated and real samples as our ``fid50k_train``.
OUR_SAMPLES = ("50k against train 50k", "50k against train 50k, 3 seeds")


@dataclass(frozen=True)
class Reported:
    """Published scores, parameter counts and speeds, from ``benchmarks/reported.yaml``.

    ``newest`` has the newest scores, by what the works start from.
    """

    scores: list[dict[str, str]]
    parameters: list[dict[str, Any]]
    seconds: list[dict[str, str]]
    newest: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def read_reported() -> Reported:
    """Read the lists of the file."""
    return Reported(**yaml.safe_load(REPORTED.read_text()))


def published_rows(protocol: Protocol, rows: list[Row], reported: Reported) -> list[list[str]]:
    """Rows with the columns ``PUBLISHED_HEADERS``; none unless the data is CIFAR-10."""
    if not protocol.show_published:
        return []
    ours = {row.key: row for row in rows}
    lines = []
    for entry in reported.scores:
        if entry["technique"] not in ours:
            continue
        row = ours[entry["technique"]]
        values = row.values("last")
        lines.append(
            [
                row.name,
                short(mean(values)) if values else "-",
                *(entry[name] for name in ("fid", "is", "network", "protocol")),
                comparability(protocol, entry),
                entry["source"],
            ]
        )
    return lines


def comparability(protocol: Protocol, entry: dict[str, str]) -> str:
    """Whether a published score is comparable with ours, and if not, why."""
    if protocol.distance != "fid50k_train":
        return "no: another network, or other images"
    if entry["protocol"] not in OUR_SAMPLES:
        return "no: other samples"
    return "yes"


def newest_rows(reported: Reported) -> list[list[str]]:
    """The newest scores, class by class, with the columns ``NEWEST_HEADERS``."""
    columns = ("work", "year", "conditional", "unconditional", "source")
    return [
        [kind, *(str(entry[name]) for name in columns)]
        for kind, entries in reported.newest.items()
        for entry in entries
    ]
