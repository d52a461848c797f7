"""Advice: what is known decides, and what is not known is said."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.rebalancing.advice import Estimate, MeasuredGain, advise, copied_share, measured_gain
from workflow_scripts.rebalancing.gain_law import Prediction
from workflow_scripts.rebalancing.gains import improvements, over_baselines

NAMES = ("ant", "bee", "cat", "dog", "elk", "fox")
COUNTS = np.array([500, 200, 100, 50, 20, 10])
SIMILARITY = (0.2, 0.19, 0.21)
LAW = {"verdict": "identified", "identified": True, "reason": "gains fall with similarity"}
NO_LAW = {"verdict": "not enough", "identified": False, "reason": "measured on 2 data sets, at least 4 are needed"}


def predicted(gain: float, half: float, extrapolated: bool = False) -> dict[str, object]:
    return {"law": LAW, "prediction": Prediction(gain, gain - half, gain + half, extrapolated)}


def measured(over: Estimate, baseline: str = "class-weights", seeds: int = 4, needed: float = 16.0) -> MeasuredGain:
    gain, p_value = [0.0, 1, 2, 9, 5, -8], [1.0, 0.4, 0.04, 0.001, 0.01, 0.001]
    return MeasuredGain(
        arm="gan.classifier-1",
        arms=2,
        seeds=seeds,
        over_original=(4.0, 2.0, 6.0),
        baseline=baseline,
        baseline_gain=(3.0, 1.0, 5.0),
        over_best=over,
        seeds_needed=needed,
        tail=(9.0, 3.0, 15.0),
        by_class=pd.DataFrame({"part": NAMES, "gain": gain, "p_value": p_value}),
    )


CASES = {
    "nothing known": ({}, "unknown", "not known", "and no law of gains was fitted"),
    "no law": ({"law": NO_LAW}, "unknown", "not known", "at least 4 are needed"),
    "law of a gain": (predicted(4.0, 2.0), "generator", "indicated", "A generator is likely to pay"),
    "law of no gain": (predicted(0.2, 0.5), "simpler", "indicated", "A generator is not likely to pay"),
    "law of little": (predicted(2.0, 2.0), "unknown", "not known", "Not enough data to say whether a generator pays"),
    "far law": (predicted(4.0, 2.0, True), "unknown", "not known", "no set of such a similarity was measured"),
    "better": ({"measured": measured((3.0, 1.0, 5.0))}, "generator", "shown", "Train a generator for the rare"),
    "little better": ({"measured": measured((0.5, 0.1, 0.9))}, "simpler", "shown", "less than the 1 point it should"),
    "not better": ({"measured": measured((-2.0, -4.0, 0.0))}, "simpler", "shown", "Do not train a generator for this"),
    "no use": ({"measured": measured((-2.0, -4.0, 0.0), "original")}, "leave", "shown", "leave the set as it is"),
    "open": ({"measured": measured((1.0, -1.0, 3.0))}, "unknown", "not known", "About 12 more seeds would tell"),
    "hopeless": ({"measured": measured((1.0, -9.0, 9.0), needed=np.nan)}, "unknown", "not known", "Even 50 seeds"),
    "one seed": (
        {"measured": measured((1.0, np.nan, np.nan), seeds=1)}, "unknown", "not known", "Run at least three seeds"
    ),
    "measured against law": (
        {"measured": measured((-2.0, -4.0, 0.0))} | predicted(4.0, 2.0), "simpler", "shown", "the law of gains predicts"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_known_decides(case: str) -> None:
    known, recommendation, certainty, words = CASES[case]
    arguments = {"law": None, "prediction": None, "measured": None} | known
    advice = advise(SIMILARITY, counts=COUNTS, classes=NAMES, **arguments)
    assert (advice.summary["recommendation"], advice.summary["certainty"]) == (recommendation, certainty)
    assert words in " ".join(advice.lines)
    assert 3 <= len(advice.lines) <= 8
    assert json.loads(json.dumps(advice.summary, allow_nan=False))["lines"] == list(advice.lines)


def test_the_first_line_is_the_answer_with_its_number_and_interval() -> None:
    advice = advise(SIMILARITY, None, None, measured((-12.0, -16.0, -8.0), "repetition"), COUNTS, NAMES)
    assert advice.lines[0] == (
        "No, use repetition instead: trained with a generator's images, a classifier is 12.0 points (95 % interval "
        "8.0 to 16.0) less accurate than by repeating the rare images, where each class counts the same."
    )


def test_no_gain_is_promised_without_a_law_or_a_measurement() -> None:
    advice = advise(SIMILARITY, None, None, None, COUNTS, NAMES)
    assert advice.summary["expected_gain"] is None
    assert "points" not in " ".join(advice.lines)
    assert "gm_aug_cls" in " ".join(advice.lines)


def test_a_balanced_set_is_left_alone() -> None:
    advice = advise(SIMILARITY, None, None, None, np.full(6, 100), NAMES)
    assert advice.summary["recommendation"] == "leave"
    assert "about equally large" in advice.lines[0]


def test_the_classes_to_gain_are_measured_or_rare_and_unlike_the_others() -> None:
    def named(gain: MeasuredGain | None = None, matrix: np.ndarray | None = None) -> list[str]:
        return advise(SIMILARITY, None, None, gain, COUNTS, NAMES, matrix).summary["classes_to_gain"]

    assert named(measured((3.0, 1.0, 5.0))) == ["dog", "elk"]
    matrix = np.full((6, 6), 0.3)
    matrix[4, :] = matrix[:, 4] = 0.1
    assert named(matrix=matrix) == ["elk", "fox"]
    assert named() == ["fox", "elk"]


def test_copies_among_the_synthetic_images_are_said() -> None:
    quality = pd.DataFrame({"all_copies_percentage": [10.0] * 2, "all_copies_low": 3.96, "all_copies_high": 23.05})
    share, low, high = copied_share(quality)
    assert (share, low, high) == (10.0, 3.96, 23.05)
    assert copied_share(quality * np.nan) is None
    gain = replace(measured((3.0, 1.0, 5.0)), synthetic=40, copies=(share, low, high))
    known = advise(SIMILARITY, None, None, gain, COUNTS, NAMES)
    said = "gan.classifier-1 found 40 synthetic images to add, of which 10.0 % (4.0 to 23.1) are copies"
    assert said in " ".join(known.lines)
    assert known.summary["measured_gain"]["copies_percentage"] == [share, low, high]
    none = advise(SIMILARITY, None, None, replace(gain, synthetic=0, copies=None), COUNTS, NAMES)
    assert "found no synthetic images to add." in " ".join(none.lines)
    uncounted = advise(SIMILARITY, None, None, replace(gain, copies=None), COUNTS, NAMES)
    assert "takes 100 test images of 20 groups" in " ".join(uncounted.lines)
    assert "quality.csv" in " ".join(advise(SIMILARITY, None, None, None, COUNTS, NAMES).lines)


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
    thirds = [{"ant": "tail"}] * 3
    gain = measured_gain(improvements(table), over, "set", 2, thirds)
    assert (gain.arm, gain.arms, gain.baseline, gain.seeds) == ("classifier", 2, "weights", 3)
    assert gain.over_original[0] > gain.over_best[0] > 3
    assert gain.baseline_gain[0] == pytest.approx(gain.over_original[0] - gain.over_best[0])
    assert gain.by_class["part"].tolist() == ["ant"]
    # A class that is rare in one seed and common in another has no gain of its own.
    mixed = measured_gain(improvements(table), over, "set", 2, [*thirds, {"ant": "head"}])
    assert mixed.by_class.empty
