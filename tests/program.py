"""Programs in separate processes, which can be killed, and the files that their runs write."""

import contextlib
import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import processes
import torch
from helpers import differences

TINY = ("--model.generator_width=8", "--model.critic_width=8", "--model.ema_decay=0.9")
LONG = (
    *("--data=Digits", "--data.batch_size=16", *TINY, "--model.decay_steps=100"),
    *("--trainer.max_steps=60", "--trainer.val_check_interval=10", "--evaluate.num_samples=50"),
    *("--trainer.log_every_n_steps=1", "--evaluate.cache_dir=null"),
)
#: Extra files of a killed run: the checkpoint it resumed from, and a file it was writing.
LEFT = re.compile(r"(step=\d+\.ckpt|\.[0-9a-f]{16}\.part)$")


class Program:
    """``python`` with these arguments in a separate process, with the processes it starts.

    It is forked from a process that has imported the package; with ``anew``, it is a new Python.
    """

    def __init__(self, folder, *arguments, anew=False, **environment):
        forked = processes.forks() and not anew
        # A service of W&B that another test started may end before this program does.
        inherited = {name: x for name, x in os.environ.items() if name != "WANDB_SERVICE"}
        self.said = folder / f"said-{time.monotonic_ns()}.txt"
        with self.said.open("w") as said:
            self.process = (processes.Popen if forked else processes.STANDARD)(
                [sys.executable, *map(str, arguments)],
                cwd=folder,
                env=inherited | environment,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A background job ignores SIGINT, and its child processes would too.
                preexec_fn=None if forked else hear_interrupts,
            )

    def ended(self, within=150):
        """Wait for the program to end; its exit code and output."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it hangs: {self.said.read_text()[-2000:]}") from None
        return code, self.said.read_text()

    def kill(self, number=signal.SIGKILL):
        """Send a signal to all of its processes at once."""
        if self.left():
            os.killpg(self.process.pid, number)

    def left(self):
        """Its processes that are still running."""
        self.process.poll()
        return [each for each in running() if each.group == self.process.pid]

    def ranks(self):
        """Its processes that train."""
        return [each for each in self.left() if each.name != processes.SERVER]

    def assert_all_ended(self, within=10):
        """Check that no process is left behind."""
        deadline = time.monotonic() + within
        while left := self.left():
            assert time.monotonic() < deadline, f"{left} are left"
            time.sleep(0.1)

    def until(self, happened, within=100):
        """Wait for a condition while the program runs."""
        deadline = time.monotonic() + within
        while not happened():
            assert self.process.poll() is None, self.said.read_text()[-2000:]
            assert time.monotonic() < deadline, "it takes too long"
            time.sleep(0.01)


class Running(NamedTuple):
    """A process that has not ended."""

    number: int
    name: str
    parent: int
    group: int


def running():
    """All running processes."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended in the meantime
            name, _, rest = stat.read_text().rpartition(")")
            state, parent, group = rest.split()[:3]
            if state != "Z":
                number = int(stat.parent.name)
                found.append(Running(number, name.partition("(")[2], int(parent), int(group)))
    return found


def hear_interrupts():
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run_of(root):
    """The only run below a folder."""
    (run,) = root.glob("*/version_*")
    return run


def checkpoints(root):
    """The steps of the checkpoints below a folder."""
    return sorted(int(path.stem.removeprefix("step=")) for path in root.rglob("step=*.ckpt"))


def rows(run):
    """The rows that a run has logged, except for the time."""
    with (run / "metrics.csv").open() as file:
        return [{**row, "train_seconds": None} for row in csv.DictReader(file)]


def content(run):
    """The last checkpoint of a run, without the callbacks, which hold times and paths."""
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    del checkpoint["callbacks"]
    return checkpoint


def assert_same(run, whole):
    """Check that two runs ended with the same bits, the same logs and the same sample grids."""
    changed = differences(content(run), content(whole))
    assert changed == [], changed
    assert rows(run) == rows(whole)
    drawn = [{p.name: p.read_bytes() for p in r.glob("grids/*.png")} for r in (run, whole)]
    assert drawn[0] == drawn[1]
    names = [{str(path.relative_to(r)) for path in r.rglob("*")} for r in (run, whole)]
    assert {name for name in names[0] - names[1] if not LEFT.search(name)} == set()
    assert names[0] >= names[1]
