"""Programs in processes of their own, which can be killed, and what their runs leave."""

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
#: What else a killed run has: the checkpoint that it resumed from, and a file it was writing.
LEFT = re.compile(r"(step=\d+\.ckpt|\.\d+\.part)$")


class Program:
    """``python`` with these arguments in a process of its own, and those that it starts.

    It is forked from a process that has imported the package, or, with ``anew``, a new Python.
    """

    def __init__(self, folder, *arguments, anew=False, **environment):
        forked = processes.forks() and not anew
        self.said = folder / f"said-{time.monotonic_ns()}.txt"
        with self.said.open("w") as said:
            self.process = (processes.Popen if forked else processes.STANDARD)(
                [sys.executable, *map(str, arguments)],
                cwd=folder,
                env=os.environ | environment,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A background job ignores it, and so would its processes.
                preexec_fn=None if forked else hear_interrupts,
            )

    def ended(self, within=150):
        """The exit code, and what was said."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it hangs: {self.said.read_text()[-2000:]}") from None
        return code, self.said.read_text()

    def kill(self, number=signal.SIGKILL):
        """All of its processes at once."""
        if self.left():
            os.killpg(self.process.pid, number)

    def left(self):
        """Those of its processes that are still there."""
        self.process.poll()
        return [each for each in running() if each.group == self.process.pid]

    def ranks(self):
        """Those of its processes that train."""
        return [each for each in self.left() if each.name != processes.SERVER]

    def assert_all_ended(self, within=10):
        """None of its processes is left behind."""
        deadline = time.monotonic() + within
        while left := self.left():
            assert time.monotonic() < deadline, f"{left} are left"
            time.sleep(0.1)

    def until(self, happened, within=100):
        """Wait for something while the program runs."""
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
    """All of them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            name, _, rest = stat.read_text().rpartition(")")
            state, parent, group = rest.split()[:3]
            if state != "Z":
                number = int(stat.parent.name)
                found.append(Running(number, name.partition("(")[2], int(parent), int(group)))
    return found


def hear_interrupts():
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run_of(root):
    """The one run below a folder."""
    (run,) = root.glob("*/version_*")
    return run


def checkpoints(root):
    """The steps that checkpoints below a folder were written at."""
    return sorted(int(path.stem.removeprefix("step=")) for path in root.rglob("step=*.ckpt"))


def rows(run):
    """What a run has logged, but for the clock."""
    with (run / "metrics.csv").open() as file:
        return [{**row, "train_seconds": None} for row in csv.DictReader(file)]


def content(run):
    """All that the last checkpoint of a run holds, but for the clock and for places."""
    kept = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    del kept["callbacks"]
    return kept


def assert_same(run, whole):
    """Two runs ended with the same bits, and have logged and drawn the same."""
    changed = differences(content(run), content(whole))
    assert changed == [], changed
    assert rows(run) == rows(whole)
    drawn = [{p.name: p.read_bytes() for p in r.glob("grids/*.png")} for r in (run, whole)]
    assert drawn[0] == drawn[1]
    names = [{str(path.relative_to(r)) for path in r.rglob("*")} for r in (run, whole)]
    assert {name for name in names[0] - names[1] if not LEFT.search(name)} == set()
    assert names[0] >= names[1]
