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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.protocol import ROOT

#: A script, and not a module, so that it can run the code of any commit.
CHILD = Path(__file__).with_name("child.py")
#: Exit codes of a training that a signal has stopped.
STOPPED_CODES = {128 + number for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
#: Environment variables by which launchers number the processes of one training.
LAUNCHERS = re.compile(
    r"(SLURM|TORCHELASTIC|JSM|PMI|OMPI)_.*|(LOCAL_|NODE_|GROUP_)?RANK|(LOCAL_)?WORLD_SIZE"
    r"|MASTER_(ADDR|PORT)|PL_GLOBAL_SEED"
)


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
        code: the folder whose ``gan_lightning`` it runs, and to which relative paths refer.
        report: the path of the report that it writes when it exits; None writes none.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        threads: int,
        gpus: Sequence[str] | None = None,
        code: Path = ROOT,
        report: Path | None = None,
    ) -> None:
        self.command = [sys.executable, str(CHILD), *arguments]
        self.environment = environment(threads, gpus, report)
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
        """Kill the process, or prevent its start."""
        self._stopped = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


def environment(
    threads: int, gpus: Sequence[str] | None = None, report: Path | None = None
) -> Mapping[str, str]:
    """The environment variables of a training."""
    variables = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    if gpus is not None:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    if report is not None:
        variables["GAN_LIGHTNING_REPORT"] = str(report)
    inherited = {k: v for k, v in os.environ.items() if not LAUNCHERS.fullmatch(k)}
    return inherited | variables


def read_report(path: Path) -> Report | None:
    """The report of a training; None if the process was killed."""
    try:
        return Report(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
