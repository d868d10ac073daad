"""Processes that start quickly: forks of one that has already imported the package.

A new Python process spends 4 to 9 seconds on importing torch, Lightning and their dependencies.
``Popen`` is ``subprocess.Popen``, but a command that runs this Python is forked from a server. The
result is an ordinary process: a child of the caller, with its own signals, session, memory,
environment and exit code. The processes that it starts in turn, such as the ranks of a run, are
forked the same way.

This needs Linux, where a process can adopt orphans. Elsewhere, ``Popen`` is the standard one.
"""

import atexit
import contextlib
import ctypes
import importlib
import inspect
import json
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import types
from pathlib import Path

#: Modules that a run imports: the package's own and those that are imported lazily.
PRELOADED = (
    "gan_lightning.cli.program",
    "sklearn.datasets",
    "torch.distributed.elastic.multiprocessing.errors",
    "wandb",
)
#: The process name of a server.
SERVER = "fork-server"
#: Options of ``prctl``.
SET_NAME, SET_CHILD_SUBREAPER = 15, 36
STANDARD = subprocess.Popen


class Popen(STANDARD):
    """``subprocess.Popen``; a plain ``python -m``, ``python -c`` or ``python FILE`` is forked."""

    def _execute_child(self, *args):
        call = inspect.signature(STANDARD._execute_child).bind(self, *args).arguments
        command = call["args"]
        plain = not (call["preexec_fn"] or call["pass_fds"] or call["shell"] or call["executable"])
        if not (plain and is_python(command) and _server.starts()):
            super()._execute_child(*args)
            return
        given = [call[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        self.pid = _server.fork(
            [os.fspath(word) for word in command[1:]],
            [standard if fd == -1 else fd for standard, fd in enumerate(given)],
            cwd=os.fspath(call["cwd"] or os.getcwd()),
            environment=dict(os.environ if call["env"] is None else call["env"]),
            new_session=call["start_new_session"],
        )
        self._child_created = True
        names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(call[name] for name in names))


def is_python(command):
    """Whether a command runs a module, a string or a file with this Python."""
    if isinstance(command, str | bytes) or len(command) < 2 or command[0] != sys.executable:
        return False
    first = os.fspath(command[1])
    return first in ("-m", "-c") or not first.startswith("-")


class Server:
    """The connection to the process that forks for this one."""

    def __init__(self):
        self._connection = None
        self._ready = False
        self._lock = threading.Lock()

    def start(self):
        """Start a server that imports the package while this process continues."""
        if not sys.platform.startswith("linux"):
            return
        with _ends() as (ours, theirs):
            STANDARD(
                [sys.executable, __file__, str(theirs.fileno())],
                cwd=Path(__file__).parents[1],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
            self._adopt(ours, ready=False)

    def fork_off(self):
        """Fork a server from this process, which has imported everything and done nothing yet."""
        with _ends() as (ours, theirs):
            if not os.fork():
                ours.close()
                serve(theirs)
            self._adopt(ours, ready=True)

    def wait(self):
        """Wait until the server has imported the package."""
        if self._connection is not None and not self._ready:
            self._ready = bool(self._connection.recv(1))

    def _adopt(self, connection, ready):
        _prctl(SET_CHILD_SUBREAPER, 1)
        self._connection, self._ready = connection, ready

    def stop(self):
        """End it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def starts(self):
        """Whether there is a server."""
        return self._connection is not None

    def fork(self, arguments, descriptors, **options):
        """Start ``python arguments`` with these standard streams; its number."""
        with self._lock:
            self.wait()
            message = json.dumps({"arguments": arguments, **options}).encode()
            socket.send_fds(self._connection, [message], descriptors)
            return int(self._connection.recv(100))


_server = Server()
start, wait, stop, forks = _server.start, _server.wait, _server.stop, _server.starts


@contextlib.contextmanager
def _ends():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    yield ours, theirs
    theirs.close()


def _prctl(option, value):
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def serve(connection):
    """Fork a process for each request, until the requesting process has ended."""
    _prctl(SET_NAME, ctypes.create_string_buffer(SERVER.encode()))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        if not message:
            os._exit(0)
        read_end, write_end = os.pipe()
        between = os.fork()
        if not between:
            # Its child becomes an orphan, which the requesting process adopts.
            parent = os.getpid()
            if os.fork():
                os._exit(0)
            request = json.loads(message)
            if request.pop("new_session"):
                os.setsid()
            os.write(write_end, str(os.getpid()).encode())
            for fd in (read_end, write_end):
                os.close(fd)
            connection.close()
            while os.getppid() == parent:
                time.sleep(0.001)
            run(descriptors, **request)
        os.waitpid(between, 0)
        connection.send(os.read(read_end, 100))
        for fd in (read_end, write_end, *descriptors):
            os.close(fd)


def run(descriptors, arguments, cwd, environment):
    """Run as ``python arguments``, and exit."""
    for standard, fd in enumerate(descriptors):
        os.dup2(fd, standard)
        os.close(fd)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    _prctl(SET_NAME, ctypes.create_string_buffer(b"python"))
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    given = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = [folder for folder in given if folder and folder not in sys.path]
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _seed_and_number()
    _server.fork_off()
    subprocess.Popen = Popen
    code = 0
    try:
        _execute(arguments)
    except SystemExit as stopped:
        code = stopped.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException as error:
        traceback.print_exc()
        code = 1
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit((code or 0) & 0xFF)


def _seed_and_number():
    """Seed and read the rank again, as in a new process: both were set at import."""
    import numpy as np
    import torch
    from lightning_fabric.utilities.rank_zero import _get_rank, rank_zero_only

    random.seed()
    np.random.seed(None)  # noqa: NPY002
    torch.seed()
    rank_zero_only.rank = _get_rank() or 0


def _execute(arguments):
    kind, *rest = arguments
    if kind == "-m":
        sys.path[0] = os.getcwd()
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.path[0] = ""
        sys.argv = ["-c", *rest[1:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        sys.path[0] = str(Path(kind).resolve().parent)
        sys.argv = arguments
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    # The same module object, whether it is imported or run.
    this = importlib.import_module("processes")
    # Import the package that the tests import, even if another copy is installed.
    sys.path.insert(1, os.getcwd())
    for name in PRELOADED:
        importlib.import_module(name)
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.send(b"1")
    this.serve(connection)
