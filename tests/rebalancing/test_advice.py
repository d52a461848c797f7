"""Advice: what is known decides, and what is not known is said."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.rebalancing.advice import MeasuredGain, advise, copied_share, measured_gain
from workflow_scripts.rebalancing.gain_law import GainLaw, GainPoints, fit_gain_law
from workflow_scripts.rebalancing.gains import improvements, over_baselines

NAMES = ("ant", "bee", "cat", "dog", "elk", "fox")
COUNTS = np.array([500, 200, 100, 50, 20, 10])
SIMILARITY, INTERVAL = 0.2, (0.19, 0.21)


def law(level: float = 20.0, rate: float = 8.0) -> GainLaw:
    similarity = np.linspace(0.05, 0.35, 8)
    gain = level * np.exp(-rate * similarity) + 0.1 * np.random.default_rng(0).standard_normal(8)
    return fit_gain_law(GainPoints(similarity, np.full(8, 0.002), gain, np.full(8, 0.1), ("set",) * 8))


def measured(over: tuple[float, float, float], baseline: str = "class weights", seeds: int = 4) -> MeasuredGain:
    gain, p_value = [0.0, 1, 2, 9, 5, -8], [1.0, 0.4, 0.04, 0.001, 0.01, 0.001]
    by_class = pd.DataFrame({"part": NAMES, "gain": gain, "p_value": p_value})
    return MeasuredGain("classifier, step 1", 2, seeds, (4.0, 2.0, 6.0), baseline, over, by_class)


CASES = {
    "nothing known": ({}, "unknown", "not known", "Nothing can be predicted for this set: no law of gains was fitted"),
    "law of two points": ({"law": fit_gain_law(law().points.only(np.arange(2)))}, "unknown", "not known", "at least 4"),
    "law of a gain": ({"law": law()}, "generator", "indicated", "A generator is likely to pay"),
    "law of no gain": ({"law": law(0.8, 3.0)}, "simpler", "indicated", "not likely to bring 1 point:"),
    "law of little": ({"law": law(), "worthwhile": 4.0}, "unknown", "not known", "does not tell"),
    "better": ({"measured": measured((3.0, 1.0, 5.0))}, "generator", "shown", "it beats every simpler method."),
    "little better": ({"measured": measured((0.5, 0.1, 0.9))}, "simpler", "shown", "less than the 1 point that you"),
    "not better": ({"measured": measured((-2.0, -4.0, 0.0))}, "simpler", "shown", "use class weights"),
    "no use at all": ({"measured": measured((-2.0, -4.0, 0.0), "original")}, "leave", "shown", "leave the set as"),
    "open": ({"measured": measured((1.0, -1.0, 3.0))}, "unknown", "not known", "About 16 seeds would tell"),
    "one seed": ({"measured": measured((1.0, np.nan, np.nan), seeds=1)}, "unknown", "not known", "run three at least"),
    "measured against law": (
        {"measured": measured((-2.0, -4.0, 0.0)), "law": law()}, "simpler", "shown", "the law expects a gain"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_known_decides(case: str) -> None:
    given, recommendation, certainty, words = CASES[case]
    arguments = {"law": None, "measured": None} | given
    advice = advise(SIMILARITY, INTERVAL, counts=COUNTS, classes=NAMES, **arguments)
    assert (advice.summary["recommendation"], advice.summary["certainty"]) == (recommendation, certainty)
    assert words in " ".join(advice.lines)
    assert 3 <= len(advice.lines) <= 8
    assert json.loads(json.dumps(advice.summary, allow_nan=False))["lines"] == list(advice.lines)


def test_no_gain_is_promised_without_a_law_or_a_measurement() -> None:
    advice = advise(SIMILARITY, INTERVAL, None, None, COUNTS, NAMES)
    assert advice.summary["expected_gain"] is None
    assert "points" not in " ".join(advice.lines)
    assert "gm_aug_cls" in " ".join(advice.lines)


def test_far_from_the_measured_sets_the_law_decides_nothing_good() -> None:
    advice = advise(0.01, (0.0, 0.02), law(), None, COUNTS, NAMES)
    assert advice.summary["expected_gain"]["extrapolated"]
    assert advice.summary["recommendation"] == "unknown"
    assert "extrapolated" in " ".join(advice.lines)


def test_a_balanced_set_is_left_alone() -> None:
    advice = advise(SIMILARITY, INTERVAL, law(), None, np.full(6, 100), NAMES)
    assert advice.summary["recommendation"] == "leave"
    assert "little to rebalance" in " ".join(advice.lines)


def test_the_classes_to_gain_are_measured_or_rare_and_unlike_the_others() -> None:
    known = advise(SIMILARITY, INTERVAL, None, measured((3.0, 1.0, 5.0)), COUNTS, NAMES)
    assert known.summary["classes_to_gain"] == ["dog", "elk"]
    matrix = np.full((6, 6), 0.3)
    matrix[4, :] = matrix[:, 4] = 0.1
    guessed = advise(SIMILARITY, INTERVAL, None, None, COUNTS, NAMES, matrix)
    assert guessed.summary["classes_to_gain"] == ["elk", "fox"]
    assert advise(SIMILARITY, INTERVAL, None, None, COUNTS, NAMES).summary["classes_to_gain"] == ["fox", "elk"]


def test_copies_among_the_synthetic_images_are_said() -> None:
    quality = pd.DataFrame({"synthetic": [30, 10, 0], "copies_percentage": [0.0, 40.0, np.nan]})
    share, low, high = copied_share(quality)
    assert share == pytest.approx(10)
    assert (low, high) == pytest.approx((3.96, 23.05), abs=0.01)  # Wilson, 4 of 40
    assert copied_share(quality[2:]) is None
    gain = replace(measured((3.0, 1.0, 5.0)), synthetic=40, copies=(share, low, high))
    known = advise(SIMILARITY, INTERVAL, None, gain, COUNTS, NAMES)
    said = "classifier, step 1 found 40 synthetic images to add, of which 10.0 % [4.0, 23.1] are copies"
    assert said in " ".join(known.lines)
    none = advise(SIMILARITY, INTERVAL, None, replace(gain, synthetic=0, copies=None), COUNTS, NAMES)
    assert "found no synthetic images to add." in " ".join(none.lines)
    assert known.summary["measured_gain"]["copies_percentage"] == [share, low, high]
    assert "quality.csv" in " ".join(advise(SIMILARITY, INTERVAL, None, None, COUNTS, NAMES).lines)


def test_the_best_arm_is_taken_from_the_tables() -> None:
    random = np.random.default_rng(0)
    rows = [
        ("set", arm, seed, measure, part, level + random.normal())
        for arm, level in (("original", 60), ("weights", 64), ("random", 62), ("classifier", 70))
        for seed in range(3)
        for measure, part in (("balanced_accuracy", ""), ("class_recall", "ant"))
    ]
    table = pd.DataFrame(rows, columns=["group", "arm", "seed", "measure", "part", "value"])
    over = over_baselines(table, ["random", "classifier"], ["original", "weights"])
    found = measured_gain(improvements(table), over, "set")
    assert (found.arm, found.arms, found.baseline, found.seeds) == ("classifier", 2, "weights", 3)
    assert found.over_original[0] > found.over_best[0] > 3
    assert found.by_class["part"].tolist() == ["ant"]
