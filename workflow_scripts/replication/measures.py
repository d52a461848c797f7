"""Measures of replication, from the distances of samples and controls to their nearest training images.

Distances are those of `neighbours.nearest_neighbours`. Three kinds of query are searched in the same training set: the
generator's samples, held-out images (which no generator of this set has seen: what they show is chance), and the
training images themselves, each in the rest of the set (what they show is in the data).
"""

from dataclasses import dataclass

import numpy as np

from workflow_scripts.core.intervals import newcombe, quantile_interval, wilson

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
LONE_RATIO = 1 / 3  # Yoon et al. 2023
SMALLEST_CELL = 20  # queries of each kind, for the normal approximation of a rank test


@dataclass(frozen=True)
class Threshold:
    """A distance up to which an image counts as a replica, with the 95 % interval where it was estimated."""

    rms: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Rate:
    """A count among `of`, as a percentage with its 95 % Wilson interval; all three are None of nothing."""

    count: int
    of: int
    percentage: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """A difference of two percentages, in points, with its 95 % interval; None where either is unknown."""

    percentage: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Replication:
    """What one threshold says of one generator; see `replication`."""

    replicas: Rate
    background: Rate
    excess: Difference
    near_duplicates: Rate
    images_copied: int


@dataclass(frozen=True)
class DataCopying:
    """The data-copying test; see `data_copying`. z is None where it cannot be computed."""

    z: float | None
    cellwise_z: float | None
    cells: int


def rate(hits: np.ndarray) -> Rate:
    """Count the true among hits, bool (m,)."""
    count, of = int(np.count_nonzero(hits)), len(hits)
    if of == 0:
        return Rate(0, 0, None, None, None)
    low, high = wilson(count, of)
    return Rate(count, of, 100 * count / of, 100 * float(low), 100 * float(high))


def calibrated_threshold(held_out: np.ndarray, share: float) -> Threshold:
    """The distance at which a share of the held-out images, nearest distances (m,), would count as replicas.

    It is the floor(share * m)-th smallest of their distances, so that exactly that many count (more only where several
    are at that very distance), and its interval is that of the distribution's quantile. Raises ValueError if not even
    one held-out image may count, m < 1 / share.
    """
    rank = int(np.floor(share * len(held_out) + 1e-9))
    if rank < 1:
        raise ValueError(f"{len(held_out)} held-out images cannot show a share of {share:g}; hold out more")
    low, high = (None if np.isnan(end) else end for end in quantile_interval(held_out, share))
    return Threshold(float(np.partition(held_out, rank - 1)[rank - 1]), low, high)


def distance_threshold(threshold: dict[str, float], held_out: np.ndarray) -> Threshold:
    """The distance of a threshold as the config has it; held_out (h,): nearest distances of held-out images."""
    ((kind, number),) = threshold.items()
    return calibrated_threshold(held_out, number) if kind == "calibrated" else Threshold(number)


def replication(
    samples: np.ndarray, nearest: np.ndarray, held_out: np.ndarray, training: np.ndarray, threshold: float
) -> Replication:
    """Count as replicas the samples within `threshold` of a training image, and set the controls beside them.

    samples (m,), held_out (h,), training (n,): distances to the nearest training image (to the nearest other one, for
    training); nearest (m,): which image that is, of each sample. The background is the percentage of the held-out
    images that would count; the excess is the difference of both with Newcombe's interval; near duplicates are
    training images that would count as replicas of the others; images_copied is how many training images have a
    replica. Feng et al. 2021 (percentage at a fixed threshold); the controls are this project's.
    """
    hits, control = samples <= threshold, held_out <= threshold
    replicas, background = rate(hits), rate(control)
    excess = Difference(None, None, None)
    if replicas.percentage is not None and background.percentage is not None:
        low, high = newcombe(replicas.count, replicas.of, background.count, background.of)
        excess = Difference(replicas.percentage - background.percentage, 100 * float(low), 100 * float(high))
    return Replication(replicas, background, excess, rate(training <= threshold), len(np.unique(nearest[hits])))


def lone_neighbour(first: np.ndarray, second: np.ndarray) -> Rate:
    """Queries whose nearest training image is more than three times nearer than the next, distances (m,) each.

    It asks for a copy of one image, whatever the image's contrast, and misses copies of an image that has a
    near-duplicate in the set. Yoon et al. 2023 and Gu et al. 2023 call such samples memorised.
    """
    return rate(first < LONE_RATIO * second)


def authenticity(samples: np.ndarray, own: np.ndarray) -> Rate:
    """Samples further from their nearest training image (m,) than that image is from its nearest other one (m,).

    Alaa et al. 2022, How faithful is your synthetic data? Percentage 100: no sample looks copied.
    """
    return rate(samples > own)


def data_copying(
    samples: np.ndarray, held_out: np.ndarray, sample_cells: np.ndarray, held_out_cells: np.ndarray
) -> DataCopying:
    """Test whether samples lie nearer to the training set than held-out images do: C_T far below 0 is copying.

    samples (m,), held_out (h,): distances to the nearest training image. z is the Mann-Whitney statistic over all,
    standardised (with the correction for ties). Cells are parts of the training set that a query falls into; the
    cellwise statistic is the mean of their z by share of held-out images, over the `cells` that have at least 20
    queries of both kinds. Meehan, Chaudhuri and Dasgupta 2020, A non-parametric test to detect data-copying in
    generative models.
    """
    cells, place = np.unique(np.concatenate([sample_cells, held_out_cells]), return_inverse=True)
    of_sample, of_held_out = place[: len(samples)], place[len(samples) :]
    statistics, weights = [], []
    for cell in range(len(cells)):
        ours, theirs = samples[of_sample == cell], held_out[of_held_out == cell]
        if min(len(ours), len(theirs)) >= SMALLEST_CELL:
            statistics.append(_mann_whitney_z(ours, theirs))
            weights.append(len(theirs))
    z = _mann_whitney_z(samples, held_out) if min(len(samples), len(held_out)) >= SMALLEST_CELL else None
    cellwise = float(np.average(statistics, weights=weights)) if weights else None
    return DataCopying(z, cellwise, len(weights))


def quantiles(distances: np.ndarray) -> dict[str, float]:
    """Quantiles of distances (m,), from smallest to largest; none of nothing."""
    if len(distances) == 0:
        return {}
    return {
        f"{share:g}": float(value) for share, value in zip(QUANTILES, np.quantile(distances, QUANTILES), strict=True)
    }


def _mann_whitney_z(first: np.ndarray, second: np.ndarray) -> float:
    """Standardised U of two samples: below 0 where `first` tends to be smaller. Zero if all values are equal."""
    m, n = len(first), len(second)
    pooled = np.concatenate([first, second])
    _, place, ties = np.unique(pooled, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]  # equal values share their mean rank
    ties = ties.astype(float)
    u = ranks[:m].sum() - m * (m + 1) / 2
    variance = m * n / 12 * ((m + n + 1) - (ties**3 - ties).sum() / ((m + n) * (m + n - 1)))
    return float((u - m * n / 2) / np.sqrt(variance)) if variance > 0 else 0.0
