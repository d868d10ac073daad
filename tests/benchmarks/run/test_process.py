"""The one way to start a training: whose code it runs, what it inherits, and how it ends."""

import os
import resource
import runpy
import signal
import time

import pytest

from benchmarks.protocol import ROOT
from benchmarks.run.process import (
    CHILD,
    STOPPED_CODES,
    Training,
    environment,
    read_report,
    sigterm_interrupts,
)


@pytest.fixture
def training(tmp_path):
    """``training(text, **options)``: a training whose ``gan_lightning`` is this text."""

    def build(text, *arguments, **options):
        package = tmp_path / "code" / "gan_lightning"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(text)
        return Training(arguments, threads=1, code=package.parent, **options)

    return build


def output(process):
    """The exit code, the last line, and all lines."""
    lines = []
    return *process.run(lines.append), lines


def test_it_runs_the_code_of_a_folder_with_the_arguments(training, tmp_path):
    text = "import os, sys\nprint(os.getcwd(), *sys.argv[1:], __spec__.name)"
    code, last, lines = output(training(text, "fit", "--config=a b"))
    assert code == 0
    assert last == f"{tmp_path / 'code'} fit --config=a b gan_lightning.__main__"
    assert lines == [f"{last}\n"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("PYTHONSAFEPATH", "1"), ("PYTHONPATH", str(ROOT))],
    ids=["PYTHONSAFEPATH", "PYTHONPATH"],
)
def test_no_variable_of_python_hides_that_code(training, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    # Ranks are started as modules, for which PYTHONSAFEPATH hides the current folder, too.
    text = """
import subprocess, sys
print("mine", *sys.argv[1:], flush=True)
if sys.argv[1] == "fit":
    subprocess.run([sys.executable, "-m", "gan_lightning", "rank"])
"""
    assert output(training(text, "fit"))[2] == ["mine fit\n", "mine rank\n"]


@pytest.mark.parametrize(
    "name",
    [
        *("SLURM_PROCID", "SLURM_NTASKS", "SLURM_JOB_ID", "SLURM_LOCALID"),
        *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "ROLE_RANK", "WORLD_SIZE"),
        *("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "ROLE_NAME"),
        *("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE"),
        *("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "LSB_JOBID", "JSM_NAMESPACE_RANK"),
        *("PL_GLOBAL_SEED", "PL_SEED_WORKERS"),
    ],
)
def test_it_inherits_no_rank(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    monkeypatch.setenv(f"MY_{name}", "kept")
    seen = environment(1)
    assert name not in seen
    assert seen[f"MY_{name}"] == "kept"


def test_every_library_uses_the_threads_of_the_protocol(monkeypatch):
    for library in ("OMP", "MKL", "OPENBLAS"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "7")
    seen = environment(2)
    assert {seen[f"{library}_NUM_THREADS"] for library in ("OMP", "MKL", "OPENBLAS")} == {"2"}


@pytest.mark.parametrize("gpus", [None, [], ["1", "GPU-3"]])
def test_it_sees_the_gpus_that_it_is_given(monkeypatch, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    visible = "0,1" if gpus is None else ",".join(gpus)
    assert environment(1, gpus)["CUDA_VISIBLE_DEVICES"] == visible


def test_the_error_is_the_last_line_whatever_libraries_print_after_it(training):
    text = "print('gan-lightning: no such file', flush=True)\nprint('bye')\nraise SystemExit(3)"
    assert output(training(text))[:2] == (3, "gan-lightning: no such file")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_that_comes_before_it_hears_signals_has_stopped_it(training, number):
    text = f"""
import os, signal
signal.signal({int(number)}, signal.SIG_DFL)
os.kill(os.getpid(), {int(number)})
"""
    code, last, _ = output(training(text))
    assert code in STOPPED_CODES
    assert last == f"killed by signal {int(number)}"


def test_one_that_runs_out_of_memory_has_not_been_stopped(training):
    code, last, _ = output(training("import os\nos.kill(os.getpid(), 9)"))
    assert code not in STOPPED_CODES
    assert last == "killed by signal 9 (out of memory?)"


WAITING = "import time\nprint('ready', flush=True)\ntime.sleep(100)"


def test_stop_kills_it(training):
    process, began = training(WAITING), time.monotonic()
    assert process.run(lambda line: process.stop())[0] == -signal.SIGKILL
    assert time.monotonic() - began < 50


def test_it_ends_at_once_if_it_was_stopped_before_it_started(training):
    process, began = training(WAITING), time.monotonic()
    process.stop()
    assert process.run(lambda line: None)[0] == -signal.SIGKILL
    assert time.monotonic() - began < 50


def test_it_does_not_outlive_an_error_of_the_one_who_reads_its_lines(training):
    process = training(WAITING)

    def fail(line):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        process.run(fail)
    assert process._process.poll() == -signal.SIGKILL


def test_it_reports_its_peak_of_memory(training, tmp_path):
    report = tmp_path / "report.json"
    assert read_report(report) is None
    assert output(training("x = b'1' * 100_000_000", report=report))[0] == 0
    found = read_report(report)
    assert found.gpu == ""
    assert 100e6 < found.peak_memory_bytes < 1e9
    report.write_text('{"gpu": ')
    assert read_report(report) is None


def test_where_linux_does_not_say_the_peak_it_is_in_bytes_too(tmp_path):
    names = runpy.run_path(str(CHILD))
    measure = names["_peak_resident_bytes"]
    measure.__globals__["Path"] = lambda _: tmp_path / "absent"
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    assert measure() == pytest.approx(peak, rel=0.1)


def test_sigterm_interrupts_as_ctrl_c_does():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), sigterm_interrupts():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
