"""How often reliability tests are run, what is counted, and the table of the counts."""

import json

import pytest

from benchmarks import reliability
from benchmarks.reliability import EXPERIMENTS, TESTS, Experiment, main
from benchmarks.render.measured import reliability_table
from gan_lightning.utils.errors import WrongFileError

EXAMPLE_TESTS = """
import pytest

@pytest.mark.parametrize("n", range(3))
def test_good(n, record_property):
    record_property("size", 2 - n / 2)

def test_bad():
    assert 1 + 1 == 3

@pytest.mark.parametrize("inputs", [40, 2])
def test_made_up(inputs, record_property):
    record_property("inputs", inputs)

@pytest.mark.skip
def test_skipped():
    pass

@pytest.fixture
def broken():
    raise OSError

def test_without_its_fixture(broken):
    pass
"""


@pytest.fixture
def count(tmp_path, monkeypatch):
    """``count(which)``: what the program writes about these tests, and its exit code."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n"
        "    parser.addoption('--times')\n"
        "    parser.addoption('--examples')\n"
        "    parser.addoption('--fast')\n"
    )
    (tmp_path / "test_some.py").write_text(EXAMPLE_TESTS)
    monkeypatch.setattr(reliability, "TESTS", tmp_path)

    def run(which):
        monkeypatch.setitem(
            EXPERIMENTS, "storage", Experiment("some | tests", ("test_some.py", which))
        )
        output = tmp_path / "results"
        code = 0
        try:
            main(["--only", "storage", "--output", str(output)])
        except SystemExit as stopped:
            code = stopped.code
        path = output / "storage.json"
        return (json.loads(path.read_text()) if path.is_file() else None), code

    return run


def test_failures_are_counted_and_set_the_exit_code(count):
    found, code = count("test_")
    assert code == 1
    assert {name: found[name] for name in ("tried", "failed", "skipped")} == {
        "tried": 5 + 42,
        "failed": 2,
        "skipped": 1,
    }
    assert found["largest"] == {"size": 2}
    assert found["seconds"] > 0
    assert found["commit"]


def test_the_exit_code_is_0_without_failures(count):
    found, code = count("test_good")
    assert (found["tried"], found["failed"], code) == (3, 0, 0)


def test_a_fuzz_test_counts_its_inputs(count):
    found, _ = count("test_good or test_made_up")
    assert found["tried"] == 3 + 42
    assert found["largest"] == {"size": 2}


def test_nothing_is_written_without_tests(count):
    found, code = count("no_such_test")
    assert found is None
    assert "no test" in code


def test_every_experiment_has_tests():
    for experiment in EXPERIMENTS.values():
        file, which = experiment.tests
        text = (TESTS / file).read_text()
        for part in which.split(" or "):
            assert part in text, experiment


def test_the_table_has_a_row_for_each_experiment_in_order(count, tmp_path):
    count("test_good")
    folder = tmp_path / "results"
    one = json.loads((folder / "storage.json").read_text())
    (folder / "killed.json").write_text(json.dumps(one | {"title": "first", "tried": 21_000}))
    lines = reliability_table(folder).splitlines()
    assert lines[0].startswith("On ")
    assert lines[-2].startswith("| first; size 2 | 21,000 | 0 | 0 |")
    assert lines[-1].startswith("| some &#124; tests; size 2 | 3 | 0 | 0 |")
    assert reliability_table(tmp_path / "nowhere") == ""


def test_a_file_that_is_not_a_measurement_is_reported(tmp_path):
    path = tmp_path / "killed.json"
    for text in ("", "[]", '{"title": 3}'):
        path.write_text(text)
        with pytest.raises(WrongFileError, match=f"{path} is not a measurement"):
            reliability_table(tmp_path)
