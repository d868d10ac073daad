"""The one way to start a training: a process with the public command line.

It ends with the process that started it, however that ends, sees only the GPUs that it is given,
and does not inherit the rank that a launcher such as SLURM or torchrun gave that process.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from benchmarks.protocol import INSTALLED, ROOT

#: A script, and not a module, so that it can run the code of any commit.
CHILD = Path(__file__).with_name("child.py")
#: Exit codes of a training that a signal has stopped: by itself, or before it heard signals.
STOPPED_CODES = {
    code
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    for code in (128 + number, -number)
}
#: Environment variables by which launchers number the processes of one training.
LAUNCHERS = re.compile(
    r"(SLURM|TORCHELASTIC|JSM|LSB|PMIX?|OMPI|MPI|MV2)_.*"
    r"|(LOCAL_|NODE_|GROUP_|ROLE_)?RANK|(LOCAL_|GROUP_|ROLE_)?WORLD_SIZE|ROLE_NAME"
    r"|MASTER_(ADDR|PORT)|PL_GLOBAL_SEED|PL_SEED_WORKERS"
)
#: With it, Python does not look for the training's code in the current folder.
SAFE_PATH = "PYTHONSAFEPATH"


@dataclass(frozen=True)
class Report:
    """What only the process itself knows.

    Args:
        gpu: the name of its GPU; "" for none.
        peak_memory_bytes: the peak of the memory reserved on the GPU, or, without a GPU, the peak
            resident size of the process.
    """

    gpu: str
    peak_memory_bytes: int


class Training:
    """A process that runs ``gan-lightning`` with the arguments given.

    Args:
        arguments: the command line, such as ``["fit", "--config=..."]``.
        threads: CPU threads of each of its processes.
        gpus: the GPUs that it sees, as in CUDA_VISIBLE_DEVICES; None for all.
        code: the folder whose ``gan_lightning`` it runs, and to which relative paths refer; None
            for the installed package and the working folder.
        report: the path of the report that it writes when it exits; None writes none.
        modules: a further folder that it can import modules from.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        threads: int,
        gpus: Sequence[str] | None = None,
        code: Path | None = None if INSTALLED else ROOT,
        report: Path | None = None,
        modules: Path | None = None,
    ) -> None:
        self.command = [sys.executable, str(CHILD), *arguments]
        self.environment = environment(threads, gpus, report, modules, code)
        self._code = code
        self._stopped = False
        self._process: subprocess.Popen[str] | None = None

    def run(self, on_line: Callable[[str], None]) -> tuple[int, str]:
        """Run to the end; the exit code, and the last line or the error that it printed.

        ``on_line`` is called with each line of its output.
        """
        last = ""
        with subprocess.Popen(
            self.command,
            cwd=self._code,
            stdin=subprocess.PIPE,  # it ends when this is closed
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=self.environment,
        ) as process:
            self._process = process
            try:
                if self._stopped:
                    self.stop()
                assert process.stdout is not None
                for line in process.stdout:
                    on_line(line)
                    # What libraries print after the error is not the cause.
                    if not last.startswith("gan-lightning: "):
                        last = line.strip() or last
            except BaseException:
                process.kill()
                raise
        code = process.returncode
        if code < 0:
            last = f"killed by signal {-code}" + " (out of memory?)" * (code == -9)
        return code, last

    def stop(self) -> None:
        """Kill the process, now or as soon as it starts."""
        self._stopped = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


def environment(
    threads: int,
    gpus: Sequence[str] | None = None,
    report: Path | None = None,
    modules: Path | None = None,
    code: Path | None = None,
) -> Mapping[str, str]:
    """The environment variables of a training."""
    # Each library prefers its own variable to that of OpenMP.
    libraries = ("OMP", "MKL", "OPENBLAS")
    variables = {f"{library}_NUM_THREADS": str(threads) for library in libraries}
    if gpus is not None:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    if report is not None:
        variables["GAN_LIGHTNING_REPORT"] = str(report)
    if code is not None:
        variables["GAN_LIGHTNING_CODE"] = str(code)
    # The classes of rows are in the package ``benchmarks``, which an installed package hides.
    own = [ROOT] if INSTALLED else []
    if folders := [*own, *([modules] if modules is not None else [])]:
        # Relative entries refer to the folder of this process, not of that one.
        given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        variables["PYTHONPATH"] = os.pathsep.join(
            [*map(str, folders), *map(os.path.abspath, given)]
        )
    inherited = {k: v for k, v in os.environ.items() if not LAUNCHERS.fullmatch(k)}
    inherited.pop(SAFE_PATH, None)
    return inherited | variables


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does, so that all is left in order."""
    previous = signal.signal(signal.SIGTERM, _raise_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _raise_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def read_evaluation(line: str) -> tuple[int, str] | None:
    """The update and the scores of a line that a training printed; None for another line."""
    found = re.match(r"update (\d+): (.*)", line)
    return None if found is None else (int(found[1]), found[2].strip())


def read_report(path: Path) -> Report | None:
    """The report of a training; None if the process was killed."""
    try:
        return Report(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
