"""Shared fixtures: runs of the real workflow in folders of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SMOKE = ROOT / "config/smoke.yaml"


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
