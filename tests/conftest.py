"""Shared fixtures: runs of the real workflow in folders of their own."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SMOKE = ROOT / "config/smoke.yaml"

# What differs between two runs by nature: times, logs, the report's time stamps.
TIMED = re.compile(r"^(logs|benchmarks)/|^report\.html$")
# Which Python made a result: the image may have another patch release of it.
PYTHON_VERSION = re.compile(rb'"python": "3\.11\.\d+"')


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every artifact under a run's `results`, without the recorded patch release of Python."""
    files = (path for path in sorted((folder / "results").rglob("*")) if path.is_file())
    named = ((str(path.relative_to(folder / "results")), path) for path in files)
    return {
        name: hashlib.sha256(PYTHON_VERSION.sub(b"", path.read_bytes())).hexdigest()
        for name, path in named
        if not TIMED.search(name)
    }


def not_here(kind: str, why: str) -> NoReturn:
    """Skip tests that this machine cannot run; where COPYCAT_REQUIRE names their kind, as in .ci/run, they fail."""
    if kind in os.environ.get("COPYCAT_REQUIRE", "").split():
        pytest.fail(why)
    pytest.skip(f"NOT TESTED HERE: {why}")


def snakemake_command(folder: Path, *arguments: str, config: Path = SMOKE) -> list[str]:
    """The command that runs the repository's workflow with `folder` as its working directory."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    return [*command, "--profile", str(ROOT / "profiles/default"), "--cores=2", f"--configfile={config}", *arguments]


def run_snakemake(folder: Path, *arguments: str, config: Path = SMOKE) -> subprocess.CompletedProcess[str]:
    """Run that command; its output is captured as text."""
    command = snakemake_command(folder, *arguments, config=config)
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete run of the smoke study."""
    folder = tmp_path_factory.mktemp("smoke")
    done = run_snakemake(folder)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return folder


def assert_same_artifacts(one: Path, other: Path) -> None:
    """Two runs of the same study have the same artifacts, to the byte."""
    found, expected = digests(one), digests(other)
    assert len(found) > 100
    assert found == expected


def replication_study() -> dict[str, Any]:
    """The smoke study without its data sets and its later studies."""
    study = yaml.safe_load(SMOKE.read_text())
    return {name: study[name] for name in ("generators", "spaces", "replication", "complexity")}
