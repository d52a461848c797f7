"""What every training run shares: seeded batches, checkpoints, and stopping on a signal.

What a step sees is a function of (seed, step): its batch by `BatchOrder`, its noise by seeding torch with `step_seed`.
A resumed run therefore needs no generator state, and ends in the same bytes as an uninterrupted one.
"""

import hashlib
import io
import logging
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from workflow_scripts.files import atomic_path

logger = logging.getLogger("copycat")


# Numbers that no training step has, for the other uses of a run's seed.
INITIAL_WEIGHTS, SAMPLES = 2**32 - 1, 2**32 - 2


class Interrupted(Exception):
    """Training was asked to stop (SIGTERM) and left a checkpoint."""


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


class StopSignal:
    """Notes a SIGTERM so that the loop can leave a checkpoint before it ends."""

    requested = False

    def __enter__(self) -> "StopSignal":
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _note(self, *_: object) -> None:
        self.requested = True

    def agreed(self, device: torch.device) -> bool:
        """Whether any of the processes that train together was asked to stop: all of them must stop at one step."""
        if not dist.is_initialized():
            return self.requested
        flag = torch.tensor(int(self.requested), device=device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)
