"""The published analysis of Feng et al. (ICCV 2021): their fits, and their leave-one-pair-out test of the one-shot
estimate.

The fits are bounded least squares on percentages in the form y = a^(b x - c) with 0 < a < 1, b in [10, 130] and c in
[100, 102] (the bounds stand in the authors' public code). Since only level = -c ln a and rate = -b ln a matter for the
curve, the bounds come down to one: rate / level = b / c must lie between 10 / 102 and 130 / 100. Where the best curve
meets it, the bounds have no effect and a, b, c follow from level and rate once c is chosen; where it does not, the fit
ends on the bound, and what it says comes from the bound and not from the measurements.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import least_squares
from scipy.stats import t as student

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_csv
from workflow_scripts.laws.decay import (
    DIMENSION_AXIS,
    DecayFit,
    LevelPrior,
    Points,
    law,
    paper_parameters,
    squared_correlation,
)
from workflow_scripts.laws.pairs import Pair, fit_pairs, level_prior
from workflow_scripts.laws.size_law import fit_size_law
from workflow_scripts.laws.tables import INTERVALS, comparison_row, describe, fit_row, interval_columns

SAMPLES = 1024  # generated images behind every published percentage
THRESHOLDS = (8000, 7000, 9000, 10000)  # the main one first

B_BOUNDS = (10.0, 130.0)
C_BOUNDS = (100.0, 102.0)
RATIO_BOUNDS = (B_BOUNDS[0] / C_BOUNDS[1], B_BOUNDS[1] / C_BOUNDS[0])
TABLES = ("fits", "leave_one_out", "binomial_fits", "comparison")
LEVEL_BOUNDS = (1e-3, 1000.0)  # a between 0.00001 and 0.99999


@dataclass(frozen=True)
class PublishedFit:
    """Level, rate, and a, b, c as the published procedure finds them; `bound`: the bound it ended on, or empty.

    r2: squared correlation; median_absolute_error: in points.
    """

    level: float
    rate: float
    a: float
    b: float
    c: float
    r2: float
    median_absolute_error: float
    bound: str = ""

    def percentage(self, dimension: np.ndarray) -> np.ndarray:
        """Percentages at intrinsic dimensions, which the published law does not bound."""
        return law(self.level, self.rate, DIMENSION_AXIS.standardise(dimension), "least_squares")


@dataclass(frozen=True)
class OneShot:
    """A pair predicted from the other pairs and its own smallest set.

    Intervals (95 %) come from the scatter of the level among the other pairs (Student's t), which dominates.
    """

    fit: PublishedFit
    level_interval: tuple[float, float]
    rate_interval: tuple[float, float]
    measured_x: float
    measured_ln_percentage: float

    def interval(self, dimension: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the interval of the percentages at intrinsic dimensions, capped at 100."""
        x = DIMENSION_AXIS.standardise(dimension)
        ends = np.stack([law(level, self._rate(level), x, "least_squares") for level in self.level_interval])
        return np.minimum(ends.min(axis=0), 100.0), np.minimum(ends.max(axis=0), 100.0)

    def _rate(self, level: float) -> float:
        return (level - self.measured_ln_percentage) / self.measured_x


def fit_as_published(points: Points) -> PublishedFit:
    """Bounded least squares on percentages against standardised intrinsic dimension."""
    x = DIMENSION_AXIS.standardise(points.value)

    def residuals(theta: np.ndarray) -> np.ndarray:
        level, ratio = theta
        return law(level, level * ratio, x, "least_squares") - points.percentage

    lower, upper = zip(LEVEL_BOUNDS, RATIO_BOUNDS, strict=True)
    # Several starts: the sum of squares may have a second valley along the bound.
    results = [
        least_squares(residuals, [3.0, ratio], bounds=(lower, upper), xtol=1e-11, ftol=1e-11, gtol=1e-11)
        for ratio in (0.2, 0.6, 1.1)
    ]
    level, ratio = min(results, key=lambda result: result.cost).x
    rate = level * ratio
    a, b, c = paper_parameters(level, rate)
    bound = ""
    if ratio > RATIO_BOUNDS[1] * (1 - 1e-6):
        bound = f"b = {B_BOUNDS[1]:g}, c = {C_BOUNDS[0]:g}"
    elif ratio < RATIO_BOUNDS[0] * (1 + 1e-6):
        bound = f"b = {B_BOUNDS[0]:g}, c = {C_BOUNDS[1]:g}"
        a, b, c = paper_parameters(level, rate, C_BOUNDS[1])
    return PublishedFit(level, rate, a, b, c, *goodness(points, law(level, rate, x, "least_squares")), bound)


def predict_left_out(pairs: Mapping[Pair, Points], fits: Mapping[Pair, PublishedFit], pair: Pair) -> OneShot:
    """Predict a pair: a and c are the means of the other pairs' (two at least), b comes from its smallest set's point.

    b = (ln y / ln a + c) / x. R2 and median error are over all points of the pair, its smallest set included.
    """
    others = [fit for other, fit in fits.items() if other != pair]
    a, c = float(np.mean([fit.a for fit in others])), float(np.mean([fit.c for fit in others]))
    points = pairs[pair]
    x = DIMENSION_AXIS.standardise(points.value)
    first = int(np.argmin(x))
    ln_y = float(np.log(points.percentage[first]))
    b = (ln_y / np.log(a) + c) / x[first]
    level, rate = -c * np.log(a), -b * np.log(a)
    levels = np.array([fit.level for fit in others])
    reach = student.ppf(0.975, len(levels) - 1) * levels.std(ddof=1) * np.sqrt(1 + 1 / len(levels))
    level_interval = (float(level - reach), float(level + reach))
    low, high = sorted((end - ln_y) / x[first] for end in level_interval)
    fit = PublishedFit(level, rate, a, b, c, *goodness(points, law(level, rate, x, "least_squares")))
    return OneShot(fit, level_interval, (float(low), float(high)), float(x[first]), ln_y)


def goodness(points: Points, percentage: np.ndarray) -> tuple[float, float]:
    """R2 and median absolute error (points) of fitted percentages (m,), as Feng et al. define them."""
    error = float(np.median(np.abs(points.percentage - percentage)))
    return squared_correlation(points.percentage, percentage), error


def read_replication(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the published percentages; InputError if the file is not what `resources/published/README.md` describes."""
    table = read_csv(path)
    needed = [
        "generator",
        "dataset",
        "size",
        "intrinsic_dimension",
        "threshold_l2_255",
        "replication_pct",
        "in_main_fit",
    ]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise InputError(f"{path}: column {', '.join(missing)} missing; restore the file from the repository.")
    replicas = table["replication_pct"] * SAMPLES / 100
    if not (table["replication_pct"].between(0, 100) & ((replicas - replicas.round()).abs() < 0.06)).all():
        raise InputError(f"{path}: replication_pct must be percentages of {SAMPLES} samples; restore the file.")
    return table


def published_pairs(table: pd.DataFrame, threshold: int, every_point: bool) -> dict[Pair, Points]:
    """Points of each pair at a threshold (L2 over 8-bit RGB values at 128 px): those of the fits, or all."""
    chosen = table[(table["threshold_l2_255"] == threshold) & (table["in_main_fit"] | every_point)]
    return {
        (str(generator), str(dataset)): Points(
            value=part["intrinsic_dimension"].to_numpy(float),
            size=part["size"].to_numpy(float),
            # The percentages are rounded to two decimals; the counts behind them are whole.
            replicas=(part["replication_pct"] * SAMPLES / 100).round().to_numpy(float),
            samples=np.full(len(part), float(SAMPLES)),
            background=np.zeros(len(part)),
        )
        for (generator, dataset), part in chosen.groupby(["generator", "dataset"], sort=False)
    }


def threshold_rms(threshold: float) -> float:
    """A published threshold as root-mean-square difference per value, pixel values in 0..1."""
    return threshold / (255.0 * np.sqrt(128 * 128 * 3))


def published_prior(table: pd.DataFrame, rms: float) -> LevelPrior:
    """What the six published pairs say of the level, at the published threshold nearest to an RMS distance."""
    threshold = min(THRESHOLDS, key=lambda value: abs(threshold_rms(value) - rms))
    fits = fit_pairs(published_pairs(table, threshold, every_point=False), DIMENSION_AXIS, "binomial")
    prior = level_prior(fits, f"Feng et al. 2021, threshold {threshold}", threshold_rms(threshold))
    assert prior is not None, "six pairs are published"
    return prior


def fit_tables(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every published threshold through the published procedure and through the likelihood.

    Tables `fits` (bounded least squares), `leave_one_out` (one-shot), `binomial_fits` (maximum likelihood) and
    `comparison` (is the level shared?); first the points of the published fits (`points` main), then all points.
    """
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in TABLES}
    for which in ("main", "all"):
        for threshold in THRESHOLDS:
            pairs = published_pairs(table, threshold, every_point=which == "all")
            squares = fit_pairs(pairs, DIMENSION_AXIS, "least_squares")
            counts = fit_pairs(pairs, DIMENSION_AXIS, "binomial")
            bounded = {pair: fit_as_published(points) for pair, points in pairs.items()}
            for pair in pairs:
                head = {"threshold_l2_255": threshold, "generator": pair[0], "dataset": pair[1]}
                rows["fits"].append(head | _bounded_row(bounded[pair], squares[pair]) | {"points": which})
                rows["leave_one_out"].append(head | _left_out_row(pairs, bounded, pair) | {"points": which})
                rows["binomial_fits"].append(head | fit_row(counts[pair]) | {"points": which})
            for fits in (squares, counts):
                rows["comparison"].append({"threshold_l2_255": threshold, "points": which} | comparison_row(fits))
    return {
        name: pd.DataFrame(lines).sort_values("points", ascending=False, kind="stable") for name, lines in rows.items()
    }


def size_law_table(table: pd.DataFrame) -> pd.DataFrame:
    """size = p exp(q ID) for each data set of a table with columns dataset, size, intrinsic_dimension."""
    rows = []
    for dataset, part in table.groupby("dataset", sort=False):
        fit = fit_size_law(part["intrinsic_dimension"].to_numpy(float), part["size"].to_numpy(float))
        rows.append(
            {
                "dataset": dataset,
                "p": fit.p,
                "p_low": fit.p_interval[0],
                "p_high": fit.p_interval[1],
                "q": fit.q,
                "q_low": fit.q_interval[0],
                "q_high": fit.q_interval[1],
                "r2": fit.r2,
                "points": len(part),
            }
        )
    return pd.DataFrame(rows)


def _bounded_row(bounded: PublishedFit, free: DecayFit) -> dict[str, object]:
    row = _fit_row(bounded)
    if bounded.bound:
        return row | {
            **dict.fromkeys(INTERVALS, np.nan),
            "identified": False,
            "notes": f"the fit ends on the bound {bounded.bound}; without it level {free.level:.3f}, "
            f"rate {free.rate:.3f}, R2 {free.r2:.4f}, median error {free.median_absolute_error:.3f}",
        }
    return row | interval_columns(free) | {"identified": free.identified, "notes": describe(free)}


def _left_out_row(pairs: Mapping[Pair, Points], fits: Mapping[Pair, PublishedFit], pair: Pair) -> dict[str, object]:
    shot = predict_left_out(pairs, fits, pair)
    notes = []
    if shot.rate_interval[0] <= 0:
        notes.append("the scatter of the level among the other pairs leaves open whether replication falls at all")
    if abs(shot.measured_x) < 0.5:
        notes.append(f"the one point lies at x = {shot.measured_x:.2f}, where the rate has hardly any effect")
    on_bound = [" ".join(other) for other, fit in fits.items() if other != pair and fit.bound]
    if on_bound:
        notes.append(f"a and c take in fits that ended on a bound: {', '.join(on_bound)}")
    ends = (*shot.level_interval, *shot.rate_interval)
    return (
        _fit_row(shot.fit)
        | dict(zip(INTERVALS, ends, strict=True))
        | {"identified": shot.rate_interval[0] > 0, "notes": "; ".join(notes)}
    )


def _fit_row(fit: PublishedFit) -> dict[str, object]:
    return {name: getattr(fit, name) for name in ("level", "rate", "a", "b", "c", "r2", "median_absolute_error")}
