"""Trainings on a pretended GPU, in a process of its own: what it changes in torch holds to the process's end."""

import shutil
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT

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


def test_a_step_never_waits_for_the_gpu_and_keeps_to_its_budget_of_launches() -> None:
    lines = results(*(f"budget {name}" for name in BUDGETS))
    assert [line.split()[:3] for line in lines] == [["budget", name, "ok"] for name in BUDGETS], lines
