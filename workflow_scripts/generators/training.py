"""The one training loop of all generator families: batches, steps, curves, snapshots, checkpoints, resumption."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from workflow_scripts.core.devices import warn_of_emulation
from workflow_scripts.core.errors import InputError, Interrupted
from workflow_scripts.core.progress import progress
from workflow_scripts.generators.model import Batch, GenerativeModel, from_uint8, rank, world_size
from workflow_scripts.metrics.quality import frechet_distance
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.order import BatchOrder, due, step_seed
from workflow_scripts.training.stopping import StopSignal

logger = logging.getLogger("copycat")

CURVE_POINTS = 100  # rows of the training curve
SNAPSHOTS = 8  # sample grids over training
SNAPSHOT_IMAGES = 16
EVALUATED = 1024  # samples, and at most ten times as many training images, of which a Fréchet distance is taken
EVALUATED_AT = 32  # px: larger images are averaged down


@dataclass
class TrainingRecord:
    """What training leaves beside the weights.

    curve: rows (points, 1 + losses): images seen, then the mean of each loss since the row before.
    snapshots: uint8 (S, SNAPSHOT_IMAGES, H, W, C) of the averaged network at `snapshot_images` images seen.
    evaluations: rows (images seen, Fréchet distance to the training set), if the best weights are kept; best: those.
    """

    curve: list[list[float]] = field(default_factory=list)
    snapshots: list[Tensor] = field(default_factory=list)
    snapshot_images: list[int] = field(default_factory=list)
    evaluations: list[list[float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def images_at_best(self) -> int | None:
        """Images seen when the kept weights were the current ones; None if the last are kept."""
        return int(min(self.evaluations, key=lambda row: row[1])[0]) if self.evaluations else None


def train(
    model: GenerativeModel,
    images: Tensor,
    labels: Tensor,
    seed: int,
    checkpoints: Checkpoints,
    on_step: Callable[[int], None] | None = None,
) -> TrainingRecord:
    """Train `model` for its configured number of steps, from the newest checkpoint if there is one.

    images: uint8 (N, H, W, C) and labels: int64 (N,), both on the model's device, where they stay.
    on_step: called with the number of steps done after each; tests use it to interrupt.
    Raises Interrupted (after a checkpoint) on a signal or when time is up, InputError if a loss is no longer finite.
    """
    settings = model.settings
    warn_of_emulation(settings.precision, model.device)
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
    with StopSignal(checkpoints.stop_at) as stop, progress(settings.steps, "steps", first, "training") as bar:
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
            if settings.keep == "best" and due(done, settings.steps, settings.evaluations):
                distance = distance_to_training_set(images, labels, model, seed)
                if not record.best or distance < min(row[1] for row in record.evaluations):
                    record.best = {name: value.clone() for name, value in model.networks["ema"].state_dict().items()}
                record.evaluations.append([done * settings.batch, distance])
            stopping = stop.agreed(model.device)
            if stopping or (not last and checkpoints.due()):
                save(done)
                if stopping:
                    raise Interrupted(stop.message(done))
            bar.advance()
            if on_step is not None:
                on_step(done)
    save(settings.steps)
    if record.best:
        model.networks["ema"].load_state_dict(record.best)
    return record


def labels_as_in(labels: Tensor, count: int) -> Tensor:
    """Labels (count,), each class as often as among `labels` (N,), to the nearest image, in order of class.

    Samples with these labels differ from the set in content, not in mixture.
    """
    places = (2 * torch.arange(count, device=labels.device) + 1) * len(labels) // (2 * count)
    return labels.sort().values[places]


def distance_to_training_set(images: Tensor, labels: Tensor, model: GenerativeModel, seed: int) -> float:
    """Fréchet distance in pixels between the training images and samples of the averaged network."""
    every = max(1, len(images) // (10 * EVALUATED))
    samples = model.sample(EVALUATED, labels_as_in(labels, EVALUATED) if model.shape.classes else None, seed)
    size = min(EVALUATED_AT, images.shape[1])
    real, drawn = (
        adaptive_avg_pool2d(from_uint8(part), size).flatten(1).cpu().numpy() for part in (images[::every], samples)
    )
    return frechet_distance(real, drawn, model.device)
