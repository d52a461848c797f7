"""The published analysis of Feng et al. (ICCV 2021): their fits, and their leave-one-pair-out test of the one-shot
estimate.

The fits are bounded least squares on percentages in the form y = a^(b x - c) with 0 < a < 1, c in [100, 102] and b from
10 up to a bound that depends on the threshold and the pair (the authors' public code). Since only level = -c ln a and
rate = -b ln a matter for the curve, the bounds come down to one: rate / level = b / c. Where the best curve meets it,
the bounds have no effect and a, b, c follow from level and rate once c is chosen; where it does not, the fit ends on
the bound, and what it says comes from the bound and not from the measurements.

Least squares on percentages has no interval here: the scatter of percentages is anything but equal, and intervals that
take it for equal do not cover. The likelihood of this project (`decay.fit_pairs`) gives those.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_csv
from workflow_scripts.laws.decay import (
    DIMENSION_AXIS,
    PAPER_C,
    Interval,
    Pair,
    Points,
    fit_pairs,
    goodness,
    paper_parameters,
)
from workflow_scripts.laws.one_shot import OtherPairs
from workflow_scripts.laws.pairs import compare_levels
from workflow_scripts.laws.size_law import fit_size_law
from workflow_scripts.laws.tables import INTERVALS, fit_row, levels_row, trend_row
from workflow_scripts.laws.trend import trend

PUBLISHED = Path(__file__).parents[2] / "resources/published"  # the figures themselves
SAMPLES = 1024  # generated images behind every published percentage
THRESHOLDS = (8000, 7000, 9000, 10000)  # the main one first

LEAST_B, LARGEST_B = 10.0, 130.0
C_BOUNDS = (100.0, 102.0)
# At 7000 the authors' active code has upper bounds of b of 130, 300, 500, 500, 130 and 130; the assignment to pairs is
# by their order (docs/laws.md).
LARGEST_B_AT = {
    (7000, "stylegan2", "flower"): 300.0,
    (7000, "biggan", "celeba"): 500.0,
    (7000, "stylegan2", "celeba"): 500.0,
}
TABLES = ("fits", "leave_one_out", "binomial_fits", "comparison")
LEVELS, RATES = (1e-3, 20.0), (-30.0, 30.0)  # that are tried


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
        return np.exp(self.level - self.rate * DIMENSION_AXIS.standardise(dimension))


@dataclass(frozen=True)
class LeftOut:
    """A pair predicted from the other pairs and its own smallest set.

    Intervals (95 %) come from the scatter of the level among the other pairs (Student's t), which dominates.
    """

    fit: PublishedFit
    level_interval: Interval
    rate_interval: Interval
    measured_x: float
    measured_ln_percentage: float

    def interval(self, dimension: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the interval of the percentages at intrinsic dimensions, capped at 100."""
        x = DIMENSION_AXIS.standardise(dimension)
        rates = [(level - self.measured_ln_percentage) / self.measured_x for level in self.level_interval]
        ends = [np.exp(level - rate * x) for level, rate in zip(self.level_interval, rates, strict=True)]
        return np.minimum(np.min(ends, axis=0), 100.0), np.minimum(np.max(ends, axis=0), 100.0)


def fit_as_published(points: Points, largest_b: float = LARGEST_B) -> PublishedFit:
    """Bounded least squares on percentages against standardised intrinsic dimension."""
    level, rate = _least_squares(points, (LEAST_B / C_BOUNDS[1], largest_b / C_BOUNDS[0]))
    bound, c, ratio = "", PAPER_C, rate / level
    if ratio > largest_b / C_BOUNDS[0] * (1 - 1e-6):
        bound = f"b = {largest_b:g}, c = {C_BOUNDS[0]:g}"
    elif ratio < LEAST_B / C_BOUNDS[1] * (1 + 1e-6):
        bound, c = f"b = {LEAST_B:g}, c = {C_BOUNDS[1]:g}", C_BOUNDS[1]
    fitted = np.exp(level - rate * DIMENSION_AXIS.standardise(points.dimension))
    return PublishedFit(level, rate, *paper_parameters(level, rate, c), *goodness(points.percentage, fitted), bound)


def _least_squares(points: Points, ratios: Interval | None = None) -> tuple[float, float]:
    """Level and rate of least squares on percentages, the ratio of rate to level within bounds, if any."""
    x, measured = DIMENSION_AXIS.standardise(points.dimension), points.percentage

    def by_rate(rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The best level at each rate is known."""
        curve = np.exp(-rate[:, None] * x)
        height = (curve @ measured) / (curve**2).sum(axis=1)
        return np.log(height), ((height[:, None] * curve - measured) ** 2).sum(axis=1)

    rate = _close_in(lambda rate: by_rate(rate)[1], RATES)
    level = float(by_rate(np.array([rate]))[0][0])
    if ratios is None or (level > 0 and ratios[0] <= rate / level <= ratios[1]):
        return level, rate
    bound = float(np.clip(rate / level, *ratios)) if level > 0 else ratios[1]
    level = _close_in(lambda level: ((np.exp(level[:, None] * (1 - bound * x)) - measured) ** 2).sum(axis=1), LEVELS)
    return level, level * bound


def _close_in(objective: Callable[[np.ndarray], np.ndarray], ends: Interval) -> float:
    """Where an objective is least between two ends: a grid that closes in on it."""
    middle, half = sum(ends) / 2, (ends[1] - ends[0]) / 2
    for _ in range(20):
        grid = np.linspace(middle - half, middle + half, 201)
        middle, half = float(grid[int(objective(grid).argmin())]), half / 25
    return middle


def predict_left_out(pairs: Mapping[Pair, Points], fits: Mapping[Pair, PublishedFit], pair: Pair) -> LeftOut:
    """Predict a pair: a and c are the means of the other pairs' (two at least), b comes from its smallest set's point.

    b = (ln y / ln a + c) / x. R2 and median error are over all points of the pair, its smallest set included.
    """
    others = [fit for other, fit in fits.items() if other != pair]
    a, c = float(np.mean([fit.a for fit in others])), float(np.mean([fit.c for fit in others]))
    points = pairs[pair]
    x = DIMENSION_AXIS.standardise(points.dimension)
    first = int(np.argmin(x))
    ln_y = float(np.log(points.percentage[first]))
    b = (ln_y / np.log(a) + c) / x[first]
    level, rate = -c * np.log(a), -b * np.log(a)
    levels = np.array([fit.level for fit in others])
    reach = stdtrit(len(levels) - 1, 0.975) * levels.std(ddof=1) * np.sqrt(1 + 1 / len(levels))
    level_interval = (float(level - reach), float(level + reach))
    low, high = sorted((end - ln_y) / x[first] for end in level_interval)
    fit = PublishedFit(level, rate, a, b, c, *goodness(points.percentage, np.exp(level - rate * x)))
    return LeftOut(fit, level_interval, (float(low), float(high)), float(x[first]), ln_y)


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
            size=part["size"].to_numpy(float),
            dimension=part["intrinsic_dimension"].to_numpy(float),
            # The percentages are rounded to two decimals; the counts behind them are whole.
            replicas=(part["replication_pct"] * SAMPLES / 100).round().to_numpy(float),
            samples=np.full(len(part), float(SAMPLES)),
            background=np.zeros(len(part)),
        )
        for (generator, dataset), part in chosen.groupby(["generator", "dataset"], sort=False)
    }


def bounded_fits(pairs: Mapping[Pair, Points], threshold: int) -> dict[Pair, PublishedFit]:
    """Each pair fitted within the bounds of the authors' code at a threshold."""
    return {
        pair: fit_as_published(points, LARGEST_B_AT.get((threshold, pair[0], pair[1]), LARGEST_B))
        for pair, points in pairs.items()
    }


def threshold_rms(threshold: float) -> float:
    """A published threshold as root-mean-square difference per value, pixel values in 0..1."""
    return threshold / (255.0 * np.sqrt(128 * 128 * 3))


def published_levels(table: pd.DataFrame, rms: float) -> OtherPairs:
    """What the six published pairs say of the level, at the published threshold nearest to an RMS distance."""
    threshold = min(THRESHOLDS, key=lambda value: abs(threshold_rms(value) - rms))
    levels = compare_levels(fit_pairs(published_pairs(table, threshold, every_point=False), DIMENSION_AXIS))
    assert levels is not None, "at each threshold the published figures identify two laws at least"
    return OtherPairs(levels, f"Feng et al. 2021, threshold {threshold}", threshold_rms(threshold))


def fit_tables(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every published threshold through the published procedure and through the likelihood.

    Tables `fits` (bounded least squares), `leave_one_out` (one-shot), `binomial_fits` (the likelihood's intervals) and
    `comparison` (does copying fall, is the level shared?); first the points of the published fits (`points` main), then
    all points.
    """
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in TABLES}
    for which in ("main", "all"):
        for threshold in THRESHOLDS:
            pairs = published_pairs(table, threshold, every_point=which == "all")
            likely = fit_pairs(pairs, DIMENSION_AXIS)
            bounded = bounded_fits(pairs, threshold)
            for pair, points in pairs.items():
                head = {"threshold_l2_255": threshold, "generator": pair[0], "dataset": pair[1]}
                rows["fits"].append(head | _bounded_row(bounded[pair], points) | {"points": which})
                rows["leave_one_out"].append(head | _left_out_row(pairs, bounded, pair) | {"points": which})
                rows["binomial_fits"].append(head | fit_row(likely[pair]) | {"points": which})
            rows["comparison"].append(
                {"threshold_l2_255": threshold, "points": which, "pairs": len(pairs)}
                | trend_row(trend(list(pairs.values())))
                | levels_row(compare_levels(likely))
            )
    return {
        name: pd.DataFrame(lines).sort_values("points", ascending=False, kind="stable") for name, lines in rows.items()
    }


def size_law_table(table: pd.DataFrame) -> pd.DataFrame:
    """size = p exp(q ID) for each data set of a table with columns dataset, size, intrinsic_dimension."""
    rows = []
    for dataset, part in table.groupby("dataset", sort=False):
        fit = fit_size_law(part["intrinsic_dimension"].to_numpy(float), part["size"].to_numpy(float))
        rows.append({"dataset": dataset, "p": fit.p, "q": fit.q, "r2": fit.r2, "points": len(part)})
    return pd.DataFrame(rows)


def _bounded_row(bounded: PublishedFit, points: Points) -> dict[str, object]:
    row = _fit_row(bounded) | {"identified": not bounded.bound, "notes": ""}
    if bounded.bound:
        level, rate = _least_squares(points)
        fitted = np.exp(level - rate * DIMENSION_AXIS.standardise(points.dimension))
        r2, error = goodness(points.percentage, fitted)
        row["notes"] = (
            f"the fit ends on the bound {bounded.bound}; without it level {level:.3f}, rate {rate:.3f}, "
            f"R2 {r2:.4f}, median error {error:.3f}"
        )
    return row


def _left_out_row(pairs: Mapping[Pair, Points], fits: Mapping[Pair, PublishedFit], pair: Pair) -> dict[str, object]:
    shot = predict_left_out(pairs, fits, pair)
    notes = []
    if shot.rate_interval[0] <= 0:
        notes.append("the scatter of the level among the other pairs leaves open whether replication falls at all")
    if abs(shot.measured_x) < 0.5:
        notes.append(f"the one point lies at x = {shot.measured_x:.2f}, where the rate has hardly any effect")
    on_bound = [" ".join(other) for other, fit in fits.items() if other != pair and fit.bound]
    if on_bound:
        notes.append(f"a and c include fits that ended on a bound: {', '.join(on_bound)}")
    ends = (*shot.level_interval, *shot.rate_interval)
    return (
        _fit_row(shot.fit)
        | dict(zip(INTERVALS, ends, strict=True))
        | {"identified": shot.rate_interval[0] > 0, "notes": "; ".join(notes)}
    )


def _fit_row(fit: PublishedFit) -> dict[str, object]:
    return {name: getattr(fit, name) for name in ("level", "rate", "a", "b", "c", "r2", "median_absolute_error")}
