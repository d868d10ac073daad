"""The generated tables of ``docs/techniques/<name>.md``."""

import json
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from benchmarks.protocol import PATH_OPTIONS, ROOT, Protocol
from benchmarks.render.columns import headers, table_cells
from benchmarks.render.markdown import fill, markdown_table, relative_link
from benchmarks.render.pictures import Links
from benchmarks.render.published import Reported
from benchmarks.render.ranks import Rank, ranks
from benchmarks.render.table import Row
from gan_lightning import TECHNIQUES


def technique_page(
    path: Path, tables: list[tuple[Protocol, list[Row]]], links: Links, reported: Reported
) -> str:
    """The text of the page at ``path``, which is named after its technique."""
    page, technique = path.read_text(), path.stem
    page = fill(page, "curves", _curves(path))
    page = fill(page, "config", _configs(technique))
    page = fill(page, "results", _results(path, tables, links))
    page = fill(page, "published", _published(technique, reported))
    return fill(page, "parameters", _parameters(technique, reported))


def _curves(path: Path) -> str:
    """The losses and the distances that ``benchmarks.figures.curves`` drew; empty without them."""
    file = path.parent.parent / "figures" / "curves" / f"{path.stem}.json"
    if not file.is_file():
        return ""
    numbers = json.loads(file.read_text())["numbers"]
    link = relative_link(file.with_suffix(".png"), path.parent)
    return "\n\n".join(
        [
            "## Curves",
            f"![Losses and distances of {numbers['technique']} over training]({link})",
            "On digits, by the config below. Left: the losses in the first "
            f"{numbers['updates of the run']:,} updates of one run.\n"
            f"Right: the distance over the whole training of {len(numbers['runs'])} committed "
            "runs; grey marks the\ntime of the left. Lower is better. A low loss does not mean "
            "good samples; the distance tells.",
            f"```\npython -m benchmarks.figures.curves {path.stem}\n```",
        ]
    )


def _configs(name: str) -> str:
    """The config of a technique on digits, or those of a method that has one for several."""
    pattern = f"{name}.yaml" if name in TECHNIQUES else f"*_{name}.yaml"
    paths = sorted((ROOT / "configs" / "digits").glob(pattern))
    return "\n\n".join(f"```yaml\n{path.read_text().rstrip()}\n```" for path in paths)


def _results(path: Path, tables: list[tuple[Protocol, list[Row]]], links: Links) -> str:
    technique, parts = path.stem, []
    leaderboard = relative_link(links.output / "LEADERBOARD.md", Path(os.path.abspath(path.parent)))
    for protocol, table in tables:
        for row, rank, cells in zip(table, ranks(table), table_cells(protocol, table), strict=True):
            if row.key != technique or not row.runs:
                continue
            command = (
                f"python -m benchmarks.run --protocol {protocol.name} --techniques {technique}"
            )
            command += "".join(f" {PATH_OPTIONS[option]} PATH" for option in protocol.needs)
            parts += [
                f"{protocol.title}, {_rank_text(row, rank, len(table))} "
                f"([what is measured]({leaderboard})):",
                f"```\n{command}\n```",
                markdown_table(
                    [header.markdown for header in headers(protocol, table)[2:]],
                    [[cell.text for cell in cells[2:]]],
                    text_columns=[],
                ),
            ]
            if row.picture is not None:
                parts.append(f"![samples]({links.picture(row.picture, path.parent)})")
    return "\n\n".join(parts)


def _rank_text(row: Row, rank: Rank | None, rows: int) -> str:
    if rank is None:
        runs = len(row.finished)
        return f"not ranked, {len(row.collapsed)} of {runs} runs collapsed" if runs else "no scores"
    if rank.single:
        return f"place {rank.place} of {rows} by a single run"
    return f"{'shared ' * rank.shared}rank {rank.place} of {rows}"


def _published(technique: str, reported: Reported) -> str:
    columns = ("is", "fid", "network", "training", "protocol", "source")
    rows = [
        [entry[name] for name in columns]
        for entry in reported.scores
        if entry["technique"] == technique
    ]
    return markdown_table(["IS", "FID", *columns[2:]], rows, text_columns=range(len(columns)))


def _parameters(technique: str, reported: Reported) -> str:
    rows = []
    for entry in reported.parameters:
        if entry["technique"] == technique:
            size, options = entry["size"], entry.get("options", {})
            published = [
                f"{entry[key]:,}" if key in entry else "-" for key in ("generator", "critic")
            ]
            source = "; ".join(entry[key] for key in ("source", "remark") if key in entry)
            settings = ", ".join(f"`{key}={value}`" for key, value in options.items())
            ours = [f"{count:,}" for count in count_parameters(technique, size, **options)]
            rows.append([f"{size} px", settings or "defaults", *ours, *published, source or "-"])
    headers = ["size", "options", "generator", "critic"]
    headers += ["published generator", "published critic", "source"]
    return markdown_table(headers, rows, text_columns=[0, 1, 6])


def count_parameters(technique: str, size: int, **options: Any) -> tuple[int, int]:
    """Parameters of the generator and the critic for RGB images, on torch's meta device."""
    with torch.device("meta"), _NoPowerIterations():
        model = TECHNIQUES[technique](shape=(3, size, size), **options)
    generator, critic = (
        sum(p.numel() for p in network.parameters()) for network in (model.generator, model.critic)
    )
    return generator, critic


class _NoPowerIterations(TorchFunctionMode):
    """Skips the arithmetic of spectral normalisation: it is slow, and nothing on ``meta``."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func is F.normalize:
            return args[0]
        if func is torch.mv:
            return args[0][:, 0]
        return func(*args, **(kwargs or {}))
