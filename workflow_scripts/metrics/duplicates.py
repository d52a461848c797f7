"""Near-duplicates across a split: held-out images that are training images in another file, cropping or compression.

They are leakage of the split, not chance: one that is held out comes as near to a training image as a copy does. What
is near depends on the set, and within it on the image, so each image is judged by its own neighbourhood alone: are its
first neighbours set apart from the others by a gap that chance does not leave?

In a neighbourhood of even density, j ln(T_j+1 / T_j) of the distances T to its neighbours are independent and
exponential, with the dimension as rate (Rényi's representation; Facco et al. 2017 for j = 1). The gap after the c-th
neighbour beside the sum of those that follow therefore has a known distribution, whatever the dimension and scale.
"""

from dataclasses import dataclass

import numpy as np
import torch

from workflow_scripts.metrics.neighbours import Neighbours, nearest_neighbours

SEEN = 24  # neighbours of each image: those beyond its near-duplicates tell what is near
MOST = 4  # near-duplicates of an image that are told from its other neighbours; of equal images, any number
ERROR = 0.02  # expected share of false ones among those found (Benjamini and Hochberg 1995)
APART = 1 / 3  # of the distance to the next neighbour, beyond which no gap counts (as Yoon et al. 2023 have it)
ALIKE = 1 / 2  # the same, of images no further away than near-duplicates that were found,
ALIKE_ERROR = 0.05  # and the largest probability of such a gap


@dataclass(frozen=True)
class Pairs:
    """Pairs of near-duplicates, by query and distance.

    queries, references: int64 (p,), rows; distances (p,): between them, and beyond (p,): of the query to its nearest
    reference that is no near-duplicate, infinite if there is none.
    """

    queries: np.ndarray
    references: np.ndarray
    distances: np.ndarray
    beyond: np.ndarray


def near_duplicates(queries: np.ndarray, references: np.ndarray, device: torch.device | str = "cpu") -> Pairs:
    """Near-duplicates between two sets of images or features, as nearest_neighbours takes them."""
    neighbours = nearest_neighbours(queries, references, min(SEEN, len(references)), device=device)
    return pairs_of(neighbours)


def near_duplicates_within(images: np.ndarray, rows: np.ndarray, device: torch.device | str = "cpu") -> Pairs:
    """Near-duplicates of the images at `rows` (m,) among all others of one set (n, ...); queries are places in rows."""
    neighbours = nearest_neighbours(images[rows], images, min(SEEN + 1, len(images)), device=device)
    others = neighbours.indices != rows[:, None]
    others[others.all(axis=1), -1] = False  # more images are equal to this one than were searched
    shape = len(rows), others.shape[1] - 1
    return pairs_of(Neighbours(neighbours.distances[others].reshape(shape), neighbours.indices[others].reshape(shape)))


def pairs_of(neighbours: Neighbours) -> Pairs:
    """The pairs among neighbours, of which SEEN were searched, or as many as there are."""
    counts = count_near_duplicates(neighbours.distances)
    queries = np.repeat(np.arange(len(counts)), counts)
    ranks = np.arange(len(queries)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded = np.pad(neighbours.distances, ((0, 0), (0, 1)), constant_values=np.inf)
    return Pairs(
        queries,
        neighbours.indices[queries, ranks],
        neighbours.distances[queries, ranks],
        padded[queries, counts[queries]],
    )


def count_near_duplicates(distances: np.ndarray, error: float = ERROR) -> np.ndarray:
    """How many of its nearest references are near-duplicates of each query, int64 (m,).

    distances: (m, k), rising, to the k nearest references. Images that are equal always are. Others are if a gap
    follows them: the next distance is three times as large, and no chance at the error over all queries; or
    twice, and hardly chance, where the distance is no larger than one at which a near-duplicate was found in that way.
    error: of these queries, ERROR of all; of a part of them, a part of it.
    """
    count, k = distances.shape
    equal = np.count_nonzero(distances == 0, axis=1)
    tried = min(MOST, k - 2)
    if count == 0 or tried < 1:
        return equal
    inner, outer = distances[:, :tried], distances[:, 1 : tried + 1]
    # The first gap is the likeliest: of the error, each has twice the share of the next.
    shares = 0.5 ** np.arange(1, tried + 1) / (1 - 0.5**tried)
    p_values = np.where(outer > 0, gap_p_values(distances, tried) / shares, 1.0)
    apart = np.where(inner <= APART * outer, p_values, 1.0)
    least = np.sort(apart.min(axis=1))
    passing = np.flatnonzero(least <= error * np.arange(1, count + 1) / count)
    gaps = apart <= (least[passing[-1]] if len(passing) else -1.0)
    if (doubled := gaps.any(axis=1)).any():
        gaps |= (inner <= distances[doubled, 0].max()) & (inner <= ALIKE * outer) & (p_values <= ALIKE_ERROR)
    last = np.where(gaps, np.arange(1, tried + 1), 0).max(axis=1)
    return np.maximum(last, equal)


def gap_p_values(distances: np.ndarray, gaps: int) -> np.ndarray:
    """The probability of a gap as large as that after the c-th neighbour, c = 1..gaps: float (m, gaps).

    distances: (m, k >= gaps + 2), rising. The j ln(T_j+1 / T_j) are independent and exponential of one rate; with S the
    sum of those of j = c+1..k-1, the probability is (1 + c ln(T_c+1 / T_c) / S)^-(k - 1 - c).
    """
    k = distances.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        spacings = np.arange(1, k) * np.diff(np.log(distances), axis=1)
        sums = np.cumsum(spacings[:, ::-1], axis=1)[:, ::-1]
        powers = k - 1.0 - np.arange(1, gaps + 1)
        return np.nan_to_num((1 + spacings[:, :gaps] / sums[:, 1 : gaps + 1]) ** -powers, nan=1.0)
