"""Intrinsic dimension of a set of images: maximum likelihood (Levina and Bickel 2004) and TwoNN (Facco et al. 2017).

The value is that of the whole set. Its interval comes from subsets drawn without replacement (Politis and Romano 1994;
the delete-d jackknife of Shao and Wu 1989): with subsets of b of n images, the variance of the whole set's value is
that of the subsets' values times b / (n - b). The subsets hold half of the images, or more where half is too few.

`bootstrap` is the way of Feng et al. 2021: resample with replacement, drop repeated rows, estimate, average. A resample
holds 63 % of the images, and fewer images have a lower estimated dimension: its value and interval are those of smaller
sets, and its interval hardly ever holds the value of the whole set.

Neighbours are searched once in the whole set: a row's neighbours within a part of it are those of its neighbours in the
whole set that are present, in the same order.

The local estimate from k neighbours has an infinite variance for k = 3, a finite one from 4 on; take 5 or more.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy import special

from workflow_scripts.core.intervals import LEVEL
from workflow_scripts.core.progress import progress
from workflow_scripts.metrics.neighbours import nearest_neighbours

LARGEST_SCALE = 100  # neighbours
Resampling = Literal["subsets", "bootstrap"]

FEWEST_FOR_INTERVAL = 16  # distinct images: in simulations of two far-apart clusters, 8 cover 0.31 and 32 cover 0.91

ALIKE = 4  # images that tell about as much as one, since they share neighbours; chosen by simulation

SCALES = 12  # numbers of neighbours from 3 to the largest, evenly on a logarithmic axis

# For the growth of the dimension with size:
CURVE_SIZES = 6
CURVE_LARGEST = 20_000  # images: the search takes time in proportion to its square


@dataclass(frozen=True)
class Dimension:
    """Intrinsic dimension of a set of images.

    dimension: of the whole set with its 95 % interval `low` to `high`; by `bootstrap` the mean over resamples with
    their 2.5 % and 97.5 % quantiles. None, with the `reason`, if the set is too small for the neighbours asked for, or
    for an interval.
    whole_set: the estimate without resampling, also for every k (`per_k`), for single k of a wide range (`by_scale`:
    the more neighbours, the coarser the view), with the inverses averaged instead (`mackay_ghahramani`), and by TwoNN
    (`two_nn`). distinct: distinct images measured; resamples: those that were large enough.
    """

    dimension: float | None
    low: float | None
    high: float | None
    whole_set: float | None
    per_k: dict[int, float]
    by_scale: dict[int, float]
    mackay_ghahramani: float | None
    two_nn: float | None
    distinct: int
    resamples: int
    reason: str | None = None


def local_log_ratios(distances: np.ndarray) -> np.ndarray:
    """sum over j < k of ln(T_k / T_j) for k = 2..K: float (n, K - 1) from sorted positive distances T (n, K).

    Summed by steps, of which none is negative: equal distances give exactly 0, not what rounding leaves.
    """
    steps = np.diff(np.log(distances), axis=1)
    return np.cumsum(steps * np.arange(1, distances.shape[1]), axis=1)


def maximum_likelihood(distances: np.ndarray, first: int, last: int, average: str = "local") -> np.ndarray:
    """Dimension for each k = first..last, float (last - first + 1,), from sorted positive distances (n, >= last).

    Levina and Bickel's local estimate m_k(x) = [1 / (k - 2) sum_{j<k} ln(T_k / T_j)]^-1, k >= 3, is averaged over x
    (`local`); or all likelihoods are pooled, [1 / (n (k - 1)) sum_x sum_{j<k} ln(T_k / T_j)]^-1, the inverse of the
    mean of inverses (`inverse`, MacKay and Ghahramani 2005), where k - 2 would be too little.
    """
    sums, k = local_log_ratios(distances[:, :last])[:, first - 2 :], np.arange(first, last + 1)
    with np.errstate(divide="ignore"):
        return (k - 1) / sums.mean(axis=0) if average == "inverse" else ((k - 2) / sums).mean(axis=0)


def two_nearest_neighbours(distances: np.ndarray) -> float:
    """TwoNN dimension from sorted positive distances (n, >= 2): slope of -ln(1 - F(mu)) against ln(mu), mu = T_2 / T_1.

    The largest tenth of the ratios is left out, as in Facco et al. 2017.
    """
    ratios = np.sort(distances[:, 1] / distances[:, 0])
    kept = int(len(ratios) * 0.9)
    x = np.log(ratios[:kept])
    y = -np.log1p(-np.arange(1, kept + 1) / len(ratios))
    with np.errstate(invalid="ignore"):
        return float((x @ y) / (x @ x))


def resampled(distances: np.ndarray, indices: np.ndarray, present: np.ndarray, wanted: int) -> tuple[np.ndarray, bool]:
    """Distances (r, wanted) to the nearest neighbours within a resample, and whether the lists were long enough.

    distances, indices: (n, M) neighbours in the whole set, nearest first; present: bool (n,), r of them true.
    """
    rows = np.flatnonzero(present)
    there = present[indices[rows]]
    position = np.cumsum(there, axis=1)
    if (position[:, -1] < wanted).any():
        return np.empty((0, wanted)), False
    return distances[rows][there & (position <= wanted)].reshape(len(rows), wanted), True


def fewest_images(last: int) -> int:
    """Distinct images that an estimate from `last` neighbours, with an interval, needs."""
    return last + 3


def estimate_dimension(
    rows: np.ndarray,
    first: int,
    last: int,
    resamples: int,
    seed: int,
    device: torch.device | str = "cpu",
    resampling: Resampling = "subsets",
) -> Dimension:
    """Intrinsic dimension of images, uint8 or float (n, ...), averaged over k = first..last neighbours, first >= 3.

    Exact duplicates are dropped before anything else: a distance of zero has no logarithm.
    """
    rows = np.ascontiguousarray(rows).reshape(len(rows), -1)
    # Rows compared as bytes: np.unique by axis compares them value by value, many times slower.
    keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    rows = rows[np.sort(np.unique(keys, return_index=True)[1])]
    count = len(rows)
    if count < fewest_images(last):
        fewest = fewest_images(last)
        reason = f"{count} distinct images, but at least {fewest} are needed for {last} neighbours and an interval"
        return Dimension(None, None, None, None, {}, {}, None, None, count, 0, reason)

    # Of so many neighbours, a part of the set (half of it, or more) nearly always has `last`.
    width = min(count - 1, max(int(2.2 * last) + 20, LARGEST_SCALE))
    near = nearest_neighbours(rows, rows, width, device=device, exclude_self=True)
    part = max(-(-count // 2), last + 2)
    random = np.random.default_rng([seed, count])
    estimates = []
    with progress(resamples, "resamples", label="dimension") as bar:
        for _ in range(resamples):
            bar.advance()
            chosen = random.integers(0, count, count) if resampling == "bootstrap" else random.permutation(count)[:part]
            present = np.zeros(count, dtype=bool)
            present[chosen] = True
            if np.count_nonzero(present) < last + 1:
                continue
            distances, enough = resampled(near.distances, near.indices, present, last)
            while not enough:
                width = min(count - 1, 2 * width)
                near = nearest_neighbours(rows, rows, width, device=device, exclude_self=True)
                distances, enough = resampled(near.distances, near.indices, present, last)
            estimates.append(maximum_likelihood(distances, first, last).mean())

    per_k = maximum_likelihood(near.distances, first, last)
    inverse = maximum_likelihood(near.distances, first, last, average="inverse")
    widest = min(count - 2, LARGEST_SCALE)
    scales = np.unique(np.geomspace(3, widest, SCALES).round().astype(int))
    every = maximum_likelihood(near.distances, 3, widest)
    whole: dict[str, Any] = {
        "whole_set": float(per_k.mean()),
        "per_k": {first + i: float(value) for i, value in enumerate(per_k)},
        "by_scale": {int(k): float(every[k - 3]) for k in scales if np.isfinite(every[k - 3])},
        "mackay_ghahramani": float(inverse.mean()),
        "two_nn": two_nearest_neighbours(near.distances),
        "distinct": count,
        "resamples": len(estimates),
    }
    reason = ""
    if 2 * len(estimates) < resamples:
        reason = f"most resamples of {count} distinct images hold too few for {last} neighbours"
    elif not np.isfinite([*estimates, *per_k, whole["two_nn"]]).all():
        reason = "some images have all their neighbours at one distance"
    if reason:
        return Dimension(None, None, None, None, {}, {}, None, None, count, len(estimates), reason)
    if resampling == "bootstrap":
        low, high = np.quantile(estimates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Dimension(float(np.mean(estimates)), float(low), float(high), **whole)
    if count < FEWEST_FOR_INTERVAL:
        reason = f"an interval needs at least {FEWEST_FOR_INTERVAL} distinct images, there are {count}"
        return Dimension(whole["whole_set"], None, None, **whole, reason=reason)
    se = np.std(estimates, ddof=1) * np.sqrt(part / (count - part))
    half = float(special.stdtrit(count / ALIKE, (1 + LEVEL) / 2) * se)
    return Dimension(whole["whole_set"], max(whole["whole_set"] - half, 0.0), whole["whole_set"] + half, **whole)


def curve_sizes(available: int, last: int, wanted: list[int]) -> list[int]:
    """Sizes at which the growth of the dimension is measured, by `last` neighbours, of `available` images.

    Geometric from twice the fewest images that so many neighbours allow to all, no more than CURVE_LARGEST; the
    `wanted` ones are among them where they can be measured.
    """
    smallest, largest = 2 * fewest_images(last), min(available, CURVE_LARGEST)
    if largest <= smallest:
        return [largest]
    spread = np.geomspace(smallest, largest, CURVE_SIZES).round().astype(int).tolist()
    return sorted({*spread, *(size for size in wanted if smallest <= size <= largest)})
