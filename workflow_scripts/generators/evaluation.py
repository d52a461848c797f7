"""How far a generator's samples are from its training set, while it trains."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from workflow_scripts.generators.model import GenerativeModel, from_uint8
from workflow_scripts.metrics.quality import frechet_distance

EVALUATED = 1024  # samples, and at most ten times as many training images, of which a Fréchet distance is taken
EVALUATED_AT = 32  # px: larger images are averaged down


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
    real, drawn = (_thumbnails(part, min(EVALUATED_AT, images.shape[1])) for part in (images[::every], samples))
    return frechet_distance(real, drawn, model.device)


def _thumbnails(images: Tensor, size: int) -> np.ndarray:
    """Float32 (N, size * size * C) of images uint8 (N, H, W, C); few at a time are numbers of four bytes."""
    parts = [adaptive_avg_pool2d(from_uint8(part), size).flatten(1).cpu() for part in images.split(EVALUATED)]
    return torch.cat(parts).numpy()
