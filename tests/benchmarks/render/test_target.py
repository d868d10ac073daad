"""How long runs take until their distance is below the target."""

import dataclasses

import pytest

from benchmarks.protocol import RESULTS, Target
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import read_records
from benchmarks.render.columns import headers, table_cells
from benchmarks.render.table import rows

DIGITS = dataclasses.replace(PROTOCOLS["digits"], target=Target(20.0, "as an example"))
NAME = DIGITS.distance


@pytest.fixture
def run(record):
    """``run(seed, *distances)``: a run with these distances after 0, 1, 2... times 1,000 images."""

    def run(seed, *distances, **changed):
        curve = [
            {"update": i, "images": 1000 * i, "train_seconds": 10.0 * i + seed, NAME: distance}
            for i, distance in enumerate(distances)
        ]
        return dataclasses.replace(record, seed=seed, curve=curve, **changed)

    return run


def cells(runs, tmp_path, protocol=DIGITS):
    """The texts of the two columns in the row of DCGAN."""
    table = rows(runs, protocol, tmp_path)
    titles = [header.title for header in headers(protocol, table)]
    row = next(i for i, row in enumerate(table) if row.key == "dcgan")
    return [
        table_cells(protocol, table)[row][titles.index(title)]
        for title in ("seconds to 20", "images to 20")
    ]


def texts(*arguments):
    return [cell.text for cell in cells(*arguments)]


def test_the_first_evaluation_below_the_target_counts(run, tmp_path):
    runs = [run(0, 900.0, 50.0, 19.0, 25.0, 10.0), run(2, 900.0, 20.0, 19.9)]
    assert texts(runs, tmp_path) == ["21.0 ± 1.41", "2k ± 0"]


def test_a_run_that_does_not_get_there_is_counted(run, tmp_path):
    runs = [run(0, 900.0, 19.0), run(1, 900.0, 30.0), run(2, 900.0, 40.0, 19.0)]
    assert texts(runs, tmp_path) == ["16.0 ± 8.49, 2 of 3", "1.5k ± 707, 2 of 3"]
    assert texts([run(0, 900.0, 20.0)], tmp_path) == ["not reached"] * 2
    # A run that failed on the way counts as well.
    failed = run(1, status="failed", last={}, best={})
    assert texts([run(0, 900.0, 19.0), failed], tmp_path) == ["10.0, 1 of 2", "1k, 1 of 2"]


def test_rows_of_which_more_runs_get_there_come_first(run, tmp_path):
    slow, partly, never = (
        cells(runs, tmp_path)[0].value
        for runs in (
            [run(0, 900.0, 900.0, 900.0, 19.0), run(1, 900.0, 900.0, 900.0, 19.0)],
            [run(0, 900.0, 19.0), run(1, 900.0, 30.0)],
            [run(0, 900.0), run(1, 900.0)],
        )
    )
    assert slow < partly < never


def test_records_without_times_do_not_tell(run, tmp_path):
    one = run(0, 900.0, 19.0)
    curve = [{**point} for point in one.curve]
    for point in curve:
        del point["train_seconds"]
    assert texts([dataclasses.replace(one, curve=curve)], tmp_path) == ["-", "1k"]


def test_a_protocol_without_target_has_no_such_column(run, tmp_path):
    protocol = dataclasses.replace(DIGITS, target=None)
    table = rows([run(0, 900.0, 1.0)], protocol, tmp_path)
    assert not any(" to " in header.title for header in headers(protocol, table))


@pytest.mark.parametrize(
    "protocol",
    [each for each in PROTOCOLS.values() if each.target and (RESULTS / each.name).is_dir()],
    ids=lambda protocol: protocol.name,
)
def test_the_target_of_a_protocol_tells_its_rows_apart(protocol):
    """Some of the recorded rows get there with all runs, and some with none or not with all."""
    table = rows(read_records(RESULTS, protocol), protocol, RESULTS)
    titles = [header.title for header in headers(protocol, table)]
    column = titles.index(f"seconds to {protocol.target.distance:g}")
    shown = [
        line[column].text
        for row, line in zip(table, table_cells(protocol, table), strict=True)
        if row.runs
    ]
    reached = [text for text in shown if " of " not in text and text != "not reached"]
    assert 3 <= len(reached) < len(shown)
