"""The command line of ``gan_lightning``, in a process that ends with the one that started it."""

import os
import signal
import sys
import threading

from gan_lightning.cli import main


def _follow() -> None:
    """Wait for the end of standard input, which comes when the other process ends, and end."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_follow, daemon=True).start()
    main()
