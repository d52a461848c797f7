"""The one training loop of all classifiers: of the rebalancing arms, of teachers, and of students.

The images stay on the device as uint8, and augmentation is a batched operation there. What a step sees is a function of
(seed, step), so that a resumed run ends in the same bytes as an uninterrupted one. A run has a fixed number of steps:
sets of different sizes are trained alike.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from workflow_scripts.classifiers.augmentation import View, apply_view, draw_view
from workflow_scripts.classifiers.losses import balanced_softmax, class_weights
from workflow_scripts.classifiers.networks import Classifier
from workflow_scripts.classifiers.presets import ClassifierSettings
from workflow_scripts.core.devices import warn_of_emulation
from workflow_scripts.core.errors import InputError, Interrupted
from workflow_scripts.core.progress import progress
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.optimisers import eager
from workflow_scripts.training.order import INITIAL_WEIGHTS, BatchOrder, due, step_seed
from workflow_scripts.training.stopping import StopSignal

logger = logging.getLogger("copycat")

EVALUATIONS = 20  # of the validation images, at even intervals
FINAL = 2  # of these: accuracy is the mean over the last tenth of the training (Guo et al. 2023)
PREDICTED_AT_ONCE = 1024

Remedy = Literal["none", "class-weights", "repetition", "balanced-softmax"]
Target = Callable[[Tensor, Tensor, Tensor, View], Tensor]


@dataclass
class TrainingRecord:
    """What training leaves beside the weights.

    curve: rows (step, mean loss and accuracy on the training views since the row before, validation accuracy; NaN
    without validation images). predictions: int64 (FINAL, V), of the validation images at the last evaluations.
    """

    curve: list[list[float]] = field(default_factory=list)
    predictions: list[Tensor] = field(default_factory=list)


def build_classifier(
    settings: ClassifierSettings, images: Tensor, classes: int, seed: int, device: torch.device
) -> Classifier:
    """A new network for images, uint8 (N, H, W, C), normalised by their mean and standard deviation."""
    torch.manual_seed(step_seed(seed, INITIAL_WEIGHTS))
    classifier = Classifier(settings, images.shape[1], images.shape[3], classes)
    classifier.normalise_by(images)
    return classifier.to(device).to(memory_format=torch.channels_last)


def train_classifier(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    seed: int,
    checkpoints: Checkpoints,
    validation: tuple[Tensor, Tensor] | None = None,
    remedy: Remedy = "none",
    loss: Target | None = None,
    on_step: Callable[[int], None] | None = None,
) -> TrainingRecord:
    """Train for the configured number of steps, from the newest checkpoint if there is one.

    images: uint8 (N, H, W, C), labels: int64 (N,), and validation, a pair of the same; all on the network's device.
    remedy: against a long tail. loss: what takes the place of the cross-entropy, called with logits (B, C), labels
    (B,), the indices (B,) of the images and their view. on_step: called with the number of steps done after each.
    Raises Interrupted (after a checkpoint) on a signal or when time is up, InputError if a loss is no longer finite.
    """
    settings, device = classifier.settings, images.device
    warn_of_emulation(settings.precision, device)
    counts = labels.bincount(minlength=classifier.classes)
    rows = _repeated(labels) if remedy == "repetition" else torch.arange(len(labels), device=device)
    order = BatchOrder(len(rows), settings.batch, seed)
    weights = class_weights(counts) if remedy == "class-weights" else None
    network = torch.compile(classifier) if settings.compile else classifier
    optimiser = eager(torch.optim.SGD)(
        classifier.parameters(), settings.learning_rate, settings.momentum,
        weight_decay=settings.weight_decay, nesterov=settings.nesterov and settings.momentum > 0,
    )  # fmt: skip
    record, first, since = TrainingRecord(), 0, 0
    sums = torch.zeros(2, device=device)
    if (found := checkpoints.load(device)) is not None:
        first, state = found
        classifier.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        record, sums, since = TrainingRecord(**state["record"]), state["sums"], state["since"]
        logger.info("resumed at step %d of %d", first, settings.steps)

    def save(done: int) -> None:
        state = {"network": classifier.state_dict(), "optimiser": optimiser.state_dict()}
        checkpoints.save(done, state | {"record": vars(record), "sums": sums, "since": since})

    with StopSignal(checkpoints.stop_at) as stop, progress(settings.steps, "steps", first, "training") as bar:
        for step in range(first, settings.steps):
            torch.manual_seed(step_seed(seed, step))
            classifier.train()
            chosen = rows[torch.from_numpy(order.indices(step)).to(device)]
            view = draw_view(settings.augmentation, len(chosen), settings.smallest_crop, device)
            batch = apply_view(to_float(images[chosen]), view)
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * rate_at(settings, step)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                logits = network(batch).float()
            if loss is not None:
                value = loss(logits, labels[chosen], chosen, view)
            else:
                given = balanced_softmax(logits, counts) if remedy == "balanced-softmax" else logits
                value = cross_entropy(given, labels[chosen], weights, label_smoothing=settings.label_smoothing)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            optimiser.step()
            sums += torch.stack([value.detach(), (logits.argmax(1) == labels[chosen]).float().mean()])
            since, done = since + 1, step + 1
            if due(done, settings.steps, EVALUATIONS):
                means = (sums / since).tolist()
                if not np.isfinite(means).all():
                    raise InputError(
                        f"training diverged: the loss is no longer a finite number at step {done}. Lower the "
                        "classifier's learning_rate or raise its warm_up (config key `overrides`), then run again."
                    )
                accuracy = math.nan
                if validation is not None:
                    predicted = predict(classifier, validation[0]).argmax(1)
                    accuracy = float((predicted == validation[1].cpu()).double().mean())
                    record.predictions = [*record.predictions, predicted][-FINAL:]
                record.curve.append([done, *means, accuracy])
                sums, since = torch.zeros_like(sums), 0
            stopping = stop.agreed(device) and done < settings.steps
            if stopping or checkpoints.due():
                save(done)
                if stopping:
                    raise Interrupted(stop.message(done))
            bar.advance()
            if on_step is not None:
                on_step(done)
    save(settings.steps)
    classifier.eval()
    return record


def predict(classifier: Classifier, images: np.ndarray | Tensor, view: View | None = None) -> Tensor:
    """Logits float32 (N, classes) on the CPU of images, uint8 (N, H, W, C), as they are or as a view shows them."""
    classifier.eval()
    device = classifier.mean.device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), PREDICTED_AT_ONCE):
            rows = slice(start, start + PREDICTED_AT_ONCE)
            part = images[rows]
            part = torch.from_numpy(np.ascontiguousarray(part)) if isinstance(part, np.ndarray) else part
            batch = to_float(part.to(device))
            if view is not None:
                batch = apply_view(batch, view.at(torch.arange(start, start + len(batch), device=view.affine.device)))
            parts.append(classifier(batch).float().cpu())
    return torch.cat(parts) if parts else torch.empty(0, classifier.classes)


def to_float(images: Tensor) -> Tensor:
    """Uint8 (B, H, W, C) to float (B, C, H, W) in 0..1, in channels-last memory."""
    return images.permute(0, 3, 1, 2).float() / 255


def rate_at(settings: ClassifierSettings, step: int) -> float:
    """Learning rate of a step, as a share of the highest."""
    share = step / settings.steps
    warm = min(1.0, (step + 1) / (settings.warm_up * settings.steps)) if settings.warm_up else 1.0
    if settings.schedule == "steps":
        return warm * 0.1 ** sum(share >= milestone for milestone in settings.milestones)
    return warm * 0.5 * (1 + math.cos(math.pi * share))


def _repeated(labels: Tensor) -> Tensor:
    """Indices in which every class that has images occurs as often as the largest, its images in turn."""
    counts = labels.bincount()
    largest = int(counts.max())
    rows = [torch.nonzero(labels == one)[:, 0] for one in range(len(counts)) if counts[one]]
    turns = torch.arange(largest, device=labels.device)
    return torch.cat([one[turns % len(one)] for one in rows])
