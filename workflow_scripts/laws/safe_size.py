"""The smallest training set for which a fitted law predicts no more copying than wanted: the law's inverse."""

from dataclasses import dataclass

import numpy as np

from workflow_scripts.laws.decay import DecayFit
from workflow_scripts.laws.size_law import DimensionCurve

DRAWS = 2000


@dataclass(frozen=True)
class SafeSize:
    """Images in the training set, with the ends of its 95 % interval (infinite where no size would do).

    extrapolated: what the size lies beyond, for people, or empty: "measured sizes", "measured dimensions".
    """

    size: float
    low: float
    high: float
    extrapolated: str = ""


def smallest_safe_size(
    fit: DecayFit, wanted_percentage: float, seed: int, curve: DimensionCurve | None = None
) -> SafeSize:
    """Size at which the law falls to `wanted_percentage` (above 0, below 100) of copies in excess of the background.

    fit: an identified law. curve: for a law in intrinsic dimension, how that grows with size. The interval is by
    parametric bootstrap: the law is refitted to repetitions of the measurement, and the curve drawn anew with each.
    """
    draws = fit.draws(DRAWS, [seed, 1])
    value = float(_value_at(fit, np.array([fit.level]), np.array([fit.rate]), wanted_percentage)[0])
    values = _value_at(fit, draws[:, 0], draws[:, 1], wanted_percentage)
    measured = fit.points.value
    if fit.axis.name != "dimension":
        beyond = "" if measured.min() <= value <= measured.max() else "measured sizes"
        return SafeSize(value, *interval(values), beyond)
    if curve is None:
        raise ValueError("a law in intrinsic dimension needs the growth of the dimension with size")
    beyond = "" if measured.min() <= value <= measured.max() else "measured dimensions"
    lines = curve.draws(DRAWS, [seed, 2])
    return SafeSize(curve.size(value), *interval(sizes_at(values, lines)), beyond)


def sizes_at(dimension: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Sizes at which straight lines (intercept, slope), (d, 2), reach dimensions (d,); infinite where they never do."""
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = np.exp((dimension - lines[:, 0]) / lines[:, 1])
    return np.where((lines[:, 1] > 0) & np.isfinite(dimension), sizes, np.inf)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Central 95 % of drawn values, some of which may be infinite."""
    low, high = np.quantile(values, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


def _value_at(fit: DecayFit, level: np.ndarray, rate: np.ndarray, percentage: float) -> np.ndarray:
    """Where laws (d,) reach a percentage, in the axis' own values; infinite where there is no decay."""
    with np.errstate(divide="ignore", invalid="ignore"):
        x = (level - np.log(percentage)) / rate
    return np.where(rate > 0, fit.axis.restore(np.where(rate > 0, x, 0.0)), np.inf)
