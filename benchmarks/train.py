"""The command line of ``gan_lightning``, in a process that ends with the one that started it."""

import atexit
import os
import re
import resource
import signal
import sys
import threading
from pathlib import Path

from gan_lightning.cli import main


def _follow() -> None:
    """Wait for the end of standard input, which comes when the other process ends, and end."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _tell_memory() -> None:
    """Write the most memory that this process had, which its parent's count is mixed into."""
    place, status = os.environ.get("GAN_LIGHTNING_PEAK_MEMORY"), Path("/proc/self/status")
    if place is None or os.environ.get("LOCAL_RANK", "0") != "0":
        return
    if status.is_file() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        peak = int(found[1]) * 1024
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Path(place).write_text(str(peak))


if __name__ == "__main__":
    threading.Thread(target=_follow, daemon=True).start()
    atexit.register(_tell_memory)
    main()
