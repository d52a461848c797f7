"""A training run from its description: on one device, or on several with one process each.

With several devices every process trains on its share of each batch; gradients are averaged and batch statistics
shared, so that the result is that of one device up to rounding. Results pass through the run's checkpoints.
"""

import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from workflow_scripts.core.devices import be_deterministic
from workflow_scripts.core.errors import InputError, Interrupted, is_out_of_gpu_memory
from workflow_scripts.generators.families import build_model
from workflow_scripts.generators.model import GenerativeModel, ImageShape
from workflow_scripts.generators.presets import SNAPSHOT_SAMPLES, Settings
from workflow_scripts.generators.training import TrainingRecord, train
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.order import INITIAL_WEIGHTS, step_seed


@dataclass(frozen=True)
class TrainingRun:
    """All that defines a run. images: uint8 (N, H, W, C); labels: int64 (N,); checkpoints: this run's own;
    snapshot_samples: see `GeneratorTraining`; graphs: see `train`."""

    settings: Settings
    images: np.ndarray
    labels: np.ndarray
    classes: int
    seed: int
    checkpoints: Checkpoints
    snapshot_samples: int = SNAPSHOT_SAMPLES
    graphs: bool = False

    @property
    def shape(self) -> ImageShape:
        return ImageShape(self.images.shape[1], self.images.shape[3], self.classes)


def train_run(run: TrainingRun, devices: list[torch.device]) -> tuple[GenerativeModel, TrainingRecord]:
    """Train on `devices` (all CUDA, or all CPU), or continue from the run's newest checkpoint.

    Raises Interrupted and InputError as `train` does, and InputError if the batch cannot be shared evenly.
    """
    if len(devices) > 1:
        batch, parts = run.settings.batch, run.settings.accumulate
        if batch % (len(devices) * parts):
            raise InputError(
                f"a batch of {batch} in {parts} micro-batches cannot be shared evenly by {len(devices)} devices; "
                "change `batch` or `accumulate` (config key generators.<name>.overrides), or the GPUs (resource `gpu`)"
            )
        _train_in_processes(run, devices)
        # The finished run's checkpoint is taken up below without a further step.
    return _train_on(run, devices[0])


def _train_on(run: TrainingRun, device: torch.device) -> tuple[GenerativeModel, TrainingRecord]:
    torch.manual_seed(step_seed(run.seed, INITIAL_WEIGHTS))
    model = build_model(run.settings, run.shape, device)
    images, labels = torch.from_numpy(run.images).to(device), torch.from_numpy(run.labels).to(device)
    record = train(
        model, images, labels, run.seed, run.checkpoints, snapshot_samples=run.snapshot_samples, graphs=run.graphs
    )
    return model, record


def _train_in_processes(run: TrainingRun, devices: list[torch.device]) -> None:
    meeting_point = Path(tempfile.mkdtemp()) / "processes"  # on this machine: a shared file system may not lock it
    reasons = mp.get_context("spawn").SimpleQueue()
    context = mp.spawn(_process, (run, devices, meeting_point, reasons), nprocs=len(devices), join=False)
    # Every process stops at the same step once one of them has seen the signal.
    before = signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in context.processes])
    try:
        while not context.join():
            pass
    except mp.ProcessRaisedException:
        if reasons.empty():
            raise
        raise reasons.get() from None
    finally:
        signal.signal(signal.SIGTERM, before)
        shutil.rmtree(meeting_point.parent)


def _process(index: int, run: TrainingRun, devices: list[torch.device], meeting_point: Path, reasons: Any) -> None:
    device = devices[index]
    if device.type == "cuda":
        torch.cuda.set_device(device)
    be_deterministic()
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, f"file://{meeting_point.resolve()}", rank=index, world_size=len(devices))
    try:
        _train_on(run, device)
    except Exception as error:
        if isinstance(error, InputError | Interrupted) or is_out_of_gpu_memory(error):
            reasons.put(error)  # the job says what they say, and not that a process has failed
        raise
    finally:
        dist.destroy_process_group()
