"""Jobs killed at random moments: the documented command goes on, and every artifact is that of an undisturbed run.

`--kills N` kills N times; `make test-faults` does it often, and keeps the tally for docs/reliability.md.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from tests.conftest import ROOT, SMOKE, cluster_command, digests, need_slurm, run_snakemake, snakemake_command
from tests.faults.tally import keep
from workflow_scripts.engine.forks import SERVER

# The rules that docs call long: those that a cluster gives more than the default.
LONG = set(yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())["set-resources"])
ATTEMPTS = 8  # to hit a job before it ends


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[list[dict[str, Any]]]:
    """What was tried; kept for the docs if `--tally` asks for it."""
    rows: list[dict[str, Any]] = []
    yield rows
    if request.config.getoption("--tally") and rows:
        keep(rows)
        assert {row["rule"] for row in rows} == set(jobs_of(request.getfixturevalue("smoke_run")))


@pytest.fixture(scope="module")
def study(smoke_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of the smoke run, and its config with a checkpoint after every step of training."""
    folder = tmp_path_factory.mktemp("killed")
    shutil.copytree(smoke_run, folder, dirs_exist_ok=True)
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(SMOKE.read_text()) | {"training": {"checkpoint_seconds": 0}}))
    return folder, config


def jobs_of(folder: Path) -> dict[str, list[tuple[str, ...]]]:
    """For each long rule of a finished run: the outputs of each of its jobs, relative to the folder."""
    outputs_of: dict[str, dict[str, list[str]]] = {}
    for path in sorted((folder / "results/provenance").rglob("*.json")):
        record = json.loads(path.read_text())
        if record["rule"] in LONG:
            job = json.dumps(record["wildcards"], sort_keys=True)
            artifact = "results" / path.parent.relative_to(folder / "results/provenance") / record["artifact"]
            outputs_of.setdefault(record["rule"], {}).setdefault(job, []).append(str(artifact))
    return {rule: [tuple(outputs) for outputs in jobs.values()] for rule, jobs in sorted(outputs_of.items())}


def seconds_of(folder: Path, rule: str) -> float:
    """The longest run time of a rule's jobs."""
    tables = (folder / "results/benchmarks" / rule).rglob("*.tsv")
    return max(float(table.read_text().splitlines()[1].split("\t")[0]) for table in tables)


def scripts_below(ancestor: int) -> list[int]:
    """The processes under `ancestor` that run scripts: `python .snakemake/scripts/tmp...py`, or forks."""
    processes = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(ancestor).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                command, parent = process.cmdline(), process.parent()
                forked = str(SERVER) in command and parent is not None and parent.cmdline() == command
                if forked or (len(command) == 2 and "/.snakemake/scripts/" in command[1]):
                    processes.append(process.pid)
    return processes


def start(words: list[str], log: Path) -> "subprocess.Popen[str]":
    with open(log, "w") as handle:
        return subprocess.Popen(
            words, cwd=ROOT, start_new_session=True, stdout=handle, stderr=subprocess.STDOUT, text=True
        )


def kill_here(process: "subprocess.Popen[str]", delay: float, how: str) -> bool:
    """Wait for the job's script, let it run for `delay` seconds, kill; False if it had ended before."""
    while not (scripts := scripts_below(process.pid)):
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    time.sleep(delay)
    if process.poll() is not None or not psutil.pid_exists(scripts[0]):
        process.wait()
        return False
    if how == "run":
        os.killpg(process.pid, signal.SIGKILL)
        for pid in scripts:  # it may have left the process group
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    else:
        os.kill(scripts[0], signal.SIGTERM if how == "script, SIGTERM" else signal.SIGKILL)
    return process.wait() != 0


def kill_on_cluster(process: "subprocess.Popen[str]", log: Path, delay: float) -> bool:
    """The same for the job of a cluster, by SIGKILL to all of its processes."""
    while not (job := re.search(r"SLURM jobid (\d+)", log.read_text())) or _state(job[1]) != "RUNNING":
        if process.poll() is not None:
            return False
        time.sleep(0.1)
    time.sleep(delay)
    killed = _state(job[1]) == "RUNNING"
    subprocess.run(["scancel", "--signal=KILL", "--full", job[1]], capture_output=True)
    process.wait()
    return killed


def _state(job: str) -> str:
    done = subprocess.run(["squeue", "--noheader", "--format=%T", f"--jobs={job}"], capture_output=True, text=True)
    return done.stdout.strip()


def try_one(study: tuple[Path, Path], smoke_run: Path, kill: int, how: str) -> dict[str, Any]:
    """Make one job's outputs anew, kill it on the way, go on, and compare. Returns what was tried.

    Kill number 0 meets the first of the long rules, the next one the second, and so on: trainings before the others.
    """
    folder, config = study
    on_cluster = how == "job of the cluster"
    seed = kill + 1000 * on_cluster
    random = np.random.default_rng(seed)
    jobs = jobs_of(smoke_run)
    rule = sorted(jobs, key=lambda rule: (not rule.startswith("train"), rule))[kill % len(jobs)]
    outputs = jobs[rule][random.integers(len(jobs[rule]))]
    log, longest = folder / f"kill-{seed}.log", seconds_of(smoke_run, rule)
    make = cluster_command if on_cluster else snakemake_command
    # What was made anew here is newer than what hangs on it: that would be made anew, too.
    words = make(folder, "--rerun-triggers", "input", "--", *outputs, config=config)
    for attempt in range(ATTEMPTS):
        for name in outputs:
            (folder / name).unlink(missing_ok=True)
        delay = float(random.uniform(0, longest * 0.7**attempt))
        process = start(words, log)
        hit = kill_on_cluster(process, log, delay) if on_cluster else kill_here(process, delay, how)
        if hit:
            break
    assert hit, f"{rule} always ended before it was killed"
    if how == "run":
        assert run_snakemake(folder, "--unlock", config=config).returncode == 0
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert not list((folder / "results").rglob("*.partial*"))
    artifacts, expected = digests(folder), digests(smoke_run)
    lost = [name for name in expected if artifacts.get(name) != expected[name]]
    return {"seed": seed, "rule": rule, "killed": how, "after_s": round(delay, 2), "lost": len(lost)}


HOW = ("script", "run", "script, SIGTERM")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kill" in metafunc.fixturenames:
        metafunc.parametrize("kill", range(metafunc.config.getoption("--kills")))
    if "cluster_kill" in metafunc.fixturenames:
        metafunc.parametrize("cluster_kill", range(max(1, metafunc.config.getoption("--kills") // 6)))


def test_after_a_kill_the_same_command_ends_in_the_same_bytes(
    study: tuple[Path, Path], smoke_run: Path, kill: int, tally: list[dict[str, Any]]
) -> None:
    tally.append(try_one(study, smoke_run, kill, HOW[(kill + kill // len(jobs_of(smoke_run))) % len(HOW)]))
    assert tally[-1]["lost"] == 0


@pytest.mark.cluster
def test_after_a_kill_on_the_cluster_the_same_command_ends_in_the_same_bytes(
    study: tuple[Path, Path], smoke_run: Path, cluster_kill: int, tally: list[dict[str, Any]]
) -> None:
    need_slurm()
    tally.append(try_one(study, smoke_run, cluster_kill, "job of the cluster"))
    assert tally[-1]["lost"] == 0
