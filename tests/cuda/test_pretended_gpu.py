"""Trainings on a pretended GPU, in a process of its own: what it changes in torch holds to the process's end."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import ROOT, SMOKE

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
    "processes biggan",
    "processes stylegan2",
    "undetermined",
    "checked",
    "bounded",
    "sampled",
    "unwaited",
)
BUDGETS = ("biggan", "biggan conditional", "stylegan2 conditional", "diffusion conditional", "weak", "stronger")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="the pretended GPU needs a C++ compiler (g++)"),
    pytest.mark.skipif(torch.version.cuda is None, reason="the pretended GPU needs PyTorch's CUDA build"),
]


def lines(module: str, *arguments: str | Path) -> list[str]:
    command = [sys.executable, "-m", f"tests.cuda.{module}", *arguments]
    # Such small work is no faster on more threads, and much slower beside other tests.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def cases() -> dict[str, str]:
    """What each case ended in; they share a process, for its imports."""
    names = (*CASES, *(f"budget {name}" for name in BUDGETS))
    said = zip(names, lines("run", *names), strict=True)
    return {name: line.removeprefix(name).strip() for name, line in said}


def test_trainings_on_a_gpu_run_fresh_and_resumed_and_equal_those_on_a_cpu(cases: dict[str, str]) -> None:
    assert {name: cases[name] for name in CASES} == dict.fromkeys(CASES, "ok")


def test_a_step_never_waits_for_the_gpu_and_keeps_to_its_budget_of_launches(cases: dict[str, str]) -> None:
    budgets = {name: cases[f"budget {name}"] for name in BUDGETS}
    assert {name: said for name, said in budgets.items() if not said.startswith("ok ")} == {}


def test_every_script_of_a_gpu_rule_does_on_a_gpu_what_it_does_on_a_cpu(smoke_run: Path, tmp_path: Path) -> None:
    """Trainings are also stopped and resumed. Of two studies, one has stored views, searches in parts and an audit."""
    study = yaml.safe_load(SMOKE.read_text())
    for generator in study["generators"].values():
        generator["overrides"]["steps"] = 3
    whole, parted = tmp_path / "whole.yaml", tmp_path / "parted.yaml"
    whole.write_text(yaml.safe_dump(study))
    study["distillation"]["protocol"] = "stored"
    study["replication"]["shards"] = 2
    denoising = {
        "steps": 3,
        "batch": 4,
        "widths": [4, 8],
        "layers": 1,
        "groups": 2,
        "attention": [],
        "sampling_steps": 2,
    }
    study["generators"]["denoising"] = {"family": "diffusion", "preset": "tiny", "overrides": denoising}
    # Its losses are asked who was in its training set.
    study["samples"] = {"own": {"source": "generator", "generator": "denoising", "size": 24}}
    elsewhere = {"source": "diffusers", "path": str(tmp_path / "pipeline"), "count": 12, "steps": 2}
    study["samples"]["elsewhere"] = elsewhere
    audited = {"fashion-mnist": {"samples": ["own", "elsewhere"]}}
    study["audit"] = {"datasets": audited, "spaces": ["pixel", "simclr"], "planted": 10, "shards": 2}
    parted.write_text(yaml.safe_dump(study))
    said = lines("scripts", smoke_run, whole, parted)
    assert [line for line in said if not line.endswith(" ok")] == []
    assert len(said) >= 25
