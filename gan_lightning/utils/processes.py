"""Ranks that end when the process that started them ends."""

import os
import signal
import threading
import time

#: The environment variable that tells ranks which process started them.
PARENT = "GAN_LIGHTNING_PARENT"
#: The signal that no process can ignore.
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has no other


def end_with_parent() -> None:
    """Where another process has started this one as a rank, end when that process ends.

    Otherwise it would wait for that process, for up to half an hour.
    """
    if not int(os.environ.get("LOCAL_RANK") or 0):
        os.environ[PARENT] = str(os.getpid())  # for the ranks that this process starts
        return
    # torchrun starts all ranks, and another process adopts them where it has already ended.
    known = None if "TORCHELASTIC_RUN_ID" in os.environ else os.environ.get(PARENT)
    parent = int(known or os.getppid())
    threading.Thread(target=_end_after, args=[parent], daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), KILL)
