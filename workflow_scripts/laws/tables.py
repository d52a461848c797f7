"""Fits and tests as rows of the tables that the stage writes."""

import numpy as np

from workflow_scripts.laws.decay import DecayFit, Interval
from workflow_scripts.laws.pairs import Levels
from workflow_scripts.laws.trend import Trend

INTERVALS = ("level_low", "level_high", "rate_low", "rate_high")


def fit_row(fit: DecayFit) -> dict[str, object]:
    """Level, rate, a, b, c, goodness, intervals, and whether the law is identified."""
    # The paper's a, b, c belong to its exponential in standardised dimensions.
    published = fit.curve == "exponential" and fit.axis.name == "dimension"
    parameters = fit.parameters if published else (np.nan, np.nan, np.nan)
    row: dict[str, object] = {"curve": fit.curve, "level": fit.level, "rate": fit.rate}
    row |= dict(zip("abc", parameters, strict=True))
    row |= dict(zip(("r2", "median_absolute_error"), fit.goodness(), strict=True))
    row |= dict(zip(INTERVALS, (*fit.level_interval, *fit.rate_interval), strict=True))
    return row | {
        "run_sd": fit.scatter,
        "held_out_log_likelihood": fit.held_out,
        "identified": fit.identified,
        "notes": fit.reason,
    }


def trend_row(trend: Trend) -> dict[str, object]:
    """Whether copying falls: rank correlation and p-value."""
    return {"decay_correlation": trend.correlation, "decay_p": trend.p_value}


def levels_row(levels: Levels | None) -> dict[str, object]:
    """The levels of pairs, and whether they are alike; no columns where fewer than two laws are identified."""
    if levels is None:
        return {}
    ends: Interval = levels.mean_interval
    return {
        "level_pairs": levels.pairs,
        "level_mean": levels.mean,
        "level_mean_low": ends[0],
        "level_mean_high": ends[1],
        "level_sd_between_pairs": levels.sd,
        "shared_level_p": levels.p_value,
    }
