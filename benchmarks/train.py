"""The command line of ``gan_lightning``, in a process that exits with its parent."""

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
from gan_lightning.utils.files import whole_file

#: The rank of this process; the process with rank 0 starts the others.
RANK = int(os.environ.get("LOCAL_RANK", "0"))


def _exit_with_parent() -> None:
    """Wait for the end of the parent process, however it ends, and exit."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _write_report() -> None:
    """Write what only this process knows: its GPU and its peak memory."""
    path = os.environ.get("GAN_LIGHTNING_REPORT")
    if path is None or RANK:
        return
    if torch.cuda.is_initialized():
        report = {
            "gpu": torch.cuda.get_device_name(),
            "peak_memory_bytes": torch.cuda.max_memory_reserved(),
        }
    else:
        report = {"gpu": "", "peak_memory_bytes": _peak_resident_bytes()}
    with whole_file(Path(path), "w") as file:
        json.dump(report, file)


def _peak_resident_bytes() -> int:
    """The peak of this process alone; ``ru_maxrss`` can include its parent's memory."""
    status = Path("/proc/self/status")
    if status.is_file() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    if not RANK:  # the other ranks exit with this one
        threading.Thread(target=_exit_with_parent, daemon=True).start()
    atexit.register(_write_report)
    main()
