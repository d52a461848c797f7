"""How good and how varied the samples are, and how many of them are distinct: not copying is no merit of noise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from workflow_scripts.core.files import read_npy
from workflow_scripts.metrics.neighbours import nearest_neighbours
from workflow_scripts.metrics.quality import compare, compare_halves, frechet_distance, vectors

MOST = {True: 1000, False: 5000}  # rows of each set that are compared, of pixels and of features
MOST_DISTINCT = 2000  # samples that are compared with each other
SWAPPED = 0.5  # times the training images' Fréchet distance
LINKS = 10  # nearest samples that each is compared with


def evenly(paths: Sequence[str], most: int, kept: np.ndarray | None = None) -> np.ndarray:
    """At most `most` rows at even places of several arrays taken as one, or of the `kept` of all rows, bool (n,)."""
    parts = [rows for path in paths if len(rows := read_npy(path))]
    starts = np.cumsum([0, *map(len, parts)])
    chosen = spread(np.arange(starts[-1]) if kept is None else np.flatnonzero(kept), most)
    pieces = []
    for start, rows in zip(starts[:-1], parts, strict=True):
        pieces.append(rows[chosen[(chosen >= start) & (chosen < start + len(rows))] - start])
    return np.concatenate(pieces)


def spread(numbers: np.ndarray, most: int) -> np.ndarray:
    """All numbers (n,), or `most` of them at even places."""
    return numbers[np.unique(np.linspace(0, len(numbers) - 1, min(most, len(numbers))).astype(int))]


def distinct_share(samples: np.ndarray, limit: float, device: torch.device) -> float:
    """The share of samples (m, ...) that are left when those within `limit` of each other count as one."""
    rows = samples[spread(np.arange(len(samples)), MOST_DISTINCT)]
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
    """All measures of quality against held-out images (or training images, where there are none), and the control.

    Beside them the Fréchet distances of equally many training images and samples: few of either lie further away.
    """
    real = held_out if len(held_out) else training
    values: dict[str, dict[str, Any]] = {
        "samples": compare(real, samples, device),
        "control": compare_halves(real, device),
    }
    if min(len(held_out), len(training), len(samples)) > 1:
        count = min(len(samples), len(training))
        values["equally_many"] = {
            name: frechet_distance(vectors(held_out), vectors(rows[spread(np.arange(len(rows)), count)]), device)
            for name, rows in (("samples", samples), ("training", training))
        }
    return values


def look_swapped(quality: dict[str, Any]) -> bool:
    """Whether samples are much more like the held-out images than the training images are."""
    distances = quality.get("equally_many")
    return distances is not None and distances["samples"] < SWAPPED * distances["training"]
