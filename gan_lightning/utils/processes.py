"""Processes that start others, and end with them."""

import os
import signal
import threading
import time

#: In the environment of ranks, the process that has started them.
PARENT = "GAN_LIGHTNING_PARENT"
#: What no process can refuse.
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has no other


def end_with_parent() -> None:
    """Where another process has started this one as a rank, end when that one has ended.

    It would wait for it: for half an hour where they had not met yet.
    """
    if not int(os.environ.get("LOCAL_RANK") or 0):
        os.environ[PARENT] = str(os.getpid())  # for those that this one is to start
        return
    # torchrun starts all of them, and another takes over from a parent that has ended before.
    known = None if "TORCHELASTIC_RUN_ID" in os.environ else os.environ.get(PARENT)
    parent = int(known or os.getppid())
    threading.Thread(target=_end_after, args=[parent], daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), KILL)
