"""Advice for one data set: whether to rebalance it with a generator, in lines that a person can act on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from workflow_scripts.core.intervals import wilson
from workflow_scripts.data.imbalance import head_middle_tail, lacking_counts
from workflow_scripts.rebalancing.gain_law import GainLaw, Prediction
from workflow_scripts.rebalancing.gains import ORIGINAL

Recommendation = Literal["generator", "simpler", "leave", "unknown"]
BALANCED = 1.5  # ratio of the largest to the smallest class below which there is little to rebalance
FALSE_DISCOVERIES = 0.05  # share of classes wrongly said to gain (Benjamini and Hochberg 1995)
NAMED = 5  # classes named in a line


@dataclass(frozen=True)
class MeasuredGain:
    """What was measured on the data set itself, in points, with 95 % intervals over seeds.

    arm: the best of so many `arms`, whose gain is a little flattered by the choice if there are several. over_original,
    over_best: (gain, low, high) of the arm. baseline: that of the smallest difference, see `over_baselines`. by_class:
    columns part (class), gain, p_value (two-sided) over the original. synthetic: the arm's synthetic images, None if
    not counted. copies: (percentage, low, high) of them that are copies of training images, None without any.
    """

    arm: str
    arms: int
    seeds: int
    over_original: tuple[float, float, float]
    baseline: str
    over_best: tuple[float, float, float]
    by_class: pd.DataFrame
    synthetic: int | None = None
    copies: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Advice:
    """Lines for a person (3 to 8), and the same as a JSON-able dictionary."""

    lines: tuple[str, ...]
    summary: dict[str, Any]


def measured_gain(
    improved: pd.DataFrame, over: pd.DataFrame, group: str, measure: str = "balanced_accuracy"
) -> MeasuredGain:
    """The best augmentation arm of a group, from the tables of `improvements` and `over_baselines`."""
    here = over[(over["group"] == group) & (over["measure"] == measure)]
    best = here.iloc[int(here["gain"].argmax())]
    arm = str(best["arm"])
    own = improved[(improved["group"] == group) & (improved["arm"] == arm)]
    row = own[own["measure"] == measure].iloc[0]
    return MeasuredGain(
        arm=arm,
        arms=len(here),
        seeds=int(best["seeds"]),
        over_original=(float(row["gain"]), float(row["low"]), float(row["high"])),
        baseline=str(best["baseline"]),
        over_best=(float(best["gain"]), float(best["low"]), float(best["high"])),
        by_class=own.loc[own["measure"] == "class_recall", ["part", "gain", "p_value"]].reset_index(drop=True),
    )


def copied_share(quality: pd.DataFrame) -> tuple[float, float, float] | None:
    """Percentage of copies among all synthetic images, with Wilson's interval, from a table of `measure_synthetic`.

    quality: rows of one choice, columns synthetic (images) and copies_percentage by class; None without images.
    """
    images = int(quality["synthetic"].sum())
    if not images:
        return None
    copies = round(float((quality["copies_percentage"].fillna(0) * quality["synthetic"]).sum() / 100))
    low, high = wilson(copies, images)
    return 100 * copies / images, 100 * float(low), 100 * float(high)


def advise(
    similarity: float,
    interval: tuple[float, float],
    law: GainLaw | None,
    measured: MeasuredGain | None,
    counts: np.ndarray,
    classes: Sequence[str],
    matrix: np.ndarray | None = None,
    worthwhile: float = 1.0,
) -> Advice:
    """Advice from what is known: gains measured on this very set first, then the law, else the cheapest next step.

    similarity: of the set, with its 95 % interval. counts: (C,) training images. matrix: (C, C) similarity of class
    pairs. worthwhile: gain in points below which a generator is not worth its training.
    """
    prediction = None
    if law is not None and law.identified:
        prediction = law.predict(similarity, (interval[1] - interval[0]) / (2 * 1.96))
    ratio = float(np.max(counts) / max(np.min(counts), 1))
    lacking = lacking_counts(counts)
    if ratio < BALANCED:
        recommendation: Recommendation = "leave"
        certainty, reasons = "shown", ["The classes are about equally large: there is little to rebalance."]
    elif measured is not None:
        recommendation, certainty, reasons = _by_measurement(measured, worthwhile)
    elif prediction is not None:
        recommendation, certainty, reasons = _by_law(prediction, worthwhile)
    else:
        recommendation, certainty, reasons = "unknown", "not known", _without_either(law)
    gaining, how = _gaining(measured, counts, classes, matrix)
    lines = [
        f"Similarity of the classes (SSIM-supSubCls, 1 = identical): {similarity:.3f} [{interval[0]:.3f}, "
        f"{interval[1]:.3f}]; the largest class has {ratio:.3g} times as many images as the smallest."
    ]
    if prediction is not None:
        far = ", extrapolated: no set of such a similarity was measured" if prediction.extrapolated else ""
        gain = _interval(prediction.gain, prediction.low, prediction.high)
        lines.append(f"At that similarity the law expects a gain of {gain} over the set as it is{far}.")
    elif law is not None and measured is not None:
        lines.append(f"The law of gains is not identified ({law.reason}), so only this set's own runs count.")
    lines += reasons
    if recommendation != "leave":
        if gaining:
            lines.append(f"{how}: {_listed(gaining)}.")
        copied = "so look for copies (quality.csv beside the synthetic images)"
        if measured is not None and measured.synthetic is not None:
            copied = f"and {measured.arm} found {measured.synthetic or 'no'} synthetic images to add"
            if measured.copies is not None:
                share, low, high = measured.copies
                copied += f", of which {share:.1f} % [{low:.1f}, {high:.1f}] are copies of training images"
        lines.append(
            f"To balance the set, {int((lacking > 0).sum())} classes lack {int(lacking.sum()):,} images; the smallest "
            f"class has {int(np.min(counts)):,} to learn from, {copied}."
        )
    lines.append(
        {
            "shown": "How sure: shown on this set.",
            "indicated": "How sure: indicated by the law from other sets, not shown on this one.",
            "not known": "How sure: not known; treat this as a question to measure, not as an answer.",
        }[certainty]
    )
    summary = {
        "recommendation": recommendation,
        "certainty": certainty,
        "similarity": similarity,
        "similarity_interval": list(interval),
        "imbalance_ratio": ratio,
        "lacking_images": int(lacking.sum()),
        "worthwhile_points": worthwhile,
        "law": None if law is None else {"identified": law.identified, "reason": law.reason},
        "expected_gain": None if prediction is None else vars(prediction),
        "measured_gain": None if measured is None else _measured_summary(measured),
        "classes_to_gain": gaining,
        "lines": lines,
    }
    return Advice(tuple(lines), summary)


def _by_measurement(measured: MeasuredGain, worthwhile: float) -> tuple[Recommendation, str, list[str]]:
    gain, low, high = measured.over_best
    plain = measured.baseline == ORIGINAL
    against = (
        "the set as it is, which no simpler method beat" if plain else f"the best simpler method, {measured.baseline}"
    )
    seeds = "one seed" if measured.seeds == 1 else f"{measured.seeds} seeds"
    best = f"the best of {measured.arms} ways to use a generator, {measured.arm}" if measured.arms > 1 else measured.arm
    lines = [
        f"Measured here over {seeds}, {best}: {_interval(*measured.over_original)} over the set as it is, "
        f"{_interval(gain, low, high)} over {against}."
    ]
    instead = "leave the set as it is" if plain else f"use {measured.baseline}"
    if low > 0 and gain >= worthwhile:
        lines.append(f"Rebalance with the generator ({measured.arm}): it beats every simpler method.")
        return "generator", "shown", lines
    if low > 0:
        lines.append(
            f"The generator ({measured.arm}) beats every simpler method, but by less than the "
            f"{_points(worthwhile)} that you asked for: {instead}."
        )
        return ("leave" if plain else "simpler"), "shown", lines
    if high < worthwhile:
        lines.append(f"Do not train a generator for this: {instead}; more seeds would hardly change that.")
        return ("leave" if plain else "simpler"), "shown", lines
    first = "Leave the set as it is for now" if plain else f"Use {measured.baseline} for now"
    lines.append(f"{first}: whether the generator does better is open. {_more_seeds(measured, worthwhile)}")
    return "unknown", "not known", lines


def _by_law(prediction: Prediction, worthwhile: float) -> tuple[Recommendation, str, list[str]]:
    simpler = "class weights, repetition or balanced softmax"
    if prediction.low >= worthwhile and not prediction.extrapolated:
        text = f"A generator is likely to pay, but the law compares with the set as it is: run {simpler} beside it."
        return "generator", "indicated", [text]
    if prediction.high < worthwhile:
        text = (
            f"A generator is not likely to bring {_points(worthwhile)}: use {simpler} instead; they cost one training."
        )
        return "simpler", "indicated", [text]
    text = f"That does not tell whether a generator brings {_points(worthwhile)}: begin with {simpler}, then measure."
    return "unknown", "not known", [text]


def _without_either(law: GainLaw | None) -> list[str]:
    why = "no law of gains was fitted" if law is None else f"the law of gains is not identified ({law.reason})"
    return [
        f"Nothing can be predicted for this set: {why}, and no gain was measured on it.",
        "The cheapest next step: train the classifier with class weights, repetition and balanced softmax, with three "
        "seeds each; only if the rare classes are still poor, run the target gm_aug_cls on this set.",
    ]


def _more_seeds(measured: MeasuredGain, worthwhile: float) -> str:
    """About how many seeds would tell, from the width of the interval."""
    _, low, high = measured.over_best
    if not np.isfinite([low, high]).all():
        return "One seed gives no interval: run three at least."
    seeds = int(np.ceil(measured.seeds * ((high - low) / 2 / worthwhile) ** 2))
    if seeds > 50:
        return f"The runs scatter too much to see {_points(worthwhile)} with any affordable number of seeds."
    return f"About {max(seeds, measured.seeds + 2)} seeds would tell {_points(worthwhile)} from none."


def _gaining(
    measured: MeasuredGain | None, counts: np.ndarray, classes: Sequence[str], matrix: np.ndarray | None
) -> tuple[list[str], str]:
    """Names of the classes that gain most, and how this is known."""
    if measured is not None:
        rose = measured.by_class[measured.by_class["gain"] > 0].sort_values("gain", ascending=False, kind="stable")
        known = measured.by_class["p_value"].dropna()
        adjusted = pd.Series(false_discovery_control(known) if len(known) else [], index=known.index, dtype=float)
        shown = rose[adjusted.reindex(rose.index) <= FALSE_DISCOVERIES]
        return [str(name) for name in shown["part"]], "Classes whose recall rose, seed for seed"
    rare = np.flatnonzero((head_middle_tail(counts) == "tail") & (lacking_counts(counts) > 0))
    if matrix is None:
        order = rare[np.argsort(np.asarray(counts)[rare], kind="stable")]
        how = "The rarest classes, the likely candidates for a gain"
    else:
        others = np.where(np.eye(len(classes), dtype=bool), np.nan, matrix)[rare]
        alike = np.nanmean(others, axis=1) if len(classes) > 1 else np.zeros(len(rare))
        order = rare[np.argsort(alike, kind="stable")]
        how = "Candidates for a gain by the published claim (rare classes, least like the others first)"
    return [classes[one] for one in order], how


def _measured_summary(measured: MeasuredGain) -> dict[str, Any]:
    parts = ("gain", "low", "high")
    return {
        "arm": measured.arm,
        "arms": measured.arms,
        "seeds": measured.seeds,
        "over_original": dict(zip(parts, map(_finite, measured.over_original), strict=True)),
        "baseline": measured.baseline,
        "over_best": dict(zip(parts, map(_finite, measured.over_best), strict=True)),
        "synthetic": measured.synthetic,
        "copies_percentage": None if measured.copies is None else list(measured.copies),
    }


def _interval(gain: float, low: float, high: float) -> str:
    interval = f" [{low:+.1f}, {high:+.1f}]" if np.isfinite([low, high]).all() else " (one seed, no interval)"
    return f"{gain:+.1f} points{interval}"


def _points(value: float) -> str:
    return "1 point" if value == 1 else f"{value:g} points"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
