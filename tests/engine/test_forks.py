"""Jobs that are forks of a process which has imported torch run as scripts of their own do."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import ROOT
from workflow_scripts.engine.forks import Fork, ForkServer

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux has forks of this kind")
SCRIPT = """
import json, os, sys
seen = {"name": __name__, "file": __file__, "argv": sys.argv, "torch": "torch" in sys.modules, "path": sys.path[0]}
seen |= {"folder": os.getcwd(), "said": os.environ.get("SAID"), "home": os.environ.get("HOME")}
with open("seen.json", "w") as file:
    json.dump(seen, file)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer(frozenset({"compute.py"}))
    yield server
    server.close()


def command(folder: Path, script: str, name: str = "compute.py") -> str:
    """As Snakemake starts a script."""
    path = folder / f"tmp1x_y.{name}"
    path.write_text(script)
    return f"set -euo pipefail;  {sys.executable} {shlex.quote(str(path))}"


def run(server: ForkServer, words: str, **variables: str) -> Any:
    return server.start(
        words, shell=True, executable="/bin/bash", env={**os.environ, "OMP_NUM_THREADS": "1", **variables}
    )


def test_a_fork_is_what_a_script_of_its_own_would_be(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME", raising=False)
    words = command(tmp_path, SCRIPT)
    seen = []
    for threads in ("1", "2"):
        job = run(server, words, SAID="a word", OMP_NUM_THREADS=threads)
        assert isinstance(job, Fork) == (threads == "1")
        assert job.wait() == 0
        seen.append(json.loads((tmp_path / "seen.json").read_text()))
    assert seen[0].pop("torch")
    assert not seen[1].pop("torch")
    assert seen[0] == seen[1]
    assert seen[0]["name"] == "__main__"
    assert seen[0]["said"] == "a word"


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("raise ValueError('wrong')", 1),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 143),
        ("import signal; signal.raise_signal(signal.SIGINT)", 130),
    ],
)
def test_its_exit_status_is_that_which_a_shell_would_give(
    server: ForkServer, tmp_path: Path, script: str, status: int
) -> None:
    assert run(server, command(tmp_path, script)).wait() == status


def test_jobs_run_at_once_and_are_measured_as_processes(server: ForkServer, tmp_path: Path) -> None:
    wait = "import time; end = time.monotonic() + 0.5\nwhile time.monotonic() < end: pass"
    began = time.monotonic()
    jobs = [run(server, command(tmp_path, wait)) for _ in range(4)]
    assert {psutil.Process(job.pid).parent() for job in jobs} == {psutil.Process(server.process.pid)}
    jobs[0].kill()
    assert jobs[0].wait() == 137
    assert [job.wait() for job in jobs[1:]] == [0, 0, 0]
    assert time.monotonic() - began > 0.5


@pytest.mark.parametrize(
    "words",
    [
        "echo hello",
        f"set -euo pipefail;  {sys.executable} /x/tmp1.draw.py",
        f"module purge && set -euo pipefail;  {sys.executable} /x/tmp1.compute.py",
        f"apptainer exec image bash -c 'set -euo pipefail;  {sys.executable} /x/tmp1.compute.py'",
        "set -euo pipefail;  python /x/tmp1.compute.py",
    ],
)
def test_what_is_no_plain_job_of_these_scripts_is_started_as_before(
    server: ForkServer, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **_: a)
    assert run(server, words) == (words,)


def test_without_the_server_jobs_are_started_as_before(tmp_path: Path) -> None:
    server = ForkServer(frozenset({"compute.py"}))
    assert run(server, command(tmp_path, "pass")).wait() == 0
    server.process.kill()
    server.process.wait()
    job = run(server, command(tmp_path, "raise SystemExit(5)"))
    assert isinstance(job, subprocess.Popen)
    assert job.wait() == 5


def test_the_server_ends_with_snakemake_and_its_jobs_go_on(tmp_path: Path) -> None:
    server = ForkServer(frozenset({"compute.py"}))
    done = tmp_path / "done"
    run(server, command(tmp_path, f"import time; time.sleep(0.3); open({str(done)!r}, 'w')"))
    server.process.send_signal(signal.SIGINT)  # Ctrl-C reaches it too
    server.close()
    assert server.process.returncode == 0
    for _ in range(100):
        if done.exists():
            return
        time.sleep(0.1)
    raise AssertionError("the job ended with the server")


def test_snakemake_starts_jobs_that_compute_as_forks(tmp_path: Path) -> None:
    """Fails where a later Snakemake starts its jobs in another way."""
    (tmp_path / "Snakefile").write_text(
        f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from workflow_scripts.engine.forks import fork_jobs
onstart:
    fork_jobs(workflow, False)
rule all:
    default_target: True
    input: expand("{{name}}.json", name=list("abcd"))
rule compute:
    output: "{{name}}.json"
    benchmark: "{{name}}.tsv"
    resources: gpu=0
    threads: lambda wildcards: 2 if wildcards.name == "d" else 1
    script: "compute.py"
"""
    )
    (tmp_path / "compute.py").write_text(
        "import json, sys\n"
        "end = __import__('time').process_time() + 0.3\n"
        "while __import__('time').process_time() < end: pass\n"
        "json.dump('torch' in sys.modules, open(snakemake.output[0], 'w'))\n"
    )
    words = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    forked = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in "abcd"}
    assert forked == {"a": True, "b": True, "c": True, "d": False}
    table = (tmp_path / "a.tsv").read_text().splitlines()
    assert float(dict(zip(*(line.split("\t") for line in table), strict=True))["cpu_time"]) > 0.1
