"""Advice for one data set: whether to rebalance it with a generator, in lines that a person can act on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from workflow_scripts.core.files import plain
from workflow_scripts.data.imbalance import head_middle_tail, lacking_counts
from workflow_scripts.rebalancing.copies import FEWEST_GROUPS, SHARE
from workflow_scripts.rebalancing.gain_law import Prediction
from workflow_scripts.rebalancing.gains import MEASURE, MOST_SEEDS, ORIGINAL, WORTHWHILE

Recommendation = Literal["generator", "simpler", "leave", "unknown"]
BALANCED = 1.5  # ratio of the largest to the smallest class below which there is little to rebalance
FALSE_DISCOVERIES = 0.05  # share of classes wrongly said to gain (Benjamini and Hochberg 1995)
NAMED = 5  # classes named in a line
REMEDIES = {
    ORIGINAL: "leaving the set as it is",
    "class-weights": "weighting the loss by class",
    "repetition": "repeating the rare images",
    "balanced-softmax": "balanced softmax",
}
Estimate = tuple[float, float, float]  # with the ends of its 95 % interval


@dataclass(frozen=True)
class MeasuredGain:
    """What was measured on the data set itself, in points, with 95 % intervals over seeds.

    arm: the best of so many `arms`. baseline: the best of the simpler methods. over_original: gain of the arm.
    baseline_gain: of the baseline. over_best: of the best arm over the best baseline, see `over_baselines`, as is
    seeds_needed. tail: gain in the recall of the rarest third of the classes, None if it has none. by_class: columns
    part (class), gain, p_value (two-sided) over the original, of the classes that are as rare in every seed. synthetic:
    the arm's synthetic images, None if not counted. copies: percentage of them that are copies of training images.
    """

    arm: str
    arms: int
    seeds: int
    over_original: Estimate
    baseline: str
    baseline_gain: Estimate | None
    over_best: Estimate
    seeds_needed: float
    tail: Estimate | None
    by_class: pd.DataFrame
    synthetic: int | None = None
    copies: Estimate | None = None


@dataclass(frozen=True)
class Advice:
    """Lines for a person (3 to 8, the answer first), and the same as a JSON-able dictionary."""

    lines: tuple[str, ...]
    summary: dict[str, Any]


def measured_gain(
    improved: pd.DataFrame, over: pd.DataFrame, group: str, arms: int, thirds: Sequence[Mapping[str, str]]
) -> MeasuredGain:
    """What a group gained, from the tables of `improvements` and `over_baselines`.

    arms: ways to use a generator that were compared. thirds: for each seed, head, middle or tail by class. Where the
    seed draws which classes are rare, a class's own gain mixes them, and it is left out.
    """
    best = over[(over["group"] == group) & (over["measure"] == MEASURE)].iloc[0]
    here = improved[improved["group"] == group]

    def estimate(arm: str, measure: str, part: str = "") -> Estimate | None:
        rows = here[(here["arm"] == arm) & (here["measure"] == measure) & (here["part"].fillna("") == part)]
        return None if rows.empty else _estimate(rows.iloc[0])

    arm, baseline = str(best["arm"]), str(best["baseline"])
    over_original = estimate(arm, MEASURE)
    assert over_original is not None
    constant = [name for name, third in thirds[0].items() if all(seed.get(name) == third for seed in thirds)]
    classes = here[(here["arm"] == arm) & (here["measure"] == "class_recall") & here["part"].isin(constant)]
    return MeasuredGain(
        arm=arm,
        arms=arms,
        seeds=int(best["seeds"]),
        over_original=over_original,
        baseline=baseline,
        baseline_gain=estimate(baseline, MEASURE),
        over_best=_estimate(best),
        seeds_needed=float(best["seeds_needed"]),
        tail=estimate(arm, "group_recall", "tail"),
        by_class=classes[["part", "gain", "p_value"]].reset_index(drop=True),
    )


def copied_share(quality: pd.DataFrame) -> Estimate | None:
    """Percentage of copies among all synthetic images of a choice, with its interval, from a table of
    `measure_synthetic`.

    quality: rows of one choice, each with all_copies_percentage, _low and _high; None without images, or where too few
    test images set no threshold.
    """
    first = quality.iloc[0]
    percentage, low, high = (float(first[f"all_copies_{end}"]) for end in ("percentage", "low", "high"))
    return None if np.isnan(percentage) else (percentage, low, high)


def advise(
    similarity: Estimate,
    law: Mapping[str, Any] | None,
    prediction: Prediction | None,
    measured: MeasuredGain | None,
    counts: np.ndarray,
    classes: Sequence[str],
    matrix: np.ndarray | None = None,
) -> Advice:
    """Advice from what is known: gains measured on this very set first, then the law, else the cheapest next step.

    similarity: of all classes of the set. law: a summary of `GainLaw`; prediction: by its curve. counts: (C,) training
    images. matrix: (C, C) similarity of class pairs.
    """
    ratio = float(np.max(counts) / max(np.min(counts), 1))
    lacking = lacking_counts(counts)
    if ratio < BALANCED:
        recommendation: Recommendation = "leave"
        certainty, lines = "shown", ["Leave the set as it is: its classes are about equally large."]
    elif measured is not None:
        recommendation, certainty, lines = _by_measurement(measured)
    elif prediction is not None:
        recommendation, certainty, lines = _by_law(prediction)
    else:
        recommendation, certainty, lines = "unknown", "not known", _without_either(law)
    value, low, high = similarity
    lines.append(
        f"The largest class has {ratio:.3g} times as many images as the smallest. Similarity of the classes (mean SSIM "
        f"of images from two classes, 1 = identical): {value:.3f} ({low:.3f} to {high:.3f})."
    )
    if prediction is not None and measured is not None:
        far = ", though no set of such a similarity was measured" if prediction.extrapolated else ""
        gain = _points((prediction.gain, prediction.low, prediction.high))
        lines.append(f"At that similarity the law of gains predicts {gain} over the set as it is{far}.")
    elif law is not None and measured is not None:
        lines.append(f"Law of gains: {law['reason']}. So only this set's own runs count.")
    gaining, how = _gaining(measured, counts, classes, matrix)
    if recommendation != "leave":
        if measured is not None and measured.tail is not None:
            lines.append(
                f"With {measured.arm}, the recall of the rarest third of the classes changes by "
                f"{_points(measured.tail)}."
            )
        if gaining:
            lines.append(f"{how}: {_listed(gaining)}.")
        lines.append(
            f"To balance the set, {int((lacking > 0).sum())} classes lack {int(lacking.sum()):,} images; the smallest "
            f"class has {int(np.min(counts)):,} to learn from{_copied(measured)}."
        )
    lines.append(
        {
            "shown": "How sure: shown on this set.",
            "indicated": "How sure: indicated by the law from other sets, not shown on this one.",
            "not known": "How sure: not known. Treat this as a question to measure, not as an answer.",
        }[certainty]
    )
    summary = {
        "recommendation": recommendation,
        "certainty": certainty,
        "similarity": value,
        "similarity_interval": [low, high],
        "imbalance_ratio": ratio,
        "lacking_images": int(lacking.sum()),
        "worthwhile_points": WORTHWHILE,
        "law": None if law is None else {key: law[key] for key in ("verdict", "identified", "reason")},
        "expected_gain": None if prediction is None else vars(prediction),
        "measured_gain": None if measured is None else _measured_summary(measured),
        "classes_to_gain": gaining,
        "lines": lines,
    }
    return Advice(tuple(lines), summary)


def _by_measurement(measured: MeasuredGain) -> tuple[Recommendation, str, list[str]]:
    gain, low, high = measured.over_best
    plain = measured.baseline == ORIGINAL
    simpler = REMEDIES.get(measured.baseline, measured.baseline)
    instead: Recommendation = "leave" if plain else "simpler"
    use = "leave the set as it is" if plain else f"use {measured.baseline} instead"
    against = f"{_points(measured.over_best)} of balanced accuracy compared with {simpler}, the best simpler method"
    seeds = "one seed" if measured.seeds == 1 else f"{measured.seeds} seeds"
    ways = f" (the best of {measured.arms} ways to use one, {measured.arm})" if measured.arms > 1 else ""
    gained = f"over the set as it is, the generator{ways} gains {_points(measured.over_original)}"
    if measured.baseline_gain is not None:
        gained += f", {simpler} {_points(measured.baseline_gain)}"
    basis = f"Measured over {seeds}: {gained}."
    if low > 0 and gain >= WORTHWHILE:
        return "generator", "shown", [f"Train a generator for the rare classes: it brings {against}.", basis]
    if low > 0:
        line = f"A generator hardly pays, {use}: it brings {against}, less than the {WORTHWHILE:g} point it should."
        return instead, "shown", [line, basis]
    if high < 0:
        line = (
            f"No, {use}: trained with a generator's images, a classifier is {-gain:.1f} points (95 % interval "
            f"{-high:.1f} to {-low:.1f}) less accurate than by {simpler}, where each class counts the same."
        )
        return instead, "shown", [line, basis]
    if high < WORTHWHILE:
        return instead, "shown", [f"Do not train a generator for this, {use}: a generator brings {against}.", basis]
    if measured.seeds == 1:
        line = "Not enough data to say whether a generator helps: one seed gives no interval. Run at least three seeds"
    else:
        line = f"Not enough data to say whether a generator beats {simpler}: it brings {against}"
        if np.isfinite(measured.seeds_needed):
            line += f". About {measured.seeds_needed - measured.seeds:.0f} more seeds would tell"
        else:
            line += f". Even {MOST_SEEDS} seeds would hardly tell, so the difference is too small to matter much"
    cheap = "leave the set as it is" if plain else f"use {measured.baseline}, which is cheaper"
    return "unknown", "not known", [f"{line}; until then, {cheap}.", basis]


def _by_law(prediction: Prediction) -> tuple[Recommendation, str, list[str]]:
    simpler = "class weights, repetition or balanced softmax"
    gain = f"{_points((prediction.gain, prediction.low, prediction.high))} over the set as it is"
    if prediction.low >= WORTHWHILE and not prediction.extrapolated:
        line = (
            f"A generator is likely to pay: other sets predict {gain}. Simpler methods may do as well: try {simpler}."
        )
        return "generator", "indicated", [line]
    if prediction.high < WORTHWHILE:
        return "simpler", "indicated", [f"A generator is not likely to pay: other sets predict {gain}. Use {simpler}."]
    far = ", and no set of such a similarity was measured" if prediction.extrapolated else ""
    line = (
        f"Not enough data to say whether a generator pays: other sets predict {gain}{far}. Begin with {simpler}, then "
    )
    return "unknown", "not known", [line + "run the target gm_aug_cls on this set."]


def _without_either(law: Mapping[str, Any] | None) -> list[str]:
    why = "no law of gains was fitted" if law is None else f"the law of gains predicts nothing here ({law['reason']})"
    return [
        f"Nothing can be said about a generator for this set: no gain was measured on it, and {why}.",
        "The cheapest next step: train the classifier with class weights, repetition and balanced softmax, with three "
        "seeds each. If the rare classes are still poor, run the target gm_aug_cls on this set.",
    ]


def _copied(measured: MeasuredGain | None) -> str:
    if measured is None or measured.synthetic is None:
        return ", so look for copies (quality.csv beside the synthetic images)"
    said = f"; {measured.arm} found {measured.synthetic or 'no'} synthetic images to add"
    if measured.synthetic and measured.copies is None:
        said += f"; to count the copies among them takes {round(1 / SHARE)} test images of {FEWEST_GROUPS} groups"
    if measured.copies is not None:
        share, low, high = measured.copies
        said += f", of which {share:.1f} % ({low:.1f} to {high:.1f}) are copies of training images"
    return said


def _gaining(
    measured: MeasuredGain | None, counts: np.ndarray, classes: Sequence[str], matrix: np.ndarray | None
) -> tuple[list[str], str]:
    """Names of the classes that gain most, and how this is known."""
    if measured is not None:
        known = measured.by_class.dropna(subset="p_value")
        adjusted = false_discovery_control(known["p_value"]) if len(known) else np.empty(0)
        rose = known[(adjusted <= FALSE_DISCOVERIES) & (known["gain"] > 0)]
        rose = rose.sort_values("gain", ascending=False, kind="stable")
        return rose["part"].astype(str).tolist(), "Classes whose recall rises with it"
    rare = np.flatnonzero((head_middle_tail(counts) == "tail") & (lacking_counts(counts) > 0))
    if matrix is None:
        order = rare[np.argsort(np.asarray(counts)[rare], kind="stable")]
        how = "The rarest classes, the likely candidates for a gain"
    else:
        others = np.where(np.eye(len(classes), dtype=bool), np.nan, matrix)[rare]
        alike = np.nanmean(others, axis=1) if len(classes) > 1 else np.zeros(len(rare))
        order = rare[np.argsort(alike, kind="stable")]
        how = "Candidates for a gain by the published claim (rare classes, least like the others first)"
    return [classes[index] for index in order], how


def _measured_summary(measured: MeasuredGain) -> dict[str, Any]:
    def as_dictionary(estimate: Estimate | None) -> dict[str, float | None] | None:
        return estimate and dict(zip(("gain", "low", "high"), map(plain, estimate), strict=True))

    return {
        "arm": measured.arm,
        "arms": measured.arms,
        "seeds": measured.seeds,
        "seeds_needed": plain(measured.seeds_needed),
        "over_original": as_dictionary(measured.over_original),
        "baseline": measured.baseline,
        "baseline_gain": as_dictionary(measured.baseline_gain),
        "over_best": as_dictionary(measured.over_best),
        "tail": as_dictionary(measured.tail),
        "synthetic": measured.synthetic,
        "copies_percentage": None if measured.copies is None else list(measured.copies),
    }


def _estimate(row: pd.Series) -> Estimate:
    return float(row["gain"]), float(row["low"]), float(row["high"])


def _points(estimate: Estimate) -> str:
    gain, low, high = estimate
    interval = f" ({low:+.1f} to {high:+.1f})" if np.isfinite([low, high]).all() else " (one seed, no interval)"
    return f"{gain:+.1f} points{interval}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
