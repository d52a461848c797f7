"""Trainings on a pretended GPU, in a process of its own: what it changes in torch holds to the process's end."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import ROOT, SMOKE
from workflow_scripts.engine.plan import rules

CASES = (
    "generator biggan",
    "generator stylegan2",
    "generator diffusion",
    "graphs biggan",
    "graphs stylegan2",
    "graphs diffusion",
    "classifier weak",
    "classifier stronger",
    "simclr",
)
BUDGETS = ("biggan", "stylegan2", "diffusion", "weak", "stronger")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="the pretended GPU needs a C++ compiler (g++)"),
    pytest.mark.skipif(torch.version.cuda is None, reason="the pretended GPU needs PyTorch's CUDA build"),
]


def results(*names: str) -> list[str]:
    done = subprocess.run([sys.executable, "-m", "tests.cuda.cases", *names], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_trainings_on_a_gpu_run_fresh_and_resumed_and_equal_those_on_a_cpu() -> None:
    assert results(*CASES) == [f"{name} ok" for name in CASES]


def test_every_script_of_a_gpu_rule_does_on_a_gpu_what_it_does_on_a_cpu(smoke_run: Path, tmp_path: Path) -> None:
    """Fresh, and trainings resumed; the rules of shards and of stored views with jobs that the smoke study has not."""
    folder = tmp_path / "study"
    shutil.copytree(smoke_run, folder, ignore=shutil.ignore_patterns(".snakemake"))
    study = yaml.safe_load(SMOKE.read_text())
    study["distillation"]["protocol"], study["replication"]["shards"] = "stored", 2
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(study))
    said: dict[str, str] = {}
    for config in (SMOKE, other):
        command = [sys.executable, "-m", "tests.cuda.scripts", folder, config]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        said |= dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.split()[0] not in said)
    assert {rule: words for rule, words in said.items() if words != "ok"} == {}
    assert {rule.script for rule in rules() if "gpu" in rule.resources} == {
        rule.script for rule in rules() if rule.name in said
    }


def test_a_step_never_waits_for_the_gpu_and_keeps_to_its_budget_of_launches() -> None:
    lines = results(*(f"budget {name}" for name in BUDGETS))
    assert [line.split()[:3] for line in lines] == [["budget", name, "ok"] for name in BUDGETS], lines
