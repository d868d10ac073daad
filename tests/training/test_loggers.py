"""The CSV log continues with a resumed run, and stays valid wherever a process is killed."""

import csv

import pytest

from gan_lightning.training.loggers import ContinuedCSVLogger
from gan_lightning.utils.rows import read_rows


@pytest.fixture
def log(tmp_path):
    """``log(*rows, after=None)`` simulates a process that logs rows of ``(step, values)``.

    It returns the content of the file. A resumed fit continues ``after`` a step.
    """

    def process(*rows, after=None):
        logger = ContinuedCSVLogger(tmp_path, "run", "version")
        if after is not None:
            logger.continue_after(after)
        for step, values in rows:
            logger.log_metrics(values, step)
            logger.save()
        logger.finalize("success")
        with (tmp_path / "run" / "version" / "metrics.csv").open(newline="") as file:
            return [
                {name: float(value) for name, value in row.items() if value}
                for row in csv.DictReader(file)
            ]

    return process


def test_a_process_writes_a_row_for_each_update(log):
    assert log((0, {"a": 1.5}), (1, {"a": 2}), (1, {"b": 3}), (1, {"c": 4}), (2, {"a": 5})) == [
        {"step": 0, "a": 1.5},
        {"step": 1, "a": 2, "b": 3, "c": 4},
        {"step": 2, "a": 5},
    ]


def test_what_is_added_to_a_row_is_written_on_demand_and_with_the_next_row(tmp_path):
    logger = ContinuedCSVLogger(tmp_path, "run", "version")
    path = tmp_path / "run" / "version" / "metrics.csv"

    def add(step, **values):
        logger.log_metrics(values, step)
        logger.save()
        return [
            {name: float(value) for name, value in row.items() if value} for row in read_rows(path)
        ]

    assert add(1, a=1) == [{"step": 1, "a": 1}]
    assert add(1, b=2) == [{"step": 1, "a": 1}]
    logger.write()
    assert add(2, b=3) == [{"step": 1, "a": 1, "b": 2}, {"step": 2, "b": 3}]
    add(2, a=4)
    assert add(3, a=5)[1:] == [{"step": 2, "a": 4, "b": 3}, {"step": 3, "a": 5}]
    add(3, b=6)
    logger.flush()
    assert logger.count == len(read_rows(path)) == 3
    assert read_rows(path)[2] == {"step": "3", "a": "5", "b": "6"}


def test_a_resumed_fit_adds_to_the_last_row_that_it_keeps(log):
    log((0, {"a": 0}), (2, {"a": 2}), (2, {"b": 2.5}), (3, {"a": 3}))
    assert log((2, {"b": 20}), (2, {"c": 21}), (3, {"a": 30}), after=2) == [
        {"step": 0, "a": 0},
        {"step": 2, "a": 2, "b": 20, "c": 21},
        {"step": 3, "a": 30},
    ]


def test_a_resumed_fit_keeps_the_rows_of_a_log_with_several_for_an_update(log, tmp_path):
    folder = tmp_path / "run" / "version"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("a,b,step\r\n1,,2\r\n,2,2\r\n3,,3\r\n")
    assert log((3, {"a": 4}), after=2) == [
        {"step": 2, "a": 1},
        {"step": 2, "b": 2},
        {"step": 3, "a": 4},
    ]


def test_a_second_process_continues_and_replaces_repeated_steps(log):
    log((0, {"a": 0}), (1, {"a": 1}), (2, {"a": 2, "b": 2}), (3, {"a": 3}))
    assert log((2, {"a": 20}), (3, {"c": 30}), (4, {"a": 40}), after=1) == [
        {"step": 0, "a": 0},
        {"step": 1, "a": 1},
        {"step": 2, "a": 20},
        {"step": 3, "c": 30},
        {"step": 4, "a": 40},
    ]


def test_a_process_that_starts_over_removes_all_earlier_rows(log):
    log((0, {"a": 0}), (5, {"a": 5}))
    assert log((0, {"b": 1}), after=-1) == [{"step": 0, "b": 1}]


def test_a_process_that_does_not_train_removes_no_rows(log):
    log((0, {"a": 0}), (5, {"a": 5}))
    assert log((5, {"b": 1})) == [{"step": 0, "a": 0}, {"step": 5, "a": 5}, {"step": 5, "b": 1}]


def test_a_process_that_logs_nothing_changes_nothing(log):
    before = log((0, {"a": 0}), (5, {"a": 5}))
    assert log() == before


def test_an_incomplete_row_is_dropped(log, tmp_path):
    log((0, {"a": 0.5}), (5, {"a": 5.25}))
    path = tmp_path / "run" / "version" / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-3])
    assert [row["step"] for row in read_rows(path)] == ["0"]
    assert log((7, {"a": 7})) == [{"step": 0, "a": 0.5}, {"step": 7, "a": 7}]


def test_a_new_column_is_written_completely_or_not_at_all(log, tmp_path, monkeypatch):
    before = log((0, {"a": 0}))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        log((1, {"b": 1}))
    monkeypatch.undo()
    assert log() == before


def test_what_is_added_to_a_row_is_written_completely_or_not_at_all(log, tmp_path, monkeypatch):
    before = log((0, {"a": 0}))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    logger = ContinuedCSVLogger(tmp_path, "run", "version")
    for values in ({"a": 1}, {"b": 2}):
        logger.log_metrics(values, 1)
        logger.save()
        monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        logger.write()
    monkeypatch.undo()
    assert log() == [*before, {"step": 1, "a": 1}]
    logger.write()
    assert log() == [*before, {"step": 1, "a": 1, "b": 2}]


def test_a_missing_file_has_no_rows(tmp_path):
    assert read_rows(tmp_path / "metrics.csv") == []
