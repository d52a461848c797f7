"""Gains: measures as in scikit-learn, intervals as of the paired t-test, and no gain from the same runs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    rows = [(group, arm, seed, measure, "", value) for arm, own in values.items() for seed, value in enumerate(own)]
    return pd.DataFrame(rows, columns=["group", "arm", "seed", "measure", "part", "value"])


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
@pytest.mark.filterwarnings("ignore::UserWarning")  # scikit-learn warns of predicted classes without images
def test_measures_agree_with_scikit_learn(pairs) -> None:
    labels, predictions = np.array(pairs).T
    matrix = confusion(labels, predictions, 4)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(labels, predictions, labels=range(4)))
    overall = overall_measures(matrix)
    assert overall["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predictions))
    assert overall["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, predictions))
    assert overall["macro_f1"] == pytest.approx(metrics.f1_score(labels, predictions, average="macro", zero_division=0))
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


@settings(max_examples=20)
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
    assert over[["gain", "low", "high", "p_value"]].tolist() == [0, 0, 0, 0.5]


def test_pairs_need_both_arms_and_one_seed_has_no_interval() -> None:
    table = runs({"original": [50.0, 60.0], "augmented": [55.0]})
    row = improvements(table).iloc[0]
    assert (row["seeds"], row["gain"]) == (1, 5.0)
    assert np.isnan([row["low"], row["high"], row["se"], row["p_value"]]).all()
    with pytest.raises(InputError, match="no arm 'original'"):
        improvements(runs({"augmented": [1.0], "other": [1.0]}))
    with pytest.raises(InputError, match="is there twice"):
        improvements(pd.concat([table, table]))


def test_groups_do_not_share_their_error() -> None:
    loud = runs({"original": [0.0, 0.0, 0.0], "augmented": [10.0, 30.0, 2.0]}, "loud")
    calm = runs({"original": [0.0, 0.0, 0.0], "augmented": [1.0, 1.5, 2.0]}, "calm")
    both = improvements(pd.concat([loud, calm])).set_index("group")
    for group, table in (("loud", loud), ("calm", calm)):
        assert both.loc[group, "se"] == improvements(table)["se"].iloc[0]


def test_equal_differences_tell_nothing_of_their_scatter() -> None:
    row = improvements(runs({"original": [50.0, 60.0], "augmented": [51.0, 61.0]})).iloc[0]
    assert row["gain"] == 1
    assert np.isnan([row["low"], row["high"], row["p_value"]]).all()


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


def test_choosing_among_many_arms_costs_no_false_claims() -> None:
    """Nine arms and four baselines that are all alike: the best of each are compared."""
    random = np.random.default_rng(1)
    arms, baselines = [f"arm-{i}" for i in range(9)], ["original", "weights", "repetition", "softmax"]
    rows = [
        over_baselines(runs({arm: list(random.normal(70, 1, 3)) for arm in (*arms, *baselines)}), arms, baselines)
        for _ in range(60)
    ]
    table = pd.concat(rows)
    assert ((table["low"] <= 0) & (table["high"] >= 0)).sum() >= 56
    assert (table["p_value"] < 0.05).sum() <= 5


def test_the_seeds_that_are_said_to_be_enough_are_enough() -> None:
    random = np.random.default_rng(3)

    def table(seeds: int, gain: float) -> pd.DataFrame:
        rows = {arm: list(random.normal(70, 1, seeds)) for arm in ("original", "weights")}
        return runs({**rows, "augmented": list(random.normal(70 + gain, 1, seeds))})

    few = over_baselines(table(3, 4.0), ["augmented"], ["original", "weights"]).iloc[0]
    assert few["low"] < 0 < few["high"]
    needed = int(few["seeds_needed"])
    many = [over_baselines(table(needed, 4.0), ["augmented"], ["original", "weights"]).iloc[0] for _ in range(20)]
    assert sum(row["low"] > 0 for row in many) >= 13
    assert all(row["seeds_needed"] == needed for row in many if row["low"] > 0)
    alone = over_baselines(table(1, 4.0), ["augmented"], ["original", "weights"]).iloc[0]
    assert np.isnan(alone[["low", "high", "p_value", "seeds_needed"]].astype(float)).all()
