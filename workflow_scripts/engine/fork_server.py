"""A process that has imported torch, and forks for each job that computes: `python -P fork_server.py DESCRIPTOR`.

Started by engine/forks.py; the descriptor is its end of a socket. A message is a job's script, folder and environment,
with a connection of its own, on which the pid of the fork and at last its exit status go back. It ends with Snakemake;
jobs go on, as those that a shell has started do.
"""

import contextlib
import ctypes
import gc
import json
import os
import random
import runpy
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

# What each job that computes imports; whatever else a job imports is recorded as its own.
import numpy
import safetensors.torch
import snakemake.iocontainers
import snakemake.logging
import torch

IMPORTED = numpy, safetensors.torch, snakemake.iocontainers, snakemake.logging, torch
SET_NAME = 15  # prctl(PR_SET_NAME)


def serve(control: socket.socket) -> dict[str, Any]:
    """Fork for jobs until Snakemake ends; returns in each fork, with its job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for Snakemake and the jobs
    gc.collect()
    gc.freeze()  # so that no fork writes to what it shares
    with selectors.DefaultSelector() as waiting:
        waiting.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.data is not None:
                    waiting.unregister(key.fd)
                    report_end(key.fd, *key.data)
                    continue
                message, descriptors, *_ = socket.recv_fds(control, 2**20, 1)
                if not message:
                    os._exit(0)
                connection = socket.socket(fileno=descriptors[0])
                if (pid := fork(connection)) == 0:
                    for end in (control, connection, *(key.data[1] for key in waiting.get_map().values() if key.data)):
                        end.close()
                    return json.loads(message)
                if pid:
                    waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))


def fork(connection: socket.socket) -> int | None:
    """As os.fork, and tell Snakemake the pid. None where the machine has no room, which the closed connection says."""
    try:
        pid = os.fork()
    except OSError:
        connection.close()
        return None
    if pid:
        connection.send(str(pid).encode())
    return pid


def report_end(descriptor: int, pid: int, connection: socket.socket) -> None:
    """Send a fork's exit status as a shell would: 128 and its number after a signal."""
    os.close(descriptor)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with connection, contextlib.suppress(OSError):  # Snakemake may be gone
        connection.send(str(status if status >= 0 else 128 - status).encode())


def run(script: str, folder: str, environment: dict[str, str]) -> None:
    """Run a script as `python SCRIPT` does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    random.seed()
    # `top` shows it.
    ctypes.CDLL(None).prctl(SET_NAME, Path(script).name.split(".")[1].encode())
    sys.argv = [script]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    run(**serve(socket.socket(fileno=int(sys.argv[1]))))
