"""The one-shot estimate for a data set of a study, and its trial: every size predicted without its own measurement."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.intervals import wilson
from workflow_scripts.laws.decay import (
    DIMENSION_AXIS,
    LARGEST_BACKGROUND,
    Axis,
    DecayFit,
    LevelPrior,
    Points,
    fit_decay,
    why_uninformative,
)
from workflow_scripts.laws.one_shot import OneShotEstimate, estimate, no_estimate
from workflow_scripts.laws.pairs import fit_pairs
from workflow_scripts.laws.safe_size import smallest_safe_size
from workflow_scripts.laws.size_law import DimensionCurve, fit_dimension_curve
from workflow_scripts.laws.study import level_of_others, plain, points_by_pair, study_axes

FAR = 100  # times the largest size that was looked at
MOST_LINES = 8  # of an answer
GRID = 60  # sizes at which the prediction is drawn
OWN_LAW_FROM = 3  # sizes
TRIAL_COLUMNS = [
    "trial", "size", "predicted", "low", "high", "measured", "measured_low", "measured_high", "error", "inside",
    "reason",
]  # fmt: skip


@dataclass(frozen=True)
class PairEstimate:
    """The estimate for one generator on the data set. points: what was measured, at every size.

    trials: rows of a table, one for each way of leaving measurements out and each size so predicted.
    """

    points: Points
    prior: LevelPrior
    estimate: OneShotEstimate
    trials: pd.DataFrame

    def predictions(self, trial: str | None = None) -> pd.DataFrame:
        """The trials, or those of one way of leaving out, in which a prediction could be made."""
        made = self.trials[self.trials["reason"] == ""]
        return made if trial is None else made[made["trial"] == trial]


def curve_of(points: list[dict[str, Any]]) -> DimensionCurve | None:
    """The growth of the dimension with size from what estimate_curve wrote; None if fewer than two sizes have one."""
    known = [one for one in points if one["dimension"] is not None]
    if len(known) < 2:
        return None
    return fit_dimension_curve(*(np.array([one[key] for one in known], dtype=float) for key in (
        "size", "dimension", "low", "high",
    )))  # fmt: skip


def estimate_pairs(
    table: pd.DataFrame, dataset: str, curve: DimensionCurve | None, published: pd.DataFrame, wanted: float
) -> dict[str, PairEstimate]:
    """The one-shot estimate of every generator on `dataset`.

    table: the study's, at one space and threshold; the level comes from its other pairs, where at least three are
    identified, and else from the published ones. curve: growth of the data set's dimension with size. wanted: copies
    that count as safe, %.
    """
    rms = float(table["threshold_rms"].median())
    by_size = points_by_pair(table, study_axes(table)[0])
    fits = fit_pairs(points_by_pair(table, DIMENSION_AXIS), DIMENSION_AXIS, "binomial")
    found = {}
    for pair, points in by_size.items():
        if pair[1] != dataset:
            continue
        prior = level_of_others(fits, pair, published, rms)
        sizes = np.unique(points.size)
        at = np.unique(np.concatenate([np.geomspace(sizes[0], _largest(curve, sizes), GRID), sizes]))
        shot = predict(points, curve, prior, at, wanted, rms)
        found[pair[0]] = PairEstimate(points, prior, shot, _trials(points, curve, prior, wanted, rms))
    return found


def predict(
    points: Points, curve: DimensionCurve | None, prior: LevelPrior, at: np.ndarray, wanted: float, rms: float
) -> OneShotEstimate:
    """Predict copies at sizes `at` from all that was measured.

    From three sizes on by the pair's own law in ln size; that is the same law, since the dimension grows in proportion
    to ln size, and it needs no other pair. From fewer, by the one-shot law. A safe size that is FAR beyond all that was
    measured is none.
    """
    if len(sizes := np.unique(points.size)) >= OWN_LAW_FROM:
        axis = Axis("ln_size", float(np.log(sizes).mean()), 1.0)
        fit = fit_decay(replace(points, value=points.size), axis)
        if not fit.identified:
            return no_estimate(at, fit.reason)
        shot = _own_estimate(fit, at, wanted)
    elif curve is None:
        unknown = "its intrinsic dimension could be measured at fewer than two sizes, so that its growth is not known"
        return no_estimate(at, why_uninformative(points, prior) or unknown)
    else:
        shot = estimate(points, curve, prior, at, wanted, rms)
    safe, most = shot.safe_size, FAR * _largest(curve, sizes)
    if safe.size > most:
        return no_estimate(
            at, f"the law would reach {wanted:g} % only beyond {most:,.0f} images, far from all that was measured"
        )
    return replace(shot, safe_size=replace(safe, high=safe.high if safe.high <= most else np.inf))


def _largest(curve: DimensionCurve | None, sizes: np.ndarray) -> float:
    """The largest size at which anything was measured."""
    return float(max(curve.sizes[1], sizes[-1]) if curve else sizes[-1])


def _own_estimate(fit: DecayFit, at: np.ndarray, wanted: float) -> OneShotEstimate:
    low, high = fit.band(at)
    safe = smallest_safe_size(fit, wanted, seed=0)
    assumptions = [
        f"Replication falls as a power of the set's size; {len(np.unique(fit.points.size))} set sizes measured, and no "
        "other generator or data set is needed.",
        "Larger sets are drawn from the same population, and the generator is trained in the same way.",
        f"Safe means at most {wanted:g} % of samples above the background of held-out images.",
    ]
    warnings = []
    if safe.extrapolated:
        warnings.append(f"The safe size {safe.size:,.0f} lies outside the {safe.extrapolated}: extrapolated.")
    if np.isinf(safe.high):
        warnings.append("No upper end of the safe size can be given.")
    return OneShotEstimate(fit.level, fit.rate, at, fit.percentage(at), low, high, safe, assumptions, warnings)


def _trials(points: Points, curve: DimensionCurve | None, prior: LevelPrior, wanted: float, rms: float) -> pd.DataFrame:
    """Predict each size from the smallest one alone (`one_shot`), and from all others (`leave_one_out`)."""
    sizes = np.unique(points.size)
    rows = []
    plans = [("one_shot", sizes[:1], sizes[1:]), *(("leave_one_out", sizes[sizes != s], s[None]) for s in sizes)]
    for name, kept, left_out in plans:
        if not len(kept) or not len(left_out):
            continue
        shot = predict(points.select(np.isin(points.size, kept)), curve, prior, left_out, wanted, rms)
        for i, size in enumerate(left_out):
            measured, low, high = measured_excess(points.select(points.size == size))
            ends = float(shot.low[i]), float(shot.high[i])
            rows.append(
                {
                    "trial": name,
                    "size": int(size),
                    "predicted": float(shot.percentage[i]),
                    "low": ends[0],
                    "high": ends[1],
                    "measured": measured,
                    "measured_low": low,
                    "measured_high": high,
                    "error": abs(float(shot.percentage[i]) - measured),
                    # Overlap of both intervals: the measurement has an error of its own.
                    "inside": bool(ends[0] <= high and low <= ends[1]),
                    "reason": shot.reason,
                }
            )
    return pd.DataFrame(rows, columns=TRIAL_COLUMNS)


def measured_excess(points: Points) -> tuple[float, float, float]:
    """Percentage of copies, background excluded, seeds pooled, with its 95 % Wilson interval of counting."""
    count, of, background = points.replicas.sum(), points.samples.sum(), points.background.mean()
    shares = np.array([count / of, *(float(end) for end in wilson(count, of))])
    value, low, high = 100 * (shares - background) / (1 - background)
    return float(value), float(max(low, 0.0)), float(max(high, 0.0))


def measured_enough(points: Points, wanted: float) -> float | None:
    """The smallest measured size from which on the upper end of the measured excess is at most `wanted` %, if any."""
    enough = None
    for size in np.unique(points.size)[::-1]:
        here = points.select(points.size == size)
        if np.median(here.background) > LARGEST_BACKGROUND or measured_excess(here)[2] > wanted:
            break
        enough = float(size)
    return enough


def summarise(
    found: dict[str, PairEstimate], curve: DimensionCurve | None, points: list[dict[str, Any]], about: dict[str, Any]
) -> dict[str, Any]:
    """Strict JSON of the estimates of one data set; `about` goes first. points: those that `curve` was fitted to."""
    generators = {}
    for name, one in found.items():
        shot, sizes = one.estimate, np.unique(one.points.size)
        measured = [(size, *measured_excess(one.points.select(one.points.size == size))) for size in sizes]
        errors = one.predictions().groupby("trial")["error"].median()
        generators[name] = {
            "smallest_safe_size": vars(shot.safe_size),
            "measured_enough": measured_enough(one.points, about["wanted_percentage"]),
            "reason": shot.reason,
            "warnings": shot.warnings,
            "assumptions": shot.assumptions,
            "level": shot.level,
            "rate": shot.rate,
            "level_from": one.prior.source,
            "measured": [dict(zip(("size", "percentage", "low", "high"), row, strict=True)) for row in measured],
            "predicted": [
                {"size": float(size), "percentage": value, "low": low, "high": high}
                for size, value, low, high in zip(shot.sizes, shot.percentage, shot.low, shot.high, strict=True)
            ],
            "trials": one.trials.to_dict("records"),
            "median_error_of_trials": {str(trial): float(error) for trial, error in errors.items()},
        }
    dimension = curve and {
        "intercept": curve.intercept,
        "slope": curve.slope,
        "sizes": list(curve.sizes),
        "measured": [{key: one[key] for key in ("size", "dimension", "low", "high")} for one in points],
    }
    return plain({**about, "dimension": dimension, "generators": generators})


def answer(found: dict[str, PairEstimate], dataset: str, wanted: float) -> list[str]:
    """What a person can act on: three to MOST_LINES lines, a line or two for each generator."""
    lines = []
    for name, one in found.items():
        shot, measured = one.estimate, np.unique(one.points.size)
        enough = measured_enough(one.points, wanted)
        if enough is not None:
            lines.append(
                f"{name} on {dataset}, as measured: from {enough:,.0f} training images on, copies beyond chance were "
                f"at most {wanted:g} %, with their counting error."
            )
        if shot.reason:
            lines.append(f"{name} on {dataset}: no safe size can be given by a law, since {shot.reason}.")
            continue
        safe = shot.safe_size
        high = "no size that could be named" if np.isinf(safe.high) else f"{safe.high:,.0f}"
        lines.append(
            f"{name} on {dataset}: train on at least {safe.size:,.0f} images (95 % interval {safe.low:,.0f} to {high}) "
            f"for at most {wanted:g} % of copies beyond chance; measured at {_listed(measured)} images."
        )
        trials = one.predictions()
        if len(trials):
            inside = int(trials["inside"].sum())
            lines.append(
                f"Tried on what was measured: {inside} of {len(trials)} predictions of a size left out hold, "
                f"median error {trials['error'].median():.1f} points."
            )
        lines += [f"Beware: {text}" for text in shot.warnings[:2]]
    told = [line for line in lines if not line.startswith("Beware")] if len(lines) > MOST_LINES - 2 else lines
    return [*told[: MOST_LINES - 2], *_what_to_do(found)]


def _what_to_do(found: dict[str, PairEstimate]) -> list[str]:
    """How it was measured, and what to do with that, a line each."""
    points = [one.points for one in found.values()]
    sizes = _listed(np.unique(np.concatenate([some.size for some in points])))
    count = sum(int(some.samples.sum()) for some in points)
    lines = [f"Measured by {count:,} samples of generators that were trained on {sizes} images."]
    with_law = [one.estimate.safe_size.size for one in found.values() if not one.estimate.reason]
    if with_law:
        return [
            *lines,
            f"To do: train on {max(with_law):,.0f} images or more before you share samples; with fewer, look at each "
            "sample beside the training image nearest to it (results/figures/gallery).",
        ]
    if all(np.median(some.background) > LARGEST_BACKGROUND for some in points):
        return [
            *lines,
            "To do: remove repeated images (manifest.json lists exact duplicates), or give a narrower threshold; what "
            "this one counts is no sign of copying.",
        ]
    if not any(some.replicas.any() for some in points):
        return [
            *lines,
            "To do: none of these generators copied anything. That holds for trainings of this length; before you rely "
            "on it, train longer (`steps`), or on fewer images, until some do.",
        ]
    return [
        *lines,
        "To do: add sizes between one at which most samples are copies and one at which none are, and seeds; till then "
        "look at each sample beside the training image nearest to it (results/figures/gallery).",
    ]


def _listed(sizes: np.ndarray) -> str:
    words = [f"{size:,.0f}" for size in sizes]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
