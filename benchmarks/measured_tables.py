"""What ``benchmarks.throughput`` and ``benchmarks.sensitivity`` measured, as text."""

import json
from pathlib import Path
from typing import Any

from benchmarks.blocks import markdown_table


def data_tables(folder: Path) -> str:
    """The loaders' figures, one table for each device."""
    paths = sorted(folder.glob("data-*.json"))
    return "\n\n".join(_data_table(json.loads(path.read_text())) for path in paths)


def sensitivity_tables(folder: Path) -> str:
    """What scores say of real images, one table for each network."""
    paths = sorted(folder.glob("*.json"))
    return "\n\n".join(_sensitivity_table(json.loads(path.read_text())) for path in paths)


def evaluation_tables(folder: Path) -> str:
    """Where the time of an evaluation goes, one table for each network and device."""
    paths = sorted(folder.glob("eval-*.json"))
    return "\n\n".join(_evaluation_table(json.loads(path.read_text())) for path in paths)


def _evaluation_table(result: dict[str, Any]) -> str:
    speed, whole = result["images_per_second"], sum(result["seconds"].values())
    said = (
        f"{result['samples']:,} images of {result['size']} px by {result['technique']}, on the "
        f"{result['features']:,} features of `{result['extractor']}`; {result['device']}, "
        f"{result['cores']} cores, {result['threads']} thread(s) of torch, medians of "
        f"{result['rounds']} rounds: {speed['median']:,.0f} images per second "
        f"({speed['low']:,.0f} to {speed['high']:,.0f})."
    )
    rows = [
        [name, f"{seconds:.3g}", f"{seconds / whole:.1%}"]
        for name, seconds in result["seconds"].items()
    ]
    return f"{said}\n\n{markdown_table(['part', 'seconds', 'share'], rows, words=[0])}"


def _sensitivity_table(result: dict[str, Any]) -> str:
    rows = [
        [name, *(f"{value:.3g}" for value in row.values())] for name, row in result["rows"].items()
    ]
    head = ["images", *next(iter(result["rows"].values()))]
    said = (
        f"{result['title']} on the features of `{result['extractor']}`, against "
        f"{result['real']:,} training images:"
    )
    return f"{said}\n\n{markdown_table(head, rows, words=[0])}"


def _data_table(result: dict[str, Any]) -> str:
    figures = result["images_per_second"]
    slowest = figures["DataLoader, images in memory, 0 workers"]["median"]
    rows = [
        [
            name,
            f"{figure['median']:,.0f}",
            f"{figure['low']:,.0f} to {figure['high']:,.0f}",
            f"{figure['median'] / slowest:.2g}",
        ]
        for name, figure in figures.items()
    ]
    head = ["loader", "images per second", "least to greatest", "times the DataLoader"]
    said = (
        f"{result['device']}, {result['cores']} cores, {result['threads']} thread(s) of torch, "
        f"batches of {result['batch_size']}, medians of {result['rounds']} rounds:"
    )
    parts = [said, markdown_table(head, rows, words=[0])]
    if folder := result.get("folder"):
        parts.append(
            f"A folder of {folder['images']:,} images: {folder['first']:.1f} s until the first run "
            f"can train, which decodes them, and {folder['second']:.2f} s until the second can."
        )
    return "\n\n".join(parts)
