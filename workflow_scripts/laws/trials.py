"""The estimate for each generator on a data set of a study, and its trial: sizes predicted without their own runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.laws.decay import DIMENSION_AXIS, DecayFit, Pair, Points, fit_pairs, why_uninformative
from workflow_scripts.laws.measured import Excess, measured_enough, measured_excess, scatter_draws
from workflow_scripts.laws.one_shot import OneShot, OtherPairs, assumptions, common_assumptions, one_shot_outlook
from workflow_scripts.laws.outlook import SafeSize, own_outlook
from workflow_scripts.laws.pairs import compare_levels
from workflow_scripts.laws.published import published_levels
from workflow_scripts.laws.size_law import DimensionCurve, fit_dimension_curve
from workflow_scripts.laws.study import points_by_pair, size_fits, study_axes, with_dimension
from workflow_scripts.laws.trend import Trend, trend

GRID = 60  # sizes at which the prediction is drawn
OWN_LAW_FROM = 3  # sizes
LEAST_PAIRS = 3  # fewer other pairs of a study say too little of the level; the published ones then serve
TRIAL_COLUMNS = [
    "trial", "size", "predicted", "low", "high", "measured", "measured_low", "measured_high", "error", "inside",
    "reason",
]  # fmt: skip
# Of fewer, a threshold's error may not be left out of a law: of 500, the safe size's interval covered 89 %.
FEWEST_HELD_OUT = 1000
NO_SIZE = SafeSize(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class PairEstimate:
    """The estimate for one generator on a data set.

    measured: copies beyond chance at each size. enough: the smallest size that was safe as measured, or None. sizes,
    predicted: (s,) and (3, s), low, middle and high percentages. reason: why there is no safe size by a law, or empty;
    then the numbers are NaN. trials: a row for each way of leaving measurements out and each size so predicted.
    """

    points: Points
    trend: Trend
    measured: dict[float, Excess]
    enough: float | None
    sizes: np.ndarray
    predicted: np.ndarray
    safe_size: SafeSize
    level: float
    rate: float
    level_from: str
    assumptions: list[str]
    warnings: list[str]
    trials: pd.DataFrame
    reason: str = ""

    def predictions(self, trial: str | None = None) -> pd.DataFrame:
        """The trials, or those of one way of leaving out, in which a prediction could be made."""
        made = self.trials[self.trials["reason"] == ""]
        return made if trial is None else made[made["trial"] == trial]


def curve_of(points: list[dict[str, Any]]) -> DimensionCurve | None:
    """The growth of the dimension with size from what estimate_curve wrote; None if fewer than two sizes have one."""
    known = [point for point in points if point["low"] is not None]
    if len(known) < 2:
        return None
    columns = (np.array([point[key] for point in known], dtype=float) for key in ("size", "dimension", "low", "high"))
    return fit_dimension_curve(*columns)


def estimate_pairs(
    table: pd.DataFrame, dataset: str, curve: DimensionCurve | None, published: pd.DataFrame, wanted: float
) -> dict[str, PairEstimate]:
    """The estimate of every generator on `dataset`.

    table: the study's, at one space and threshold. The level of a one-shot estimate comes from its other pairs, where
    at least three are identified, and else from the published ones. curve: growth of the data set's dimension with
    size. wanted: copies that count as safe, %.
    """
    rms = float(table["threshold_rms"].median())
    pairs = points_by_pair(table)
    few = _few_held_out(table[table["dataset"] == dataset])
    fits = size_fits(pairs, study_axes(table))
    by_dimension = fit_pairs(with_dimension(pairs), DIMENSION_AXIS)
    others = None
    estimates = {}
    for pair, points in pairs.items():
        if pair[1] == dataset:
            if others is None or sum(fit.identified for fit in by_dimension.values()) > LEAST_PAIRS:
                others = _other_pairs(by_dimension, pair, published, rms)
            estimates[pair[0]] = _estimate(points, fits[pair], curve, others, wanted, rms, few)
    return estimates


def _few_held_out(table: pd.DataFrame) -> list[str]:
    """A warning where few held-out images set the threshold, whose error is then too large to be left out."""
    counts = table.loc[table["threshold"].str.startswith("calibrated-"), "held_out"]
    if counts.empty or counts.min() >= FEWEST_HELD_OUT:
        return []
    return [
        f"Only {counts.min():.0f} held-out images set the distance within which a sample counts as a copy. The "
        f"interval of the safe size leaves out their error, and is too narrow: hold out {FEWEST_HELD_OUT:,} or more."
    ]


def _other_pairs(fits: Mapping[Pair, DecayFit], pair: Pair, published: pd.DataFrame, rms: float) -> OtherPairs:
    """What the other pairs of a study say of a pair's level, or, where they are too few, the published ones."""
    others = {other: fit for other, fit in fits.items() if other != pair}
    if sum(fit.identified for fit in others.values()) >= LEAST_PAIRS and (levels := compare_levels(others)):
        return OtherPairs(levels, "other pairs of this study", rms)
    return published_levels(published, rms)


def _estimate(
    points: Points,
    fits: Sequence[DecayFit],
    curve: DimensionCurve | None,
    others: OtherPairs,
    wanted: float,
    rms: float,
    few: Sequence[str],
) -> PairEstimate:
    sizes = np.unique(points.size)
    scatter = scatter_draws([fit.posterior for fit in fits if fit.posterior is not None])
    measured = {float(size): measured_excess(points.select(points.size == size), scatter) for size in sizes}
    own = len(sizes) >= OWN_LAW_FROM
    shot = _own(fits) if own else _from_few(points, curve, others, rms)
    largest = max(curve.sizes[1], sizes[-1]) if curve else sizes[-1]
    at = np.unique(np.concatenate([np.geomspace(sizes[0], largest, GRID), sizes]))
    predicted, safe, reason = np.full((3, len(at)), np.nan), NO_SIZE, shot.reason
    warnings = list(shot.warnings)
    if shot.outlook is not None:
        predicted, safe = shot.outlook.percentage(at), shot.outlook.safe_size(wanted, sizes)
        if np.isinf(safe.size):
            reason = f"the law would reach {wanted:g} % only far beyond all that was measured"
        elif safe.extrapolated:
            warnings.append(f"The safe size {safe.size:,.0f} lies beyond the {safe.extrapolated}.")
    if not reason:  # a size is named
        warnings = [*few, *warnings]
    return PairEstimate(
        points=points,
        trend=trend([points]),
        measured=measured,
        enough=measured_enough(points, measured, wanted),
        sizes=at,
        predicted=predicted,
        safe_size=NO_SIZE if reason else safe,
        level=shot.level,
        rate=shot.rate,
        level_from="its own law" if own else others.source,
        assumptions=_assumptions(fits, wanted) if own else assumptions(points, others, wanted),
        warnings=warnings,
        trials=_trials(points, fits, curve, others, measured, rms),
        reason=reason,
    )


def _own(fits: Sequence[DecayFit]) -> OneShot:
    """The outlook by a pair's own laws."""
    leading = max(fits, key=lambda fit: fit.held_out)
    if leading.posterior is None:
        return OneShot(None, reason=leading.reason)
    return OneShot(own_outlook(fits), leading.level, leading.rate)


def _from_few(points: Points, curve: DimensionCurve | None, others: OtherPairs, rms: float) -> OneShot:
    """The outlook from one or two sizes."""
    reason = why_uninformative(points, least_sizes=1)
    if not reason and curve is None:
        reason = (
            "the intrinsic dimension could be measured at fewer than two sizes, so that its growth is not known: "
            "measure three sizes, which need no dimension"
        )
    if reason or curve is None:
        return OneShot(None, reason=reason)
    return one_shot_outlook(points, curve, others, rms)


def _assumptions(fits: Sequence[DecayFit], wanted: float) -> list[str]:
    return [
        f"Copying falls along an exponential or a logistic curve in size or in ln size, whichever predicts the "
        f"{len(np.unique(fits[0].points.size))} measured sizes best; no other data set is needed.",
        "Training runs scatter alike for all generators of the study.",
        *common_assumptions(wanted),
    ]


def _trials(
    points: Points,
    fits: Sequence[DecayFit],
    curve: DimensionCurve | None,
    others: OtherPairs,
    measured: Mapping[float, Excess],
    rms: float,
) -> pd.DataFrame:
    """Predict each size from the smallest one alone (`one_shot`), and from all others (`leave_one_out`)."""
    rows = []
    first, *rest = measured
    alone = _from_few(points.select(points.size == first), curve, others, rms) if rest else OneShot(None)
    for size in rest:
        rows.append(_trial("one_shot", alone, points.select(points.size == size), measured[size]))
    if len(measured) > OWN_LAW_FROM:  # so that a law is left
        for size in measured:
            shot = OneShot(None, reason=fits[0].reason)
            if fits[0].posterior is not None:
                shot = OneShot(own_outlook(fits, left_out=size))
            rows.append(_trial("leave_one_out", shot, points.select(points.size == size), measured[size]))
    return pd.DataFrame(rows, columns=TRIAL_COLUMNS)


def _trial(name: str, shot: OneShot, points: Points, measured: Excess) -> dict[str, Any]:
    """Predicted copies beyond chance beside the measured ones; inside: whether the prediction's interval holds them."""
    low, predicted, high = (np.nan,) * 3 if shot.outlook is None else shot.outlook.measurement(points)
    made = shot.outlook is not None
    return {
        "trial": name,
        "size": int(points.size[0]),
        "predicted": predicted,
        "low": low,
        "high": high,
        "measured": measured.percentage,
        "measured_low": measured.low,
        "measured_high": measured.high,
        "error": abs(predicted - measured.percentage),
        "inside": bool(low <= measured.percentage <= high) if made else None,
        "reason": shot.reason,
    }
