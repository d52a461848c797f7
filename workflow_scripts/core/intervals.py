"""Confidence intervals of proportions, of their differences and of quantiles; on arrays at once."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special  # scipy.stats takes half a second to import, in every job that needs an interval

LEVEL = 0.95


def wilson(successes: ArrayLike, trials: ArrayLike, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion (Wilson 1927), ends in 0..1; arrays broadcast. No trials give (0, 1).

    Raises ValueError where successes are not within 0..trials.
    """
    count, total = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    if np.any((count < 0) | (count > total)):
        raise ValueError("successes must lie within 0..trials")
    z2 = special.ndtri((1 + level) / 2) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        share = count / total
        centre = (share + z2 / (2 * total)) / (1 + z2 / total)
        half = np.sqrt(z2 * (share * (1 - share) + z2 / (4 * total)) / total) / (1 + z2 / total)
    # At 0 and at all, the formula's end is exactly 0 or 1; rounding must not move it.
    low = np.where(count == 0, 0.0, centre - half)
    high = np.where(count == total, 1.0, centre + half)
    return low, high


def newcombe(
    successes: ArrayLike,
    trials: ArrayLike,
    control_successes: ArrayLike,
    control_trials: ArrayLike,
    level: float = LEVEL,
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the difference of two independent proportions, first minus control, ends in -1..1.

    Newcombe (1998), Statistics in Medicine 17, 873-890, method 10: the Wilson intervals, combined by squares.
    """
    low, high = wilson(successes, trials, level)
    control_low, control_high = wilson(control_successes, control_trials, level)
    share = np.asarray(successes, dtype=float) / np.asarray(trials, dtype=float)
    control = np.asarray(control_successes, dtype=float) / np.asarray(control_trials, dtype=float)
    difference = share - control
    return (
        difference - np.hypot(share - low, control_high - control),
        difference + np.hypot(high - share, control - control_low),
    )


def quantile_interval(
    sample: np.ndarray, share: float, level: float = LEVEL, design_effect: float = 1.0
) -> tuple[float, float]:
    """Interval of a distribution's quantile from a sample (n,), free of its shape: two order statistics.

    An end that the sample is too small to give is NaN. design_effect: how many of its values, which come in groups,
    tell as much as an independent one.
    """
    ordered = np.concatenate([[np.nan], np.sort(sample), [np.nan]])
    n, apart = len(sample), max(int(len(sample) / design_effect), 1)
    # How many lie below the quantile is binomial.
    below = special.bdtr(np.arange(apart + 1), apart, share)
    low, high = np.searchsorted(below, [(1 - level) / 2, (1 + level) / 2])
    return float(ordered[low * n // apart]), float(ordered[min(-(-(high + 1) * n // apart), n + 1)])


def counts_at_quantile(
    values: np.ndarray,
    reference: np.ndarray,
    share: float,
    least: float = -np.inf,
    levels: int = 41,
    design_effect: float = 1.0,
) -> np.ndarray:
    """How many of `values` (n,) lie up to a quantile that is known only from the sample `reference` (m,).

    The number of reference values below the true quantile is binomial; the counts, float (levels,), are those at
    equally probable ranks of it, halfway between two order statistics. least: the smallest value that there can be.
    design_effect: of the reference, as in `quantile_interval`; of fewer independent values the quantile may lie
    anywhere between two.
    """
    ordered = np.concatenate([[least], np.sort(reference), [np.inf]])
    m, apart = len(reference), max(int(len(reference) / design_effect), 1)
    below = np.concatenate([[0.0], special.bdtr(np.arange(apart + 1), apart, share)])
    level = (np.arange(levels) + 0.5) / levels
    rank = np.searchsorted(below[1:], level)
    part = (level - below[rank]) / (below[rank + 1] - below[rank]) if apart < m else 0.5
    first, last = (ordered[np.minimum(end * m // apart, m + 1)] for end in (rank, rank + 1))
    return np.searchsorted(np.sort(values), (1 - part) * first + part * last, side="right").astype(float)


def counts_interval(counts: ArrayLike, total: int, level: float = LEVEL, exact: bool = False) -> tuple[float, float]:
    """Interval of a proportion, ends in 0..1, where the count itself is uncertain: equally probable `counts` (k,).

    The mixture of the counts' Jeffreys intervals, or, where `exact`, of their Clopper-Pearson intervals (never too
    narrow). An end at 0 or at all stays there. No trials give (0, 1).
    """
    count = np.unique(np.atleast_1d(np.asarray(counts, dtype=float)), return_counts=True)
    if total == 0:
        return 0.0, 1.0
    tails = (np.arange(400) + 0.5) / 400
    more = (0.0, 1.0) if exact else (0.5, 0.5)
    ends = []
    for extra, tail, certain in ((more[0], (1 - level) / 2, 0), (more[1], (1 + level) / 2, total)):
        a, b = count[0] + extra, total - count[0] + 1 - extra
        quantiles = special.betaincinv(np.maximum(a, 1e-300)[:, None], np.maximum(b, 1e-300)[:, None], tails)
        weight = np.repeat(count[1] / (len(tails) * count[1].sum()), len(tails))
        order = np.argsort(quantiles, axis=None)
        cumulative = np.cumsum(weight[order]) - weight[order] / 2
        end = float(np.interp(tail, cumulative, quantiles.ravel()[order]))
        ends.append(float(certain > 0) if (count[0] == certain).all() else end)
    return ends[0], ends[1]
