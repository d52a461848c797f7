"""Gains: measures as in scikit-learn, intervals as of the paired t-test, and no gain from the same runs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as t_distribution
from scipy.stats import ttest_rel
from sklearn import metrics

from workflow_scripts.core.errors import InputError
from workflow_scripts.rebalancing.gains import (
    class_recalls,
    confusion,
    improvements,
    over_baselines,
    overall_measures,
    run_rows,
)

NAMES = ("a", "b", "c")


def runs(values: dict[str, list[float]], group: str = "set", measure: str = "accuracy") -> pd.DataFrame:
    rows = [(group, arm, seed, measure, "", one) for arm, some in values.items() for seed, one in enumerate(some)]
    return pd.DataFrame(rows, columns=["group", "arm", "seed", "measure", "part", "value"])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
@pytest.mark.filterwarnings("ignore::UserWarning")  # scikit-learn warns of predicted classes without images
def test_measures_agree_with_scikit_learn(pairs) -> None:
    labels, predictions = np.array(pairs).T
    matrix = confusion(labels, predictions, 4)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(labels, predictions, labels=range(4)))
    found = overall_measures(matrix)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predictions))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, predictions))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(labels, predictions, average="macro", zero_division=0))
    present = np.unique(labels)
    recalls = metrics.recall_score(labels, predictions, labels=present, average=None)
    np.testing.assert_allclose(class_recalls(matrix)[present], recalls)


def test_rows_of_a_run_average_the_evaluations_and_the_groups() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    predictions = np.array([[0, 0, 1, 1, 2, 2], [0, 0, 1, 0, 0, 0]])
    rows = run_rows("set", "original", 0, labels, predictions, NAMES, np.array(["head", "tail", "tail"]))
    values = rows.set_index(["measure", "part"])["value"]
    assert values["accuracy", ""] == pytest.approx(75)
    assert values["class_recall", "b"] == pytest.approx(75)
    assert values["class_recall", "c"] == pytest.approx(50)
    assert values["group_recall", "tail"] == pytest.approx(62.5)
    assert "middle" not in set(rows["part"])


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=8))
def test_gains_are_those_of_the_paired_t_test(pairs) -> None:
    before, after = np.round(np.array(pairs).T, 3)
    if np.ptp(after - before) < 1e-6:
        return
    row = improvements(runs({"original": list(before), "augmented": list(after)})).iloc[0]
    wanted = ttest_rel(after, before)
    interval = wanted.confidence_interval()
    np.testing.assert_allclose(
        row[["gain", "low", "high", "p_value"]].astype(float),
        [(after - before).mean(), max(-100, interval.low), min(100, interval.high), wanted.pvalue],
        rtol=1e-6,
        atol=1e-9,
    )


def test_the_same_runs_show_no_gain() -> None:
    values = [71.0, 72.5, 70.0]
    table = runs({"original": values, "augmented": values, "repetition": values})
    row = improvements(table).set_index("arm").loc["augmented"]
    assert row[["gain", "low", "high", "p_value"]].tolist() == [0, 0, 0, 1]
    over = over_baselines(table, ["augmented"], ["original", "repetition"]).iloc[0]
    assert (over["gain"], over["low"], over["high"], over["p_value"]) == (0, 0, 0, 0.5)


def test_an_arm_that_repeats_what_is_there_shows_no_gain_over_seeds() -> None:
    random = np.random.default_rng(0)
    wrongly = 0
    for _ in range(200):
        both = random.normal(70, 1, (2, 5))
        wrongly += bool(improvements(runs({"original": list(both[0]), "augmented": list(both[1])}))["low"].iloc[0] > 0)
    assert wrongly <= 12  # 2.5 % expected


def test_pairs_need_both_arms_and_one_seed_has_no_interval() -> None:
    table = runs({"original": [50.0, 60.0], "augmented": [55.0]})
    row = improvements(table).iloc[0]
    assert (row["seeds"], row["gain"]) == (1, 5.0)
    assert np.isnan([row["low"], row["high"], row["se"], row["p_value"]]).all()
    with pytest.raises(InputError, match="no arm 'original'"):
        improvements(runs({"augmented": [1.0], "other": [1.0]}))
    with pytest.raises(InputError, match="is there twice"):
        improvements(pd.concat([table, table]))


def test_the_error_is_pooled_over_the_groups() -> None:
    """Two groups of two seeds: the variances' mean, and Student's quantile of two degrees of freedom."""
    one = runs({"original": [0.0, 0.0], "augmented": [1.0, 3.0]}, "one")
    two = runs({"original": [0.0, 0.0], "augmented": [2.0, 2.0]}, "two")
    found = improvements(pd.concat([one, two])).set_index("group")
    np.testing.assert_allclose(found["se"], np.sqrt(0.5))
    half = t_distribution.ppf(0.975, 2) * np.sqrt(0.5)
    np.testing.assert_allclose(found[["gain", "low", "high"]], [[2, 2 - half, 2 + half]] * 2)


def test_few_seeds_of_several_groups_cover_the_truth() -> None:
    random = np.random.default_rng(2)
    inside = []
    for _ in range(200):
        parts = [
            runs({"original": list(random.normal(60, 2, 2)), "augmented": list(random.normal(65, 2, 2))}, f"group-{i}")
            for i in range(4)
        ]
        found = improvements(pd.concat(parts))
        inside += ((found["low"] <= 5) & (found["high"] >= 5)).tolist()
    assert 0.93 < np.mean(inside) < 0.97
    assert (found["high"] - found["low"]).max() < 25


def test_a_gain_counts_only_over_the_best_baseline() -> None:
    table = runs(
        {
            "original": [60.0, 61.0, 62.0],
            "weights": [66.0, 67.2, 67.9],
            "repetition": [64.0, 65.0, 66.3],
            "augmented": [66.1, 67.0, 68.1],
        }
    )
    row = over_baselines(table, ["augmented"], ["original", "weights", "repetition"]).iloc[0]
    assert row["baseline"] == "weights"
    assert row["gain"] == pytest.approx(0.0333, abs=1e-3)
    assert row["low"] < 0 < row["high"]
    assert row["p_value"] > 0.3
    assert improvements(table).set_index("arm").loc["augmented", "low"] > 0
    with pytest.raises(InputError, match="no arm 'mixup'"):
        over_baselines(table, ["augmented"], ["mixup"])


def test_the_interval_over_the_best_of_equal_baselines_covers_the_truth() -> None:
    random = np.random.default_rng(1)
    arms = ["augmented", "original", "weights", "repetition", "softmax"]
    inside, above = 0, 0
    for _ in range(150):
        table = runs({arm: list(random.normal(70, 1, 4)) for arm in arms})
        row = over_baselines(table, arms[:1], arms[1:]).iloc[0]
        inside += bool(row["low"] <= 0 <= row["high"])
        above += bool(row["p_value"] < 0.05)
    assert inside >= 138
    assert above <= 12
