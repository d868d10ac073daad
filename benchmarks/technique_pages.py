"""The parts of ``docs/techniques/<name>.md`` that are numbers."""

from pathlib import Path
from typing import Any

import torch

from benchmarks.blocks import fill, inert, markdown_table, relative
from benchmarks.protocol import PLACES, Protocol
from benchmarks.published import Reported
from benchmarks.table import Row, heads, texts
from gan_lightning import TECHNIQUES


def technique_page(
    path: Path, tables: list[tuple[Protocol, list[Row]]], leaderboard: Path, reported: Reported
) -> str:
    """What the page at ``path``, called after its technique, is to hold."""
    page, technique = path.read_text(), path.stem
    page = fill(page, "results", _results(path, tables, leaderboard))
    page = fill(page, "published", _published(technique, reported))
    return fill(page, "parameters", _parameters(technique, reported))


def _results(path: Path, tables: list[tuple[Protocol, list[Row]]], leaderboard: Path) -> str:
    technique, parts = path.stem, []
    for protocol, table in tables:
        for rank, row in enumerate(table, start=1):
            if row.technique != technique:
                continue
            command = (
                f"python -m benchmarks.run --protocol {protocol.name} --techniques {technique}"
            )
            command += "".join(f" {PLACES[option]} PATH" for option in protocol.needs)
            parts += [
                f"{protocol.title}, rank {rank} of {len(table)} "
                f"([what is measured]({relative(leaderboard, path.parent)})):",
                f"```\n{command}\n```",
                markdown_table(
                    [*map(inert, heads(protocol, table)[2:])], [texts(rank, row)[2:]], words=[]
                ),
            ]
            if row.picture is not None:
                parts.append(f"![samples]({relative(row.picture, path.parent)})")
    return "\n\n".join(parts)


def _published(technique: str, reported: Reported) -> str:
    columns = ("is", "fid", "network", "training", "protocol", "source")
    rows = [
        [entry[name] for name in columns]
        for entry in reported.scores
        if entry["technique"] == technique
    ]
    return markdown_table(["IS", "FID", *columns[2:]], rows, words=range(len(columns)))


def _parameters(technique: str, reported: Reported) -> str:
    rows = []
    for entry in reported.parameters:
        if entry["technique"] == technique:
            size, options = entry["size"], entry.get("options", {})
            known = [f"{entry[key]:,}" if key in entry else "-" for key in ("generator", "critic")]
            source = "; ".join(entry[key] for key in ("source", "remark") if key in entry)
            asked = ", ".join(f"`{key}={value}`" for key, value in options.items())
            ours = [f"{count:,}" for count in count_parameters(technique, size, **options)]
            rows.append([f"{size} px", asked or "defaults", *ours, *known, source or "-"])
    head = ["size", "options", "generator", "critic", "their generator", "their critic", "whose"]
    return markdown_table(head, rows, words=[0, 1, 6])


def count_parameters(technique: str, size: int, **options: Any) -> tuple[int, int]:
    """Of generator and critic for RGB images, both built without memory."""
    with torch.device("meta"):
        model = TECHNIQUES[technique](shape=(3, size, size), **options)
    generator, critic = (
        sum(p.numel() for p in network.parameters()) for network in (model.generator, model.critic)
    )
    return generator, critic
