"""A first day on a GPU: its steps, and what is kept of them when time is up."""

import json
import os
import tarfile
import time
from pathlib import Path

import pytest

from benchmarks import gpu_day
from benchmarks.gpu_day import Day, Place, Step, main, parts
from benchmarks.protocols import PROTOCOLS


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "out", tmp_path / "work", tmp_path / "data")


@pytest.fixture
def day(place, monkeypatch):
    """``day(seconds, *steps)``: the outcomes of the steps by name; no process gets a long grace."""
    monkeypatch.setattr(gpu_day, "GRACE", 0.5)
    monkeypatch.setattr(gpu_day, "LEAST", 0.5)
    monkeypatch.setattr(gpu_day, "PACKING", 0.2)

    def run(seconds, *steps):
        whole = Day(place, seconds)
        whole.run("more", steps)
        return {each.name: each for each in whole.outcomes}

    return run


def code(text, name="step", **options):
    return Step(name, ("-c", text), **options)


def test_what_a_step_prints_and_how_it_ends_is_kept(day, place):
    text = "import sys; print('first'); print('last'); sys.exit(3)"
    outcome = day(20, code(text))["step"]
    assert (outcome.code, outcome.stopped, outcome.last_line) == (3, False, "last")
    assert (place.output / "step.txt").read_text() == "first\nlast\n"
    summary = json.loads((place.output / "summary-more.json").read_text())
    assert summary["steps"] == [vars(outcome)]
    assert summary["commit"]


def test_after_a_failed_step_the_next_one_runs(day):
    outcomes = day(20, code("1 / 0", "bad"), code("print('good')", "good"))
    assert outcomes["bad"].code == 1
    assert outcomes["bad"].last_line == "ZeroDivisionError: division by zero"
    assert (outcomes["good"].code, outcomes["good"].last_line) == (0, "good")


def test_a_step_and_what_it_started_end_in_time(day, tmp_path):
    stubborn = (
        "import os, signal, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\n"
        "time.sleep(60)\n"
    )
    started = time.monotonic()
    outcome = day(3, code(stubborn))["step"]
    assert time.monotonic() - started < 10
    assert (outcome.code, outcome.stopped, outcome.last_line) == (-9, True, "deaf")
    pid = (tmp_path / "pid").read_text()
    deadline = time.monotonic() + 5
    while Path("/proc", pid).exists() and "Z" not in state_of(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state_of(pid):
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_step_gets_its_share_and_what_others_leave(day):
    print_minutes = "import sys; print(sys.argv[1])"
    steps = [
        Step(name, ("-c", print_minutes, gpu_day.MINUTES), share=share)
        for name, share in (("first", 0.5), ("last", 0.1))
    ]
    outcomes = day(60, *steps)
    # Half a second each is for the end of the process.
    assert float(outcomes["first"].last_line) == pytest.approx(29.5 / 60, abs=0.01)
    assert 50 / 60 < float(outcomes["last"].last_line) < 1


def test_no_step_starts_without_time(day, place):
    outcomes = day(1.5, code("import time; time.sleep(60)", "long"), code("print()", "late"))
    assert outcomes["long"].stopped
    assert outcomes["late"].code is None
    assert not (place.output / "late.txt").exists()


def test_results_are_packed_while_they_come(day, place):
    writing = (
        "import os, time\n"
        f"os.makedirs({str(place.output / 'step')!r}, exist_ok=True)\n"
        f"open({str(place.output / 'step' / 'record.json')!r}, 'w').write('1')\n"
        f"while not os.path.exists({str(place.output / 'step.tgz')!r}): time.sleep(0.05)\n"
        f"open({str(place.output / 'step' / 'later.json')!r}, 'w').write('2')\n"
    )
    assert day(30, code(writing, results=True))["step"].code == 0
    with tarfile.open(place.output / "step.tgz") as archive:
        names = sorted(archive.getnames())
    assert names == ["step", "step/later.json", "step/record.json"]


def test_the_steps_name_programs_and_protocols_that_there_are(place):
    steps = [step for each in parts(place, dry_run=False).values() for step in each]
    names = [step.name for step in steps]
    assert len(set(names)) == len(names)
    for step in steps:
        if step.results:
            assert PROTOCOLS[step.name].accelerator == "gpu"
            assert f"{place.output / step.name}" in step.command
    # Without data there is nothing to train.
    bare = parts(Place(place.output, place.work), dry_run=False)
    assert bare["train"] == []
    assert "cifar10-jpeg-paper" not in [step.name for step in bare["more"]]


def test_training_needs_data(capsys):
    with pytest.raises(SystemExit):
        main(["--part", "train", "--minutes", "1"])
    assert "the part train needs --data-dir" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("part", ["tests", "speed", "train", "more"])
def test_a_dry_run_works_without_a_gpu(part, place, capsys):
    folders = ("--output", str(place.output), "--work", str(place.work))
    arguments = [
        "--part",
        part,
        "--dry-run",
        *folders,
        "--minutes",
        "0.7" if part == "train" else "5",
    ]
    if part == "more":
        with pytest.raises(SystemExit):
            main(arguments)
    else:
        main(arguments)
    outcomes = json.loads((place.output / f"summary-{part}.json").read_text())["steps"]
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == [each["name"] for each in outcomes]
    codes = [each["code"] for each in outcomes]
    if part == "tests":
        assert codes == [0, 0]
        assert "skipped" in outcomes[1]["last_line"]
        assert "nvidia-cuda-mps-control: None" in (place.output / "facts.txt").read_text()
    elif part == "speed":
        assert codes == [0]
        (case,) = json.loads((place.output / "train-dry-cpu.json").read_text())["cases"]
        assert case["modes"]["Lightning"]["milliseconds"]["median"] > 0
    elif part == "train":
        # It is stopped, and could be resumed.
        assert outcomes[0]["stopped"]
        assert codes == [130]
        assert "the same command resumes" in outcomes[0]["last_line"]
        assert os.listdir(place.work / "runs")
    else:
        assert codes == [1]
        assert "No module named benchmarks.nothing" in outcomes[0]["last_line"]
