"""The one training loop: of generators, of classifiers and of the SimCLR encoder.

What a step sees is a function of (seed, step): its images by `BatchOrder`, its random numbers by torch's default
generator, which is seeded before every step. A resumed run therefore ends in the same bytes as an uninterrupted one.
"""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from workflow_scripts.core.devices import training_kernels
from workflow_scripts.core.errors import InputError, Interrupted
from workflow_scripts.core.progress import progress
from workflow_scripts.training.checkpoints import Checkpoints, all_finite, on_cpu
from workflow_scripts.training.order import BatchOrder, step_seed
from workflow_scripts.training.processes import in_any_process, rank, world_size
from workflow_scripts.training.stopping import StopSignal

logger = logging.getLogger("copycat")

Evaluation = tuple[int, Callable[[int], None]]  # how often, at even intervals; called with the number of steps done


class Trainee(ABC):
    """What the loop trains."""

    steps: int  # updates
    batches_per_step: int = 1  # batches that an update sees
    loss_names: Sequence[str]
    curve_points: int  # rows of the curve, at even intervals, the last after the last step
    evaluations: Sequence[Evaluation] = ()
    deterministic: bool = True  # every operation has a deterministic kernel on a GPU, too
    remedy: str  # what to change if training diverges, with the config key

    @abstractmethod
    def step(self, number: int, batches: list[Tensor]) -> Tensor:
        """Make update `number` from batches, each the indices (B,) int64 of its images; give the losses, detached."""

    @abstractmethod
    def row(self, done: int, losses: list[float]) -> list[float]:
        """A row of the curve after `done` steps. losses: their means since the row before."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that the next step and the results depend on."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave; its tensors are on the CPU."""


def run_training(
    trainee: Trainee,
    order: BatchOrder,
    checkpoints: Checkpoints,
    device: torch.device,
    on_step: Callable[[int], None] | None = None,
) -> list[list[float]]:
    """Train to the last step, from the newest checkpoint if there is one; give the rows of the training curve.

    order: gives the batches and, with the step, the seed of random numbers. on_step: called with the number of steps
    done after each; tests use it to interrupt. Raises Interrupted (after a checkpoint) on a signal or when time is
    up, InputError if a loss or a weight is no longer finite.
    """
    curve: list[list[float]] = []
    sums = torch.zeros(len(trainee.loss_names), device=device)
    first = since = 0
    if (checkpoint := checkpoints.load()) is not None:
        first, state = checkpoint
        trainee.load_state(state["trainee"])
        curve, since = state["curve"], state["since"]
        sums.copy_(state["sums"])
        logger.info("resumed at step %d of %d", first, trainee.steps)

    def stop_if_diverged(finite: bool, done: int, what: str) -> None:
        if in_any_process([not finite], device)[0]:
            raise InputError(
                f"training diverged: at step {done} {what} is no longer a finite number. {trainee.remedy}, then run "
                "again; the last good checkpoint is kept."
            )

    def save(done: int) -> None:
        state = on_cpu({"trainee": trainee.state(), "curve": curve, "sums": sums, "since": since})
        stop_if_diverged(all_finite(state), done, "a weight")
        if rank() == 0:
            checkpoints.save(done, state)

    mine = slice(rank(), None, world_size())
    with (
        training_kernels(trainee.deterministic),
        StopSignal(checkpoints.stop_at) as stop,
        progress(trainee.steps, "steps", first, "training") as bar,
    ):
        for step in range(first, trainee.steps):
            torch.manual_seed(step_seed(order.seed, step))
            numbers = range(step * trainee.batches_per_step, (step + 1) * trainee.batches_per_step)
            sums += trainee.step(step, [order.on_device(number, device)[mine] for number in numbers])
            since, done = since + 1, step + 1
            if due(done, trainee.steps, trainee.curve_points):
                losses = (sums / since).tolist()
                stop_if_diverged(all(map(math.isfinite, losses)), done, "a loss")
                curve.append(trainee.row(done, losses))
                sums.zero_()
                since = 0
            for times, evaluate in trainee.evaluations:
                if due(done, trainee.steps, times):
                    evaluate(done)
            stopping, saving = in_any_process([stop.requested, checkpoints.due()], device)
            last = done == trainee.steps
            if stopping or saving or last:
                save(done)
            if stopping and not last:
                raise Interrupted(stop.message(done))
            bar.advance()
            if on_step is not None:
                on_step(done)
    return curve


def due(done: int, total: int, times: int) -> bool:
    """Whether what is to happen `times` times at even intervals, last after all steps, is due after step `done`."""
    return done * times // total > (done - 1) * times // total
