"""Markdown tables of the measurements."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.experiments import EXPERIMENTS
from benchmarks.render.markdown import code_span, escape_markdown, markdown_table
from gan_lightning.utils.errors import WrongFileError, one_line

T = TypeVar("T")


def data_tables(folder: Path) -> str:
    """The speed of the data loaders, one table for each device."""
    return _join_tables(_data_table, sorted(folder.glob("data-*.json")))


def training_tables(folder: Path) -> str:
    """The time of an iteration, one table for each measurement."""
    return _join_tables(_training_table, sorted(folder.glob("train-*.json")))


def shared_batch_tables(folder: Path) -> str:
    """What one generated batch for both updates saves, one table for each device."""
    return _join_tables(_shared_batch_table, sorted(folder.glob("shared-batch-*.json")))


def profile_tables(folder: Path) -> str:
    """The host's time per iteration, two tables for each technique."""
    return _join_tables(_profile_tables, sorted(folder.glob("profile-*.json")))


def sensitivity_tables(folder: Path) -> str:
    """The scores of distorted real images, one table for each network."""
    return _join_tables(_sensitivity_table, sorted(folder.glob("*.json")))


def evaluation_tables(folder: Path) -> str:
    """The time of each part of an evaluation, one table for each network and device."""
    return _join_tables(_evaluation_table, sorted(folder.glob("eval-*.json")))


def reliability_table(folder: Path) -> str:
    """Cases and failures, one row for each experiment."""
    paths = [path for name in EXPERIMENTS if (path := folder / f"{name}.json").is_file()]
    rows = _load_each(_reliability_row, paths)
    if not rows:
        return ""
    devices = sorted({device for device, _ in rows})
    headers = ["experiment", "cases", "failed", "skipped", "minutes"]
    table = markdown_table(headers, [row for _, row in rows], text_columns=[0])
    return f"On {', '.join(devices)}:\n\n{table}"


def _join_tables(table: Callable[[str, Any], str], paths: Iterable[Path]) -> str:
    return "\n\n".join(_load_each(table, paths))


def _load_each(render: Callable[[str, Any], T], paths: Iterable[Path]) -> list[T]:
    """``render(stem, content)`` of each file.

    Raises:
        WrongFileError: a file is not a measurement.
    """
    parts = []
    for path in paths:
        try:
            parts.append(render(path.stem, json.loads(path.read_text())))
        except Exception as error:
            # Missing keys and values of the wrong type raise errors of many types.
            raise WrongFileError(
                f"{path} is not a measurement: {type(error).__name__} {one_line(str(error))}"
            ) from error
    return parts


def _reliability_row(stem: str, result: dict[str, Any]) -> tuple[str, list[str]]:
    largest = [
        f"; {escape_markdown(name)} {value:.2g}" for name, value in result["largest"].items()
    ]
    return escape_markdown(result["device"]), [
        escape_markdown(result["title"]) + "".join(largest),
        f"{result['tried']:,}",
        f"{result['failed']:,}",
        f"{result['skipped']:,}",
        f"{result['seconds'] / 60:.1f}",
    ]


def _training_table(stem: str, result: dict[str, Any]) -> str:
    name = stem.removeprefix("train-").rpartition("-")[0]
    peaks, cases = result["peak_flops_per_second"], result["cases"]
    first = cases[0]
    intro = (
        f"{code_span(name)}: samples of {' x '.join(map(str, first['shape']))}, widths "
        f"{first['generator_width']} and {first['critic_width']}, batches of "
        f"{first['batch_size']}; {escape_markdown(result['device'])}, {result['cores']} cores, "
        f"{result['threads']} torch thread(s); medians of {result['rounds']} rounds of "
        f"{first['updates']} updates, with minimum and maximum. The peak is "
        f"{peaks['32-true'] / 1e9:,.0f} GFLOP/s in float32, "
        f"{peaks['bf16-mixed'] / 1e9:,.0f} in bfloat16:"
    )
    headers = ["technique", "GFLOP, operations", "mode", "ms per update", "relative to bare loop"]
    headers += ["images/s", "share of peak"]
    on_gpu = any("launches" in (row or {}) for case in cases for row in case["modes"].values())
    headers += ["launches", "kernels", "peak memory, MB"] * on_gpu
    rows = [row for case in cases for row in _training_rows(case, peaks, on_gpu)]
    return f"{intro}\n\n{markdown_table(headers, rows, text_columns=[0, 2])}"


def _training_rows(
    case: dict[str, Any], peaks: dict[str, float], on_gpu: bool
) -> Iterator[list[str]]:
    bare = next(iter(case["modes"].values()))
    first_cells = [
        escape_markdown(case["technique"]),
        f"{case['flops'] / 1e9:.3g}, {case['operators']:,}",
    ]
    for name, row in case["modes"].items():
        cells = [*first_cells, escape_markdown(name)]
        first_cells = ["", ""]
        if row is None:
            yield [*cells, "not measured", *["-"] * (6 if on_gpu else 3)]
            continue
        times = row["milliseconds"]
        cells += [
            f"{times['median']:,.3g} ({times['low']:,.3g} to {times['high']:,.3g})",
            "-" if bare is None else f"{times['median'] / bare['milliseconds']['median']:.2f}",
            f"{row['images_per_second']['median']:,.0f}",
            f"{row['flops_per_second'] / peaks[row['precision']]:.0%}",
        ]
        if on_gpu:
            counts = {"launches": 1, "kernels": 1, "peak_memory_bytes": 1e6}
            cells += [
                f"{row[key] / unit:,.0f}" if key in row else "-" for key, unit in counts.items()
            ]
        yield cells


def _shared_batch_table(stem: str, result: dict[str, Any]) -> str:
    first = result["cases"][0]
    intro = (
        f"Batches of {first['batch_size']}; {escape_markdown(result['device'])}, "
        f"{result['cores']} cores, {result['threads']} torch thread(s); medians of "
        f"{result['rounds']} rounds of {first['updates']} updates, with minimum and maximum:"
    )
    headers = ["technique", "samples", "widths of generator and critic"]
    headers += ["ours, GFLOP", "ours, processor ms"]
    headers += ["relative operations", "relative processor time"]
    rows = []
    for case in result["cases"]:
        ratio = case["relative_processor_time"]
        rows.append(
            [
                escape_markdown(case["technique"]),
                " x ".join(map(str, case["shape"])),
                f"{case['generator_width']} and {case['critic_width']}",
                f"{case['flops']['ours'] / 1e9:.3g}",
                f"{case['processor_milliseconds']['ours']['median']:,.0f}",
                f"{case['relative_flops']:.2f}",
                f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})",
            ]
        )
    return f"{intro}\n\n{markdown_table(headers, rows, text_columns=[0, 1, 2])}"


def _profile_tables(stem: str, result: dict[str, Any]) -> str:
    parts = []
    for case in result["cases"]:
        columns = list(next(iter(case["packages"].values())))
        packages = [
            [escape_markdown(name), *(f"{value:,.0f}" for value in row.values())]
            for name, row in case["packages"].items()
        ]
        functions = [
            [
                code_span(row["function"]),
                escape_markdown(row["package"]),
                f"{row['calls']:g}",
                f"{row['microseconds']:,.0f}",
            ]
            for row in case["functions"]
        ]
        parts += [
            f"**{escape_markdown(case['technique'])}**, microseconds of the host per generator "
            f"update, over {result['updates']:,} updates on {escape_markdown(result['device'])}:",
            markdown_table(["package", *map(escape_markdown, columns)], packages, text_columns=[0]),
            markdown_table(
                ["function", "package", "calls per update", "microseconds"],
                functions,
                text_columns=[0, 1],
            ),
        ]
    return "\n\n".join(parts)


def _evaluation_table(stem: str, result: dict[str, Any]) -> str:
    speed, total = result["images_per_second"], sum(result["seconds"].values())
    intro = (
        f"{result['samples']:,} images of {result['size']} px by "
        f"{escape_markdown(result['technique'])}, on the {result['features']:,} features of "
        f"{code_span(result['extractor'])}; {escape_markdown(result['device'])}, "
        f"{result['cores']} cores, {result['threads']} torch thread(s), medians of "
        f"{result['rounds']} rounds: {speed['median']:,.0f} images per second "
        f"({speed['low']:,.0f} to {speed['high']:,.0f})."
    )
    rows = [
        [escape_markdown(name), f"{seconds:.3g}", f"{seconds / total:.1%}"]
        for name, seconds in result["seconds"].items()
    ]
    return f"{intro}\n\n{markdown_table(['part', 'seconds', 'share'], rows, text_columns=[0])}"


def _sensitivity_table(stem: str, result: dict[str, Any]) -> str:
    rows = [
        [escape_markdown(name), *(f"{value:.3g}" for value in row.values())]
        for name, row in result["rows"].items()
    ]
    headers = ["images", *map(escape_markdown, next(iter(result["rows"].values())))]
    intro = (
        f"{escape_markdown(result['title'])} on the features of {code_span(result['extractor'])}, "
        f"against {result['real']:,} training images:"
    )
    return f"{intro}\n\n{markdown_table(headers, rows, text_columns=[0])}"


def _data_table(stem: str, result: dict[str, Any]) -> str:
    figures = result["images_per_second"]
    baseline = figures["DataLoader, images in memory, 0 workers"]["median"]
    rows = [
        [
            escape_markdown(name),
            f"{figure['median']:,.0f}",
            f"{figure['low']:,.0f} to {figure['high']:,.0f}",
            f"{figure['median'] / baseline:.2g}",
        ]
        for name, figure in figures.items()
    ]
    headers = ["loader", "images per second", "minimum to maximum", "relative to DataLoader"]
    intro = (
        f"{escape_markdown(result['device'])}, {result['cores']} cores, {result['threads']} torch "
        f"thread(s), batches of {result['batch_size']}, medians of {result['rounds']} rounds:"
    )
    parts = [intro, markdown_table(headers, rows, text_columns=[0])]
    if folder := result.get("folder"):
        parts.append(
            f"A folder of {folder['images']:,} images: {folder['first']:.1f} s until the first run "
            f"can train, which decodes them, and {folder['second']:.2f} s until the second run can."
        )
    return "\n\n".join(parts)
