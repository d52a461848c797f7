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
LARGER = 5  # times as many samples as real images: what is near among them is known from the latter
FEWEST = 100  # real images that tell it
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


def distinct_share(samples: np.ndarray, real: np.ndarray, device: torch.device) -> float:
    """The share of samples (m, ...) that are left when those that repeat each other count as one.

    real (r, ...): training and held-out images. Samples repeat each other within the distance that 1 % of real images
    would have a neighbour within, if there were as many of them; among more images neighbours are nearer, so that is
    the distance of fewer than 1 % of r. With fewer than 100 real images only equal samples are told.
    """
    most = min(MOST_DISTINCT, LARGER * len(real)) if len(real) >= FEWEST else MOST_DISTINCT
    rows = samples[spread(np.arange(len(samples)), most)]
    if len(rows) < 2:
        return 1.0
    limit = 0.0
    if len(real) >= FEWEST:
        apart = nearest_neighbours(real, real, 1, device=device, exclude_self=True).distances[:, 0]
        limit = float(np.sort(apart)[int(0.01 * len(real) * min(1.0, len(real) / len(rows)))])
    near = nearest_neighbours(rows, rows, min(LINKS, len(rows) - 1), device=device, exclude_self=True)
    query, rank = np.nonzero(near.distances <= limit)
    links = coo_array((np.ones(len(query)), (query, near.indices[query, rank])), shape=(len(rows), len(rows)))
    return float(connected_components(links, directed=False)[0]) / len(rows)


def quality(
    samples: np.ndarray,
    held_out: np.ndarray,
    training: np.ndarray,
    device: torch.device,
    groups: np.ndarray | None = None,
) -> dict[str, dict[str, Any]]:
    """All measures of quality against held-out images (or training images, where there are none), and the control.

    Beside them the Fréchet distances of equally many training images and samples: few of either lie further away.
    groups: of the held-out images (or training images); None: each is its own.
    """
    real = held_out if len(held_out) else training
    values: dict[str, dict[str, Any]] = {
        "samples": compare(real, samples, device),
        "control": compare_halves(real, device, groups),
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
