"""A classifier in the training loop: of the rebalancing arms, of teachers, and of students.

The images stay on the device as uint8, and augmentation is a batched operation there. A run has a fixed number of
steps: sets of different sizes are trained alike.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from workflow_scripts.classifiers.augmentation import View, apply_view, draw_view
from workflow_scripts.classifiers.losses import balanced_softmax, class_weights
from workflow_scripts.classifiers.networks import Classifier
from workflow_scripts.classifiers.presets import ClassifierSettings
from workflow_scripts.classifiers.torchvision_networks import Torchvision
from workflow_scripts.core.devices import in_batches, warn_of_emulation
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.loop import Trainee, run_training
from workflow_scripts.training.optimisers import eager
from workflow_scripts.training.order import INITIAL_WEIGHTS, BatchOrder, step_seed

EVALUATIONS = 20  # of the validation images, at even intervals
FINAL = 2  # of these: accuracy is the mean over the last tenth of the training (Guo et al. 2023)
PREDICTED_AT_ONCE = 1024

Remedy = Literal["none", "class-weights", "repetition", "balanced-softmax"]
Target = Callable[[Tensor, Tensor, Tensor, View], Tensor]


@dataclass
class TrainingRecord:
    """What training leaves beside the weights.

    curve: rows (step, mean loss and accuracy on the training views since the row before, validation accuracy; NaN
    without validation images). predictions: int64 (FINAL, V) on the CPU, of the validation images at the last
    evaluations.
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


class ClassifierTraining(Trainee):
    """A classifier as the loop's trainee; arguments as of `train_classifier`."""

    loss_names = ("loss", "training_accuracy")
    curve_points = EVALUATIONS
    remedy = "Lower the classifier's learning_rate or raise its warm_up (config key `overrides`)"

    def __init__(
        self,
        classifier: Classifier,
        images: Tensor,
        labels: Tensor,
        validation: tuple[Tensor, Tensor] | None,
        against_tail: Remedy,
        target: Target | None,
    ) -> None:
        settings = self.settings = classifier.settings
        self.classifier, self.images, self.labels, self.validation = classifier, images, labels, validation
        self.steps, self.device, self.target = settings.steps, images.device, target
        counts = partial(labels.bincount, minlength=classifier.classes)
        self.prior = counts() if against_tail == "balanced-softmax" else None
        self.weights = class_weights(counts()) if against_tail == "class-weights" else None
        repeat = against_tail == "repetition"
        self.rows = _repeated(labels) if repeat else torch.arange(len(labels), device=self.device)
        self.network = torch.compile(classifier) if settings.compile else classifier
        self.optimiser = eager(torch.optim.SGD)(
            classifier.parameters(), settings.learning_rate, settings.momentum,
            weight_decay=settings.weight_decay, nesterov=settings.nesterov and settings.momentum > 0,
        )  # fmt: skip
        # Several of torchvision's have pools without a deterministic gradient on a GPU.
        self.deterministic = not isinstance(classifier.body, Torchvision)
        self.predictions: list[Tensor] = []

    def step(self, number: int, batches: list[Tensor]) -> Tensor:
        settings, chosen = self.settings, self.rows[batches[0]]
        labels = self.labels[chosen]
        self.classifier.train()
        view = draw_view(settings.augmentation, len(chosen), settings.smallest_crop)
        shown = apply_view(to_float(self.images[chosen]), view)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate_at(settings, number)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            logits = self.network(shown).float()
        if self.target is not None:
            loss = self.target(logits, labels, chosen, view)
        else:
            shifted = logits if self.prior is None else balanced_softmax(logits, self.prior)
            loss = cross_entropy(shifted, labels, self.weights, label_smoothing=settings.label_smoothing)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return torch.stack([loss.detach(), (logits.argmax(1) == labels).float().mean()])

    def row(self, done: int, losses: list[float]) -> list[float]:
        accuracy = math.nan
        if self.validation is not None:
            images, labels = self.validation
            predicted = predict(self.classifier, images).argmax(1)
            accuracy = float((predicted == labels.cpu()).double().mean())
            self.predictions = [*self.predictions, predicted][-FINAL:]
        return [done, *losses, accuracy]

    def state(self) -> dict[str, Any]:
        parts = {"network": self.classifier.state_dict(), "optimiser": self.optimiser.state_dict()}
        return {**parts, "predictions": self.predictions}

    def load_state(self, state: dict[str, Any]) -> None:
        self.classifier.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.predictions = state["predictions"]


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
    """Train for the configured number of steps, or continue from the newest checkpoint; see `run_training`.

    images: uint8 (N, H, W, C), labels: int64 (N,), and validation, a pair of the same; all on the network's device.
    remedy: against a long tail. loss: what takes the place of the cross-entropy, called with logits (B, C), labels
    (B,), the indices (B,) of the images and their view.
    """
    warn_of_emulation(classifier.settings.precision, images.device)
    training = ClassifierTraining(classifier, images, labels, validation, remedy, loss)
    order = BatchOrder(len(training.rows), classifier.settings.batch, seed)
    curve = run_training(training, order, checkpoints, images.device, on_step)
    classifier.eval()
    return TrainingRecord(curve, training.predictions)


def predict(classifier: Classifier, images: np.ndarray | Tensor, view: View | None = None) -> Tensor:
    """Logits float32 (N, classes) on the CPU of images, uint8 (N, H, W, C), as they are or as a view shows them."""
    classifier.eval()

    def look(rows: slice) -> Tensor:
        part = images[rows]
        part = torch.from_numpy(np.array(part)) if isinstance(part, np.ndarray) else part
        shown = to_float(part.to(classifier.mean.device))
        if view is not None:
            shown = apply_view(shown, view.at(torch.arange(rows.start, rows.stop)))
        return classifier(shown).float().cpu()

    with torch.inference_mode():
        parts = list(in_batches(look, len(images), PREDICTED_AT_ONCE))
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
    members = [torch.nonzero(labels == label)[:, 0] for label, count in enumerate(counts.tolist()) if count]
    turns = torch.arange(largest, device=labels.device)
    return torch.cat([rows[turns % len(rows)] for rows in members])
