"""The one training loop of all generator families: batches, steps, curves, snapshots, checkpoints, resumption.

What a step sees is a function of (seed, step): its batch by `BatchOrder`, its noise by seeding torch before the step.
A resumed run therefore needs no generator state, and ends in the same bytes as an uninterrupted one.
"""

import hashlib
import io
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from workflow_scripts.files import InputError, atomic_path
from workflow_scripts.generators.model import Batch, GenerativeModel, from_uint8, rank, world_size
from workflow_scripts.job import progress

logger = logging.getLogger("copycat")

CURVE_POINTS = 100  # rows of the training curve
SNAPSHOTS = 8  # sample grids over training
SNAPSHOT_IMAGES = 16


class Interrupted(Exception):
    """Training was asked to stop (SIGTERM) and left a checkpoint."""


@dataclass
class TrainingRecord:
    """What training leaves beside the weights.

    curve: rows (points, 1 + losses): images seen, then the mean of each loss since the row before.
    snapshots: uint8 (S, SNAPSHOT_IMAGES, H, W, C) of the averaged network at `snapshot_images` images seen.
    """

    curve: list[list[float]] = field(default_factory=list)
    snapshots: list[Tensor] = field(default_factory=list)
    snapshot_images: list[int] = field(default_factory=list)


class BatchOrder:
    """Which images batch number i holds: consecutive pieces of an endless row of seeded permutations of the set."""

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self.count, self.batch, self.seed = count, batch, seed

    def indices(self, number: int) -> np.ndarray:
        """Indices (batch,) int64 of batch `number`, whatever was asked before."""
        positions = np.arange(number * self.batch, (number + 1) * self.batch)
        epochs = range(positions[0] // self.count, positions[-1] // self.count + 1)
        row = np.concatenate([np.random.default_rng([self.seed, epoch]).permutation(self.count) for epoch in epochs])
        return row[positions - epochs[0] * self.count]


# Numbers that no training step has, for the other uses of a run's seed.
INITIAL_WEIGHTS, SAMPLES = 2**32 - 1, 2**32 - 2


def step_seed(seed: int, step: int) -> int:
    """A seed for torch, well mixed: neighbouring steps and seeds share nothing."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def due(done: int, total: int, times: int) -> bool:
    """Whether what is to happen `times` times at even intervals, last after all steps, is due after step `done`."""
    return done * times // total > (done - 1) * times // total


class Checkpoints:
    """Checkpoints of one run in a folder of their own, each named by step and digest; the two newest are kept.

    A checkpoint whose bytes do not give the digest in its name is passed over, so a torn file costs only the steps
    since the one before.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"), reverse=True)

    def save(self, step: int, state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getbuffer()
        digest = hashlib.sha256(content).hexdigest()[:16]
        with atomic_path(self.folder / f"step-{step:09d}-{digest}.pt") as temporary:
            temporary.write_bytes(content)
        for old in self._files()[2:]:
            old.unlink()

    def load(self, device: torch.device) -> tuple[int, dict[str, Any]] | None:
        """The newest sound checkpoint as (steps done, state), or None."""
        for path in self._files():
            _, step, digest = path.stem.split("-")
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest()[:16] == digest:
                return int(step), torch.load(io.BytesIO(content), map_location=device, weights_only=True)
            logger.warning("%s is damaged; the checkpoint before it is used instead", path)
        return None

    def remove(self) -> None:
        """Remove the run's checkpoints, when its declared outputs stand."""
        for path in self._files():
            path.unlink()
        if self.folder.exists():
            self.folder.rmdir()


def train(
    model: GenerativeModel,
    images: Tensor,
    labels: Tensor,
    seed: int,
    checkpoints: Checkpoints,
    checkpoint_every_s: float = 60.0,
    on_step: Callable[[int], None] | None = None,
) -> TrainingRecord:
    """Train `model` for its configured number of steps, from the newest checkpoint if there is one.

    images: uint8 (N, H, W, C) and labels: int64 (N,), both on the model's device, where they stay.
    on_step: called with the number of steps done after each; tests use it to interrupt.
    Raises Interrupted on SIGTERM, after a checkpoint, and InputError if a loss is no longer a number.
    """
    settings = model.settings
    order = BatchOrder(len(images), settings.batch, seed)
    mine = slice(rank(), None, world_size())
    record, first = TrainingRecord(), 0
    sums = torch.zeros(len(model.loss_names), device=model.device)
    since = 0
    if (found := checkpoints.load(model.device)) is not None:
        first, state = found
        model.load_state(state["model"])
        record, sums, since = TrainingRecord(**state["record"]), state["sums"], state["since"]
        logger.info("resumed at step %d of %d", first, settings.steps)

    def save(done: int) -> None:
        if rank() == 0:
            state = {"model": model.state(), "record": vars(record), "sums": sums, "since": since}
            checkpoints.save(done, state)

    def batch(number: int) -> Batch:
        chosen = torch.from_numpy(order.indices(number)[mine]).to(model.device)
        return from_uint8(images[chosen]), labels[chosen]

    shown = torch.arange(SNAPSHOT_IMAGES, device=model.device) % max(model.shape.classes, 1)
    saved = time.monotonic()
    with _StopSignal() as stop, progress(settings.steps, "steps", first, "training") as bar:
        for step in range(first, settings.steps):
            torch.manual_seed(step_seed(seed, step))
            many = model.batches_per_step
            sums += model.step([batch(step * many + i) for i in range(many)])
            since += 1
            done = step + 1
            last = done == settings.steps
            if due(done, settings.steps, CURVE_POINTS):
                means = (sums / since).tolist()
                if not np.isfinite(means).all():
                    raise InputError(
                        f"training diverged: a loss is no longer a finite number at step {done}. Lower the learning "
                        "rates or use precision float32 (config key generators.<name>.overrides), then run again."
                    )
                record.curve.append([done * settings.batch, *means])
                sums.zero_()
                since = 0
            if due(done, settings.steps, SNAPSHOTS):
                record.snapshots.append(model.sample(SNAPSHOT_IMAGES, shown, seed).cpu())
                record.snapshot_images.append(done * settings.batch)
            stopping = stop.agreed(model.device)
            if stopping or (not last and time.monotonic() - saved >= checkpoint_every_s):
                save(done)
                saved = time.monotonic()
                if stopping:
                    raise Interrupted(f"stopped at step {done} on SIGTERM; run the same command again to go on")
            bar.advance()
            if on_step is not None:
                on_step(done)
    save(settings.steps)
    return record


class _StopSignal:
    """Notes a SIGTERM so that the loop can leave a checkpoint before it ends."""

    requested = False

    def __enter__(self) -> "_StopSignal":
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _note(self, *_: object) -> None:
        self.requested = True

    def agreed(self, device: torch.device) -> bool:
        """Whether any of the processes that train together was asked to stop: all of them must stop at one step."""
        if world_size() == 1:
            return self.requested
        flag = torch.tensor(int(self.requested), device=device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)
