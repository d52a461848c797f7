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


def quantile_interval(sample: np.ndarray, share: float, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a distribution's quantile from a sample (n,), free of its shape: two order statistics.

    An end that the sample is too small to give is NaN.
    """
    ordered = np.concatenate([[np.nan], np.sort(sample), [np.nan]])
    # How many lie below the quantile is binomial.
    below = special.bdtr(np.arange(len(sample) + 1), len(sample), share)
    low, high = np.searchsorted(below, [(1 - level) / 2, (1 + level) / 2])
    return float(ordered[low]), float(ordered[high + 1])
