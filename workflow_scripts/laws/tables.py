"""Fits and comparisons as rows of the tables that the stage writes."""

from collections.abc import Mapping

import numpy as np

from workflow_scripts.laws.decay import DecayFit
from workflow_scripts.laws.exponential import Dispersion
from workflow_scripts.laws.pairs import Pair, compare_models, fit_shared, level_prior

INTERVALS = ("level_low", "level_high", "rate_low", "rate_high")


def fit_row(fit: DecayFit) -> dict[str, object]:
    """Level, rate, a, b, c, goodness, intervals, and whether the law is identified."""
    row: dict[str, object] = {"level": fit.level, "rate": fit.rate, **dict(zip("abc", fit.parameters, strict=True))}
    row |= {"r2": fit.r2, "median_absolute_error": fit.median_absolute_error}
    return row | interval_columns(fit) | {"identified": fit.identified, "notes": describe(fit)}


def interval_columns(fit: DecayFit) -> dict[str, object]:
    """Ends of the intervals of level and rate as columns of a table."""
    return dict(zip(INTERVALS, (*fit.level_interval, *fit.rate_interval), strict=True))


def describe(fit: DecayFit) -> str:
    """Why a law is not identified, and what else to know of it, in one line."""
    return "; ".join(filter(None, (fit.reason, *fit.notes)))


def scatter_columns(dispersion: Dispersion) -> dict[str, object]:
    """Scatter about the laws: between runs, as a share of what they copy, or in percentage points for least squares."""
    points = np.sqrt(dispersion.factor) if not dispersion.run_sd and dispersion.factor != 1.0 else np.nan
    return {"run_sd": dispersion.run_sd, "residual_sd": points, "scatter_degrees": dispersion.degrees}


def comparison_row(fits: Mapping[Pair, DecayFit]) -> dict[str, object]:
    """The comparison of constant, shared and free laws from the fits of informative pairs (`why_uninformative`)."""
    result, shared = compare_models(fits), fit_shared(fits)
    prior = level_prior(fits, "")
    row: dict[str, object] = {"method": next(iter(fits.values())).model.method, "pairs": len(fits)}
    row |= {f"deviance_{name}": value for name, value in result.deviance.items()}
    row |= {f"left_out_mean_error_{name}": value for name, value in result.mean_error.items()}
    row |= {f"left_out_median_error_{name}": value for name, value in result.median_error.items()}
    row |= scatter_columns(result.dispersion)
    for name, test in (("decay", result.decay), ("shared_level", result.shared_level)):
        if test is not None:
            row |= {f"{name}_statistic": test.statistic, f"{name}_degrees": test.degrees, f"{name}_p": test.p_value}
    low, high = shared.level_interval
    row |= {"shared_level": shared.level, "shared_level_low": low, "shared_level_high": high}
    if prior is not None:
        row |= {"level_mean": prior.mean, "level_sd_between_pairs": prior.sd}
    return row
