"""Distances that copies of a part cannot hide from: the nearest half of another image.

Generators repeat parts of training images, such as a background with another object in front (Somepalli et al. 2023).
Each half of an image, left, right, upper or lower, is compared with the same half of all others, in luma alone and with
brightness and contrast normalised, so neither another half nor other colours change the distance.
"""

import numpy as np
import torch

from workflow_scripts.audit.alignment import FLATTEST
from workflow_scripts.audit.planting import LUMA
from workflow_scripts.data.resolution import shrink
from workflow_scripts.metrics.neighbours import Neighbours, nearest_neighbours

SIDE = 16  # px at which halves are compared
FARTHEST = 2.0  # of a query that shows nothing in any half: the largest distance of normalised halves


def nearest_halves(queries: np.ndarray, references: np.ndarray, device: torch.device) -> Neighbours:
    """The nearest reference by the best half of each query; images uint8 (m, H, W, C) and (n, H, W, C)."""
    best = Neighbours(np.full((len(queries), 1), FARTHEST), np.zeros((len(queries), 1), dtype=np.int64))
    for (query, shown), (reference, _) in zip(_halves(queries), _halves(references), strict=True):
        near = nearest_neighbours(query[shown], reference, 1, device=device)
        nearer = near.distances[:, 0] < best.distances[shown, 0]
        rows = np.flatnonzero(shown)[nearer]
        best.distances[rows], best.indices[rows] = near.distances[nearer], near.indices[nearer]
    return best


def _halves(images: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each half the values of all images, float32 (n, d), with mean 0 and standard deviation 1, and who shows any.

    Those that show nothing keep their small values, and so are about 1 away from all others.
    """
    small = shrink(images, SIDE)
    luma = (small @ LUMA[0].numpy() if small.shape[-1] == 3 else small[..., 0].astype(np.float32)) / 255
    middle = luma.shape[1] // 2
    halves = []
    for part in (luma[:, :middle], luma[:, middle:], luma[:, :, :middle], luma[:, :, middle:]):
        values = part.reshape(len(part), -1)
        values = values - values.mean(axis=1, keepdims=True)
        spread = values.std(axis=1, keepdims=True)
        halves.append((values / np.maximum(spread, FLATTEST), spread[:, 0] >= FLATTEST))
    return halves
