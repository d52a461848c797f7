"""Shared fixtures: runs of the real workflow in folders of their own."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import hypothesis
import pytest
import yaml
from filelock import FileLock

from workflow_scripts.core.files import sha256

# Machines differ, and may be busy; and what a change breaks must not depend on what is drawn.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.load_profile("same")

ROOT = Path(__file__).parent.parent
SMOKE = ROOT / "config/smoke.yaml"

# What differs between two runs by nature: times, logs, records of what was run where, the reports' time stamps.
TIMED = re.compile(r"^(logs|benchmarks|provenance)/|^(workflow_)?report\.html$")


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every artifact under a run's `results`."""
    files = (path for path in sorted((folder / "results").rglob("*")) if path.is_file())
    named = ((str(path.relative_to(folder / "results")), path) for path in files)
    return {name: sha256(path) for name, path in named if not TIMED.search(name)}


def not_here(kind: str, why: str) -> NoReturn:
    """Skip tests that this machine cannot run; where COPYCAT_REQUIRE names their kind, as in .ci/run, they fail."""
    if kind in os.environ.get("COPYCAT_REQUIRE", "").split():
        pytest.fail(why)
    pytest.skip(f"NOT TESTED HERE: {why}")


def snakemake_command(folder: Path, *arguments: str, config: Path = SMOKE) -> list[str]:
    """The command that runs the repository's workflow with `folder` as its working directory."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    return [*command, "--profile", str(ROOT / "profiles/default"), "--cores=2", f"--configfile={config}", *arguments]


# A cluster of two cores without accounts or accounting, asked often.
CLUSTER = (
    "--cores=2", "--slurm-no-account", "--slurm-status-command=squeue", "--latency-wait=20",
    # A job takes some 8 s. A look that finds no finished one puts off the next by 10 s more.
    "--seconds-between-status-checks=9", "--slurm-init-seconds-before-status-checks=9",
)  # fmt: skip


def need_slurm() -> None:
    """Skip the test where no SLURM answers."""
    if not shutil.which("sinfo") or subprocess.run(["sinfo"], capture_output=True, timeout=60).returncode:
        not_here("cluster", "no SLURM answers; .ci/start-slurm starts one on Debian")


def cluster_command(
    folder: Path, *arguments: str, config: Path | None = SMOKE, snakefile: Path = ROOT / "Snakefile"
) -> list[str]:
    """The command that runs a workflow on the cluster by the repository's profile."""
    engine = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--directory", str(folder)]
    configured = [f"--configfile={config}"] if config else []
    return [*engine, "--workflow-profile", str(ROOT / "profiles/slurm"), *CLUSTER, *configured, *arguments]


def run_snakemake(folder: Path, *arguments: str, config: Path = SMOKE) -> subprocess.CompletedProcess[str]:
    """Run that command; its output is captured as text."""
    command = snakemake_command(folder, *arguments, config=config)
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


class Named(dict[str, Any]):
    """Snakemake's named files: by key, as attributes, and in a row."""

    __getattr__ = dict.__getitem__

    def __iter__(self) -> Iterator[Any]:
        return (path for value in self.values() for path in (value if isinstance(value, list) else [value]))

    def __getitem__(self, key: Any) -> Any:
        return list(self)[key] if isinstance(key, int) else super().__getitem__(key)


def run_script(
    name: str,
    files: dict[str, Any],
    output: dict[str, Any],
    params: dict[str, Any],
    config: dict[str, Any] | None = None,
    **wildcards: str,
) -> None:
    """Run a script of the workflow, `stage/verb_noun`, in this process, as Snakemake would."""
    job = SimpleNamespace(
        rule=Path(name).name, log=[], input=Named(files), output=Named(output), params=Named(params),
        wildcards=Named(wildcards), threads=1, resources={}, config=config or {},
    )  # fmt: skip
    runpy.run_path(str(ROOT / f"workflow_scripts/{name}.py"), init_globals={"snakemake": job}, run_name="__main__")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=4, help="how many jobs tests/faults/test_kills.py kills")
    parser.addoption("--tally", action="store_true", help="write what was killed to docs/faults.csv")


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a container, a cluster, a cloud's plugins or a browser is no part of the quick suite."""
    for item in items:
        if {"browser", "chromium"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("browser")
        if any(item.get_closest_marker(kind) for kind in ("container", "cluster", "cloud", "browser")):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete run of the smoke study, which tests read and copy, and leave as it is.

    Processes of pytest that run at once share the run, which the first one makes: the workers of pytest-xdist, whose
    folders lie side by side, and all those for which COPYCAT_TEST_RUNS names one folder.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = Path(os.environ.get("COPYCAT_TEST_RUNS") or shared) / "smoke"
    finished = folder.with_name("smoke-finished")
    with FileLock(folder.with_name("smoke.lock")):
        if not finished.exists():
            folder.mkdir(exist_ok=True)
            done = run_snakemake(folder)
            assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
            finished.touch()
    return folder


def assert_same_artifacts(run: Path, other: Path) -> None:
    """Two runs of the same study have the same artifacts, to the byte."""
    artifacts, expected = digests(run), digests(other)
    assert len(artifacts) > 100
    assert artifacts == expected


def replication_study() -> dict[str, Any]:
    """The smoke study without its data sets and its later studies."""
    study = yaml.safe_load(SMOKE.read_text())
    return {name: study[name] for name in ("generators", "spaces", "replication", "complexity")}
