"""Optimisers without torch's compiler, and what a training imports."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from workflow_scripts.training.optimisers import eager

ROOT = Path(__file__).parents[2]

WITHOUT_COMPILER = """
import os, sys, tempfile
from pathlib import Path
import torch
from workflow_scripts.classifiers.presets import classifier_settings
from workflow_scripts.classifiers.training import build_classifier, train_classifier
from workflow_scripts.core.devices import prepare_torch
from workflow_scripts.training.checkpoints import Checkpoints

[device] = prepare_torch(1)
assert torch.are_deterministic_algorithms_enabled() and torch.is_deterministic_algorithms_warn_only_enabled()
assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in (":4096:8", ":16:8") and not torch.cuda.is_initialized()
images, labels = torch.zeros(4, 8, 8, 1, dtype=torch.uint8), torch.arange(4)
settings = classifier_settings("tiny", {"steps": 2, "batch": 2, "width": 2})
network = build_classifier(settings, images, 4, 0, images.device)
with tempfile.TemporaryDirectory() as folder:
    train_classifier(network, images, labels, 0, Checkpoints(Path(folder)))
heavy = ["torch._dynamo", "torch._inductor", "torchvision", "pandas", "scipy", "matplotlib"]
print([name for name in heavy if name in sys.modules])
"""


def test_a_training_imports_neither_the_compiler_nor_other_heavy_packages():
    done = subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        (torch.optim.Adam, {"lr": 0.1, "fused": True}),
        (torch.optim.AdamW, {"lr": 0.1}),
    ],
)
def test_an_eager_optimiser_is_torchs(kind, settings):
    states = []
    for optimiser_class in (eager(kind), kind):
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 4)
        optimiser = optimiser_class(layer.parameters(), **settings)
        for _ in range(3):
            optimiser.zero_grad(set_to_none=True)
            layer(torch.ones(2, 4)).square().sum().backward()
            optimiser.step()
            optimiser.load_state_dict(optimiser.state_dict())
        assert all(weight.is_leaf for weight in layer.parameters())
        buffer = io.BytesIO()
        torch.save({"network": layer.state_dict(), "optimiser": optimiser.state_dict()}, buffer)
        states.append(buffer.getvalue())
    assert states[0] == states[1]
