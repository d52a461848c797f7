"""Jobs that compute start as forks of a process that has imported torch, not as Pythons that import it again.

An import of torch takes 1.8 s of a processor, as long as most jobs' own work. Only where Snakemake itself starts the
jobs, on this machine and outside the image, and only jobs of one thread: what a library sets up for more threads when
it is imported does not outlive a fork. Whatever does not fit is started as Snakemake would.
"""

import atexit
import importlib
import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

snakemake_shell: Any = importlib.import_module("snakemake.shell")  # whose name in the package is that of its class
SERVER = Path(__file__).with_name("fork_server.py")
SHELL = ["set", "-euo", "pipefail;"]  # what Snakemake puts before a command


def fork_jobs(workflow: Any, inside: bool) -> None:
    """Have Snakemake fork the jobs of this run that compute, if there are some; `inside`: they run inside the image.

    Private in Snakemake 9.27.1: the plan of a run, and that its module `shell` starts each job by `sp.Popen`, with the
    job's environment, and then measures and waits for that process.
    """
    waiting = [job.rule for job in workflow.dag.needrun_jobs() if job.rule.script and "gpu" in job.rule.resources]
    here = workflow.local_exec and not inside and hasattr(os, "pidfd_open")  # which Linux alone has
    if here and waiting:
        server = ForkServer(frozenset(Path(rule.script).name for rule in waiting))
        atexit.register(server.close)  # so that what jobs took counts as Snakemake's own time
        snakemake_shell.sp = SimpleNamespace(**{**vars(subprocess), "Popen": server.start})


class ForkServer:
    """The process to fork from. scripts: the names of the files whose jobs it serves."""

    def __init__(self, scripts: frozenset[str]) -> None:
        self._scripts = scripts
        self._control, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its_end:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(SERVER), str(its_end.fileno())],  # this folder is not one to import from
                pass_fds=[its_end.fileno()],
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            )

    def start(self, command: Any, *arguments: Any, **options: Any) -> "Fork | subprocess.Popen[Any]":
        """As subprocess.Popen; a job of the scripts is forked."""
        if script := self._script_in(command, options.get("env")):
            try:
                return Fork(self._control, script, options["env"])
            except OSError:  # the server is gone, or cannot fork
                pass
        return subprocess.Popen(command, *arguments, **options)

    def _script_in(self, command: Any, environment: dict[str, str] | None) -> str | None:
        """The script that a job's command runs, if forks may run it."""
        if not isinstance(command, str) or not environment or environment.get("OMP_NUM_THREADS") != "1":
            return None
        *before, python, script = ["", "", *shlex.split(command)]
        name = Path(script).name.partition(".")[2]  # Snakemake's temporary copy is tmp….NAME
        served = before[2:] == SHELL and python == sys.executable and name in self._scripts
        return script if served else None

    def close(self) -> None:
        self._control.close()
        self.process.wait()


class Fork:
    """A job's process, with what Snakemake uses of subprocess.Popen. Raises OSError where it cannot be forked."""

    stdout = None

    def __init__(self, control: socket.socket, script: str, environment: dict[str, str]) -> None:
        self._connection, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its_end:
            job = {"script": script, "folder": os.getcwd(), "environment": environment}
            socket.send_fds(control, [json.dumps(job).encode()], [its_end.fileno()])
        if not (pid := self._connection.recv(32)):
            self._connection.close()
            raise ChildProcessError("no process was forked")
        self.pid = int(pid)

    def wait(self) -> int:
        """Its exit status; as of a killed process where the server is gone."""
        with self._connection:
            return int(self._connection.recv(32) or 137)

    def terminate(self) -> None:
        os.kill(self.pid, 15)

    def kill(self) -> None:
        os.kill(self.pid, 9)
