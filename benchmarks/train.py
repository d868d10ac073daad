"""The command line of ``gan_lightning``, in a process that ends with the one that started it."""

import atexit
import json
import os
import re
import resource
import signal
import sys
import threading
from pathlib import Path

import torch

from gan_lightning.cli.program import main

#: Of the processes of one run, the first one starts the others.
RANK = int(os.environ.get("LOCAL_RANK", "0"))


def _follow() -> None:
    """End when the process that started this one has ended, however that came."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _report() -> None:
    """Write what only this process knows: its GPU, and the most memory that it held."""
    place = os.environ.get("GAN_LIGHTNING_REPORT")
    if place is None or RANK:
        return
    if torch.cuda.is_initialized():
        said = {
            "gpu": torch.cuda.get_device_name(),
            "peak_memory_bytes": torch.cuda.max_memory_reserved(),
        }
    else:
        said = {"gpu": "", "peak_memory_bytes": _peak_resident_bytes()}
    part = Path(f"{place}.part")
    part.write_text(json.dumps(said))
    part.replace(place)


def _peak_resident_bytes() -> int:
    """Of this process alone: the kernel's other count has its parent's memory mixed in."""
    status = Path("/proc/self/status")
    if status.is_file() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    if not RANK:  # which the others follow
        threading.Thread(target=_follow, daemon=True).start()
    atexit.register(_report)
    main()
