"""What the programs that measure have found, as text."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.blocks import code, inert, markdown_table
from benchmarks.reliability import EXPERIMENTS
from gan_lightning.utils.errors import WrongFileError, one_line

T = TypeVar("T")


def data_tables(folder: Path) -> str:
    """The loaders' figures, one table for each device."""
    return _each(_data_table, sorted(folder.glob("data-*.json")))


def training_tables(folder: Path) -> str:
    """Seconds of an iteration, one table for each measurement."""
    return _each(_training_table, sorted(folder.glob("train-*.json")))


def profile_tables(folder: Path) -> str:
    """Where the host's time of an iteration goes, two tables for each technique."""
    return _each(_profile_tables, sorted(folder.glob("profile-*.json")))


def sensitivity_tables(folder: Path) -> str:
    """What scores say of real images, one table for each network."""
    return _each(_sensitivity_table, sorted(folder.glob("*.json")))


def evaluation_tables(folder: Path) -> str:
    """Where the time of an evaluation goes, one table for each network and device."""
    return _each(_evaluation_table, sorted(folder.glob("eval-*.json")))


def reliability_table(folder: Path) -> str:
    """What was tried, how often, and how often it failed, a row for each experiment."""
    paths = [path for name in EXPERIMENTS if (path := folder / f"{name}.json").is_file()]
    found = _of_each(_reliability_row, paths)
    if not found:
        return ""
    devices = sorted({device for device, _ in found})
    head = ["what was tried", "how often", "failed", "not tried", "minutes"]
    table = markdown_table(head, [row for _, row in found], words=[0])
    return f"On {', '.join(devices)}:\n\n{table}"


def _each(table: Callable[[str, Any], str], paths: Iterable[Path]) -> str:
    return "\n\n".join(_of_each(table, paths))


def _of_each(said: Callable[[str, Any], T], paths: Iterable[Path]) -> list[T]:
    """What is said of each file, given its name and what it holds.

    Raises:
        WrongFileError: one holds something else.
    """
    parts = []
    for path in paths:
        try:
            parts.append(said(path.stem, json.loads(path.read_text())))
        except Exception as error:
            # Whatever is taken of what is not there, or is of another type.
            raise WrongFileError(
                f"{path} is not a measurement: {type(error).__name__} {one_line(str(error))}"
            ) from error
    return parts


def _reliability_row(stem: str, result: dict[str, Any]) -> tuple[str, list[str]]:
    largest = [f"; {inert(name)} {value:.2g}" for name, value in result["largest"].items()]
    return inert(result["device"]), [
        inert(result["title"]) + "".join(largest),
        f"{result['tried']:,}",
        f"{result['failed']:,}",
        f"{result['skipped']:,}",
        f"{result['seconds'] / 60:.1f}",
    ]


def _training_table(stem: str, result: dict[str, Any]) -> str:
    name = stem.removeprefix("train-").rpartition("-")[0]
    peaks, cases = result["peak_flops_per_second"], result["cases"]
    first = cases[0]
    said = (
        f"{code(name)}: samples of {' x '.join(map(str, first['shape']))}, widths "
        f"{first['generator_width']} and {first['critic_width']}, batches of "
        f"{first['batch_size']}; {inert(result['device'])}, {result['cores']} cores, "
        f"{result['threads']} thread(s) of torch; medians of {result['rounds']} rounds of "
        f"{first['updates']} updates, and the least and greatest. The peak is "
        f"{peaks['32-true'] / 1e9:,.0f} GFLOP/s in float32, "
        f"{peaks['bf16-mixed'] / 1e9:,.0f} in bfloat16:"
    )
    heads = ["technique", "GFLOP, operations", "mode", "ms an update", "of the bare loop"]
    heads += ["images/s", "of the peak"]
    on_gpu = "launches" in next(iter(first["modes"].values()))
    heads += ["launches", "kernels", "peak memory, MB"] * on_gpu
    rows = [row for case in cases for row in _training_rows(case, peaks, on_gpu)]
    return f"{said}\n\n{markdown_table(heads, rows, words=[0, 2])}"


def _training_rows(
    case: dict[str, Any], peaks: dict[str, float], on_gpu: bool
) -> Iterator[list[str]]:
    bare = next(iter(case["modes"].values()))["milliseconds"]["median"]
    what = [inert(case["technique"]), f"{case['flops'] / 1e9:.3g}, {case['operators']:,}"]
    for name, row in case["modes"].items():
        taken = row["milliseconds"]
        cells = [
            *what,
            inert(name),
            f"{taken['median']:,.3g} ({taken['low']:,.3g} to {taken['high']:,.3g})",
            f"{taken['median'] / bare:.2f}",
            f"{row['images_per_second']['median']:,.0f}",
            f"{row['flops_per_second'] / peaks[row['precision']]:.0%}",
        ]
        if on_gpu:
            cells += [f"{row['launches']:,.0f}", f"{row['kernels']:,.0f}"]
            cells.append(f"{row['peak_memory_bytes'] / 1e6:,.0f}")
        yield cells
        what = ["", ""]


def _profile_tables(stem: str, result: dict[str, Any]) -> str:
    parts = []
    for case in result["cases"]:
        columns = list(next(iter(case["packages"].values())))
        packages = [
            [inert(name), *(f"{value:,.0f}" for value in row.values())]
            for name, row in case["packages"].items()
        ]
        functions = [
            [
                code(row["function"]),
                inert(row["package"]),
                f"{row['calls']:g}",
                f"{row['microseconds']:,.0f}",
            ]
            for row in case["functions"]
        ]
        parts += [
            f"**{inert(case['technique'])}**, microseconds of the host per generator update, over "
            f"{result['updates']:,} of them on {inert(result['device'])}:",
            markdown_table(["in functions of", *map(inert, columns)], packages, words=[0]),
            markdown_table(
                ["function", "of", "calls an update", "microseconds"], functions, words=[0, 1]
            ),
        ]
    return "\n\n".join(parts)


def _evaluation_table(stem: str, result: dict[str, Any]) -> str:
    speed, whole = result["images_per_second"], sum(result["seconds"].values())
    said = (
        f"{result['samples']:,} images of {result['size']} px by {inert(result['technique'])}, on "
        f"the {result['features']:,} features of {code(result['extractor'])}; "
        f"{inert(result['device'])}, {result['cores']} cores, {result['threads']} thread(s) of "
        f"torch, medians of {result['rounds']} rounds: {speed['median']:,.0f} images per second "
        f"({speed['low']:,.0f} to {speed['high']:,.0f})."
    )
    rows = [
        [inert(name), f"{seconds:.3g}", f"{seconds / whole:.1%}"]
        for name, seconds in result["seconds"].items()
    ]
    return f"{said}\n\n{markdown_table(['part', 'seconds', 'share'], rows, words=[0])}"


def _sensitivity_table(stem: str, result: dict[str, Any]) -> str:
    rows = [
        [inert(name), *(f"{value:.3g}" for value in row.values())]
        for name, row in result["rows"].items()
    ]
    head = ["images", *map(inert, next(iter(result["rows"].values())))]
    said = (
        f"{inert(result['title'])} on the features of {code(result['extractor'])}, against "
        f"{result['real']:,} training images:"
    )
    return f"{said}\n\n{markdown_table(head, rows, words=[0])}"


def _data_table(stem: str, result: dict[str, Any]) -> str:
    figures = result["images_per_second"]
    slowest = figures["DataLoader, images in memory, 0 workers"]["median"]
    rows = [
        [
            inert(name),
            f"{figure['median']:,.0f}",
            f"{figure['low']:,.0f} to {figure['high']:,.0f}",
            f"{figure['median'] / slowest:.2g}",
        ]
        for name, figure in figures.items()
    ]
    head = ["loader", "images per second", "least to greatest", "times the DataLoader"]
    said = (
        f"{inert(result['device'])}, {result['cores']} cores, {result['threads']} thread(s) of "
        f"torch, batches of {result['batch_size']}, medians of {result['rounds']} rounds:"
    )
    parts = [said, markdown_table(head, rows, words=[0])]
    if folder := result.get("folder"):
        parts.append(
            f"A folder of {folder['images']:,} images: {folder['first']:.1f} s until the first run "
            f"can train, which decodes them, and {folder['second']:.2f} s until the second can."
        )
    return "\n\n".join(parts)
