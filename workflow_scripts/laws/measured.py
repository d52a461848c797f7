"""Copies at one measured size, with an interval over training runs, and the sizes that were safe as measured.

Training runs differ far beyond counting, so a few seeds leave the mean share of copies open even where thousands of
samples were counted. The scatter comes from the laws' pooled posterior; where there is none, runs are taken to differ
by a coefficient of variation of ASSUMED_VARIATION. The ends of an interval are the mean shares under which as few (or
as many) replicas as were counted turn up in 2.5 % of repetitions.

What counts by chance is subtracted with care: held-out images show how often an image that is no copy counts, but
samples of a poor generator may stay farther from the training set. So the lower end subtracts the whole background and
the upper end nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincc, expit, ndtri

from workflow_scripts.laws.decay import LARGEST_BACKGROUND, Points
from workflow_scripts.laws.likelihood import SCATTER, log_odds_of
from workflow_scripts.laws.posterior import Posterior

ASSUMED_VARIATION = 1.0
_REPETITIONS = 400
_MEANS = expit(np.linspace(-11.0, 5.0, 65))  # shares that are tried


@dataclass(frozen=True)
class Excess:
    """Mean percentage of copies beyond chance over training runs, with its 95 % interval.

    at_most: the one-sided upper bound, which the mean exceeds in 5 % of studies.
    """

    percentage: float
    low: float
    high: float
    at_most: float


def scatter_draws(posteriors: Sequence[Posterior]) -> np.ndarray:
    """Plausible scatter of a pair's runs (_REPETITIONS,) from its laws, or the one that is assumed without any."""
    if not posteriors:
        return np.full(_REPETITIONS, np.sqrt(np.log1p(ASSUMED_VARIATION**2)))
    scatter = np.sort(np.concatenate([posterior.draws.scatter for posterior in posteriors]))
    chosen = scatter[((np.arange(_REPETITIONS) + 0.5) / _REPETITIONS * len(scatter)).astype(int)]
    return np.random.default_rng(0).permutation(chosen)


def measured_excess(points: Points, scatter: np.ndarray) -> Excess:
    """Copies beyond chance at one size, from all runs there. scatter: see `scatter_draws`."""
    background = float(points.background.mean())
    value = 100 * (float((points.replicas / points.samples).mean()) - background) / (1 - background)
    nodes = np.argmin(np.abs(np.log(SCATTER / scatter[:, None])), axis=1)
    noise = scatter[:, None] * np.random.default_rng(1).standard_normal((len(scatter), len(points.size)))
    few = _share_of_repetitions(points, nodes, noise, 0.0, at_least=False)
    many = _share_of_repetitions(points, nodes, noise, background, at_least=True)
    low, high, at_most = _mean_where(many, 0.025), _mean_where(1 - few, 0.975), _mean_where(1 - few, 0.95)
    return Excess(value, min(low, max(value, 0.0)), max(high, value), at_most)


def _mean_where(shares: np.ndarray, share: float) -> float:
    """Mean percentage at which shares of repetitions (means,), which rise with _MEANS, reach a share."""
    # As normal quantiles they are nearly straight in the logarithm of the mean.
    quantiles = ndtri(np.clip(np.maximum.accumulate(shares), 1e-12, 1 - 1e-12))
    return 100 * float(np.exp(np.interp(ndtri(share), quantiles, np.log(_MEANS))))


def _share_of_repetitions(
    points: Points, nodes: np.ndarray, noise: np.ndarray, chance: float, at_least: bool
) -> np.ndarray:
    """Share of repetitions (means,) with as few replicas as were counted, or, `at_least`, as many."""
    share = expit(log_odds_of(_MEANS)[nodes].T[:, :, None] + noise)  # (means, repetitions, runs)
    weight = points.samples / points.samples.sum()
    mean = np.minimum((chance + (1 - chance) * share) @ weight, 1 - 1e-12)
    count, total = points.replicas.sum(), points.samples.sum()
    if at_least:
        return betainc(count, total - count + 1, mean).mean(axis=1) if count else np.ones(len(mean))
    return betaincc(count + 1, total - count, mean).mean(axis=1) if count < total else np.ones(len(mean))


def measured_enough(points: Points, measured: Mapping[float, Excess], wanted: float) -> float | None:
    """The smallest measured size from which on copies were at most `wanted` % (one-sided, 95 %), if any.

    measured: by `measured_excess`, for each size. All larger sizes must hold too, so that it is wrong in at most 5 % of
    studies.
    """
    enough = None
    for size in sorted(measured, reverse=True):
        if np.median(points.background[points.size == size]) > LARGEST_BACKGROUND or measured[size].at_most > wanted:
            break
        enough = size
    return enough
