"""How good and how varied the samples are, and how many of them are distinct: not copying is no merit of noise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from workflow_scripts.core.files import read_npy
from workflow_scripts.metrics.neighbours import nearest_neighbours
from workflow_scripts.metrics.quality import compare, compare_halves

MOST = {True: 1000, False: 5000}  # rows of each set that are compared, of pixels and of features
MOST_DISTINCT = 2000  # samples that are compared with each other
LINKS = 10  # nearest samples that each is compared with


def evenly(paths: Sequence[str], most: int) -> np.ndarray:
    """At most `most` rows of several arrays taken as one, at even places."""
    parts = [rows for path in paths if len(rows := read_npy(path))]
    starts = np.cumsum([0, *map(len, parts)])
    places = np.unique(np.linspace(0, starts[-1] - 1, min(most, starts[-1])).astype(int))
    chosen = []
    for start, rows in zip(starts[:-1], parts, strict=True):
        chosen.append(rows[places[(places >= start) & (places < start + len(rows))] - start])
    return np.concatenate(chosen)


def distinct_share(samples: np.ndarray, limit: float, device: torch.device) -> float:
    """The share of samples (m, ...) that are left when those within `limit` of each other count as one."""
    rows = samples[np.unique(np.linspace(0, len(samples) - 1, min(MOST_DISTINCT, len(samples))).astype(int))]
    count = len(rows)
    if count < 2:
        return 1.0
    near = nearest_neighbours(rows, rows, min(LINKS, count - 1), device=device, exclude_self=True)
    query, rank = np.nonzero(near.distances <= limit)
    links = coo_array((np.ones(len(query)), (query, near.indices[query, rank])), shape=(count, count))
    return float(connected_components(links, directed=False)[0]) / count


def quality(
    samples: np.ndarray, held_out: np.ndarray, training: np.ndarray, device: torch.device
) -> dict[str, dict[str, Any]]:
    """All measures of quality against held-out images (or training images, where there are none), and the control."""
    if len(held_out):
        return {"samples": compare(held_out, samples, device), "control": compare_halves(held_out, device)}
    return {"samples": compare(training, samples, device), "control": compare_halves(training, device)}
