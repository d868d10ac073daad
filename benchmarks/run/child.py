"""Run ``gan-lightning`` in a process that ends with its parent.

The code is that of the folder ``GAN_LIGHTNING_CODE`` or, without it, of the installed package. A
script that imports nothing of this repository, so that it can run the code of any commit.
"""

import atexit
import json
import os
import re
import resource
import runpy
import signal
import sys
import threading
from pathlib import Path


def _end_with_parent() -> None:
    """Wait for the end of the parent process, however it ends, and exit."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _write_report(path: Path) -> None:
    """Write what only this process knows: its GPU and its peak memory."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gpu, peak = torch.cuda.get_device_name(), torch.cuda.max_memory_reserved()
    else:
        gpu, peak = "", _peak_resident_bytes()
    path.write_text(json.dumps({"gpu": gpu, "peak_memory_bytes": peak}))


def _peak_resident_bytes() -> int:
    """The peak of this process alone; ``ru_maxrss`` can include its parent's memory."""
    status = Path("/proc/self/status")
    if status.is_file() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    # The folder of this script hides no module of the same name, and as with ``python -m``, that of
    # the code comes first. Other ranks are started as ``python -m gan_lightning``.
    code = os.environ.pop("GAN_LIGHTNING_CODE", None)
    sys.path[:1] = [] if code is None else [code]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if report := os.environ.pop("GAN_LIGHTNING_REPORT", None):
        atexit.register(_write_report, Path(report))
    runpy.run_module("gan_lightning", run_name="__main__", alter_sys=True)
