"""What every training run shares: seeded batches, checkpoints, and stopping on a signal or when time runs out.

What a step sees is a function of (seed, step): its batch by `BatchOrder`, its noise by seeding torch with `step_seed`.
A resumed run therefore needs no generator state, and ends in the same bytes as an uninterrupted one.
"""

import hashlib
import inspect
import io
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from workflow_scripts.files import InputError, atomic_path

logger = logging.getLogger("copycat")

_STARTED = time.time()  # as good as the process's start

# Numbers that no training step has, for the other uses of a run's seed.
INITIAL_WEIGHTS, SAMPLES = 2**32 - 1, 2**32 - 2


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


Optimiser = TypeVar("Optimiser", bound=torch.optim.Optimizer)


def eager(optimiser: type[Optimiser]) -> type[Optimiser]:
    """The optimiser without what keeps torch's compiler out of it: that imports the compiler, a second in every job.

    Networks that are compiled have it, too: their optimisers are not.
    """
    guarded = ("step", "zero_grad", "add_param_group", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(optimiser, name)) for name in guarded}
    return type(optimiser.__name__, (optimiser,), methods | {"step": torch.no_grad()(methods["step"])})


class Checkpoints:
    """Checkpoints of one run in a folder of their own, each named by step and digest; the two newest are kept.

    A checkpoint whose bytes do not give the digest in its name is passed over, so a torn file costs only the steps
    since the one before. every_s: seconds between checkpoints. stop_at: when training is to stop after one, in seconds
    since the epoch; None: never.
    """

    def __init__(self, folder: Path, every_s: float = 60.0, stop_at: float | None = None) -> None:
        self.folder, self.every_s, self.stop_at = folder, every_s, stop_at
        self._saved = time.monotonic()

    @classmethod
    def of_job(cls, job: Any, run_id: str) -> "Checkpoints":
        """Those of a Snakemake job, by its parameter `checkpoints` and the config's section `training`."""
        settings = job.config["training"]
        limits = [_STARTED + 60 * settings["limit_minutes"]] if settings["limit_minutes"] else []
        if os.environ.get("SLURM_JOB_END_TIME", "").isdigit():
            limits.append(float(os.environ["SLURM_JOB_END_TIME"]))
        # Time for a step, a checkpoint, and the end of the process.
        stop_at = min(end - min(120.0, 0.1 * (end - _STARTED)) for end in limits) if limits else None
        return cls(Path(job.params.checkpoints) / run_id, settings["checkpoint_seconds"], stop_at)

    def due(self) -> bool:
        return time.monotonic() - self._saved >= self.every_s

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"), reverse=True)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Save the state after a step. Raises InputError, and keeps what there is, if it holds a number not finite."""
        if not _all_finite(state):
            raise InputError(
                f"training diverged: at step {step} a weight is no longer a finite number. Lower the learning rate (in "
                "the `overrides` of the config), then run again; the last good checkpoint is kept."
            )
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getbuffer()
        digest = hashlib.sha256(content).hexdigest()[:16]
        with atomic_path(self.folder / f"step-{step:09d}-{digest}.pt") as temporary:
            temporary.write_bytes(content)
        for old in self._files()[2:]:
            old.unlink()
        self._saved = time.monotonic()

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


def _all_finite(state: Any) -> bool:
    """Whether every floating-point tensor in a nest of dictionaries and lists holds finite numbers alone."""
    if isinstance(state, torch.Tensor):
        return not state.is_floating_point() or bool(torch.isfinite(state).all())
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return all(_all_finite(part) for part in parts)


class StopSignal:
    """Notes SIGTERM, SIGINT (Ctrl-C) or that the time is up, so that the loop can leave a checkpoint before it ends.

    stop_at: when the time is up, in seconds since the epoch; None: never.
    """

    requested = False

    def __init__(self, stop_at: float | None = None) -> None:
        self.stop_at = stop_at

    def __enter__(self) -> "StopSignal":
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self.requested = True

    def agreed(self, device: torch.device) -> bool:
        """Whether any of the processes that train together was asked to stop: all of them must stop at one step."""
        wanted = self.requested or self._time_is_up()
        if not dist.is_initialized():
            return wanted
        flag = torch.tensor(int(wanted), device=device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def _time_is_up(self) -> bool:
        return self.stop_at is not None and time.time() >= self.stop_at

    def message(self, step: int) -> str:
        why = "as its time was up" if not self.requested and self._time_is_up() else "when it was asked to"
        return f"stopped at step {step} {why}, after a checkpoint; run the same snakemake command again to go on"
