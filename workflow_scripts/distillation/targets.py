"""What a student's logits are held against: teachers in the loop, or what they said of stored views."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.classifiers.augmentation import View, apply_view, draw_view
from workflow_scripts.classifiers.losses import distillation_loss
from workflow_scripts.classifiers.networks import Classifier
from workflow_scripts.classifiers.training import Target, predict, to_float
from workflow_scripts.core.progress import progress
from workflow_scripts.training.order import step_seed


def fresh_target(teachers: list[Classifier], images: Tensor, design: dict[str, Any]) -> Target:
    """The published protocol: each teacher looks at a fresh view of its own rung, of the same images.

    images: uint8 (N, H, W, C), the training images. design: the keys alpha, temperature, combination, crops.
    """
    device = images.device

    def loss(logits: Tensor, labels: Tensor, indices: Tensor, view: View) -> Tensor:
        outputs = []
        with torch.no_grad():
            for teacher in teachers:
                settings = teacher.settings
                shown = draw_view(settings.augmentation, len(indices), settings.smallest_crop)
                if design["crops"] == "shared":
                    shown = shown.with_crop_of(view)
                batch = apply_view(to_float(images[indices]), shown)
                with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                    outputs.append(teacher(batch).float())
        return _loss(logits, labels, torch.stack(outputs), design)

    return loss


def stored_target(stored: Tensor, design: dict[str, Any]) -> Target:
    """The same loss with teachers' logits on stored views (M, V, N, C): one at random for each image and teacher."""
    teachers = torch.arange(len(stored), device=stored.device)[:, None]

    def loss(logits: Tensor, labels: Tensor, indices: Tensor, view: View) -> Tensor:
        chosen = torch.randint(stored.shape[1], (len(stored), len(indices)), device=stored.device)
        return _loss(logits, labels, stored[teachers, chosen, indices], design)

    return loss


def views_to_store(teacher: Classifier, count: int, views: int, seed: int) -> Iterator[View]:
    """Views of the teacher's own rung, each of `count` images; the same for the same seed."""
    for number in range(views):
        torch.manual_seed(step_seed(seed, number))
        yield draw_view(teacher.settings.augmentation, count, teacher.settings.smallest_crop)


def look_at_views(teacher: Classifier, images: np.ndarray | Tensor, views: int, seed: int) -> np.ndarray:
    """A teacher's logits float32 (V, N, C) on `views_to_store` of images uint8 (N, H, W, C)."""
    logits = []
    with progress(views, "views", label="looked at") as bar:
        for view in views_to_store(teacher, len(images), views, seed):
            logits.append(predict(teacher, images, view).numpy())
            bar.advance()
    return np.stack(logits)


def _loss(logits: Tensor, labels: Tensor, teachers: Tensor, design: dict[str, Any]) -> Tensor:
    return distillation_loss(logits, labels, teachers, design["alpha"], design["temperature"], design["combination"])
