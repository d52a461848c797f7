"""Checkpoints of a training run: written whole, named by their digest, and removed when the run's outputs stand."""

import hashlib
import io
import logging
import os
import time
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.core.files import atomic_path, fingerprint

logger = logging.getLogger("copycat")

FORMAT = 2  # of what the loop saves; checkpoints of another format are not taken up
_STARTED = time.time()  # as good as the process's start


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
    def of_job(cls, job: Any, device: torch.device, **definition: Any) -> "Checkpoints":
        """Those of a Snakemake job, by its parameter `checkpoints` and the config's section `training`.

        definition: all that defines the run, JSON-able: a checkpoint is taken up only by the run that left it.
        """
        run_id = fingerprint({**definition, "format": FORMAT, "torch": torch.__version__, "device": device.type})
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
        """Save the state after a step. Its tensors are to be on the CPU (`on_cpu`): any machine can read it then."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getbuffer()
        digest = hashlib.sha256(content).hexdigest()[:16]
        with atomic_path(self.folder / f"step-{step:09d}-{digest}.pt") as temporary:
            temporary.write_bytes(content)
        for old in self._files()[2:]:
            old.unlink()
        self._saved = time.monotonic()

    def load(self) -> tuple[int, dict[str, Any]] | None:
        """The newest sound checkpoint as (steps done, state), or None. Tensors are on the CPU."""
        for path in self._files():
            _, step, digest = path.stem.split("-")
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest()[:16] == digest:
                return int(step), torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            logger.warning("%s is damaged; the checkpoint before it is used instead", path)
        return None

    def remove(self) -> None:
        """Remove the run's checkpoints, when its declared outputs stand."""
        for path in self._files():
            path.unlink()
        if self.folder.exists():
            self.folder.rmdir()


def all_finite(state: Any) -> bool:
    """Whether every floating-point tensor in a nest of dictionaries and lists holds finite numbers alone."""
    if isinstance(state, torch.Tensor):
        return not state.is_floating_point() or bool(torch.isfinite(state).all())
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return all(all_finite(part) for part in parts)


def on_cpu(state: Any) -> Any:
    """A nest of dictionaries and lists with its tensors on the CPU; those that are there already are not copied."""
    if isinstance(state, torch.Tensor):
        return state.cpu()
    if isinstance(state, dict):
        return {key: on_cpu(part) for key, part in state.items()}
    return type(state)(map(on_cpu, state)) if isinstance(state, list | tuple) else state
