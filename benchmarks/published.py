"""What others published, beside our own numbers."""

from dataclasses import dataclass
from statistics import mean
from typing import Any

import yaml

from benchmarks.protocol import ROOT, Protocol
from benchmarks.table import Row, short

REPORTED = ROOT / "benchmarks" / "reported.yaml"
#: Said above the table.
PUBLISHED = "Published for CIFAR-10, unconditional where nothing else is said:"
PUBLISHED_HEADS = ("technique", "ours", "FID", "IS", "network", "samples", "compares", "source")
#: Generated samples and real ones, as a run of ours whose score is called ``fid50k_train`` has.
OUR_SAMPLES = ("50k against train 50k", "50k against train 50k, 3 seeds")


@dataclass(frozen=True)
class Reported:
    """What others published, ``benchmarks/reported.yaml``."""

    scores: list[dict[str, str]]
    parameters: list[dict[str, Any]]


def read_reported() -> Reported:
    """The file's two lists."""
    return Reported(**yaml.safe_load(REPORTED.read_text()))


def published_rows(protocol: Protocol, rows: list[Row], reported: Reported) -> list[list[str]]:
    """In the order of ``PUBLISHED_HEADS``; nothing where the data is not CIFAR-10's."""
    if not protocol.beside_cifar10:
        return []
    ours = {row.technique: row for row in rows}
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
                compares(protocol, entry),
                entry["source"],
            ]
        )
    return lines


def compares(protocol: Protocol, entry: dict[str, str]) -> str:
    """Whether a published score is on our scale, and if not, why."""
    if protocol.distance != "fid50k_train":
        return "no: another network, or other images"
    if entry["protocol"] not in OUR_SAMPLES:
        return "no: other samples"
    return "yes"
