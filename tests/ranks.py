"""Two processes in one process group, shared by all tests of a session that need two ranks."""

import contextlib
import os
import pickle
import shutil
import sys
import tempfile
import traceback
from multiprocessing.connection import Client, Listener
from pathlib import Path

import torch
from program import Program

SIZE = 2


class Ranks:
    """``ranks(function, *args, **kwargs)``: the result of the function on each rank.

    An error on any rank fails the call. The function must be at the top level of a module, since
    it is pickled by name. Lightning finds an existing process group, as under an external launcher.
    A rank that does not answer ends the pool, and the next call starts a new one.
    """

    def __init__(self):
        self._folder = None
        self._programs, self._connections = [], []

    def __call__(self, function, *args, within=60, **kwargs):
        try:
            if self._folder is None:
                self._start()
            for connection in self._connections:
                connection.send((sys.path, str(Path.cwd()), dict(os.environ)))
                connection.send((function, args, kwargs))
            answers = [self._answer(rank, within) for rank in range(SIZE)]
        except BaseException:
            self.end()
            raise
        errors = [f"rank {rank}: {error}" for rank, (_, error) in enumerate(answers) if error]
        assert not errors, "\n".join(errors)
        return [result for result, _ in answers]

    def _start(self):
        self._folder = Path(tempfile.mkdtemp())
        address = str(self._folder / "socket")
        with Listener(address, "AF_UNIX") as listener:
            self._programs = [
                Program(
                    self._folder,
                    *(__file__, address),
                    LOCAL_RANK=str(rank),
                    WORLD_SIZE=str(SIZE),
                    GLOO_SOCKET_IFNAME="lo",
                )
                for rank in range(SIZE)
            ]
            connections = [listener.accept() for _ in range(SIZE)]
        self._connections = [c for _, c in sorted((c.recv(), c) for c in connections)]

    def _answer(self, rank, within):
        try:
            if self._connections[rank].poll(within):
                return pickle.loads(self._connections[rank].recv_bytes())
        except (EOFError, ConnectionError):
            pass
        reports = [
            pickle.loads(connection.recv_bytes())[1]
            for connection in self._connections[rank + 1 :]
            if connection.poll()
        ]
        reports = [error for error in reports if error]
        reports += [program.said.read_text()[-2000:] for program in self._programs]
        raise AssertionError("\n".join([f"rank {rank} does not answer", *reports]))

    def end(self):
        """Kill the ranks."""
        if self._folder is None:
            return
        for program in self._programs:
            program.kill()
            program.process.wait()
        shutil.rmtree(self._folder)
        self._folder = None


def serve(address):
    """Run as one rank until the test process ends."""
    rank = int(os.environ["LOCAL_RANK"])
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{address}.store", rank=rank, world_size=SIZE
    )
    mine = {name: os.environ[name] for name in ("LOCAL_RANK", "WORLD_SIZE", "GLOO_SOCKET_IFNAME")}
    connection = Client(address, "AF_UNIX")
    connection.send(rank)
    with contextlib.suppress(EOFError):
        while True:
            sys.path, folder, environment = connection.recv()
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment | mine)
            function, args, kwargs = connection.recv()
            try:
                answer = function(*args, **kwargs), None
            except BaseException:
                answer = None, traceback.format_exc()
            # Not ``send``, which would share the memory of tensors between processes.
            connection.send_bytes(pickle.dumps(answer))


if __name__ == "__main__":
    serve(sys.argv[1])
