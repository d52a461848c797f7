"""The one-shot estimate of a study: planted copies are predicted from what was left in, and everything is said."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.laws.test_study import PUBLISHED, make_table
from workflow_scripts.laws.drawing import draw_one_shot
from workflow_scripts.laws.one_shot_study import (
    PairEstimate,
    answer,
    curve_of,
    estimate_pairs,
    measured_enough,
    measured_excess,
    summarise,
)
from workflow_scripts.laws.published import read_replication
from workflow_scripts.laws.size_law import DimensionCurve

SIZES = (16, 32, 64, 128, 256)


def curve_points() -> list[dict]:
    points = [{"size": size, "dimension": 2 + 1.5 * np.log(size)} for size in (*SIZES, 512)]
    return [one | {"low": one["dimension"] - 0.1, "high": one["dimension"] + 0.1} for one in points]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    table = make_table()
    return table[(table["threshold"] == "calibrated-0.01") & (table["size"] >= 16)]


@pytest.fixture(scope="module")
def curve() -> DimensionCurve:
    found = curve_of([{"size": 8, "dimension": None, "low": None, "high": None}, *curve_points()])
    assert found is not None
    return found


@pytest.fixture(scope="module")
def found(table: pd.DataFrame, curve: DimensionCurve) -> dict[str, PairEstimate]:
    return estimate_pairs(table, "fashion-mnist", curve, read_replication(PUBLISHED), 1.0)


def test_the_growth_of_the_dimension_needs_two_sizes(curve: DimensionCurve) -> None:
    assert curve.slope == pytest.approx(1.5)
    assert curve_of(curve_points()[:1]) is None


def test_each_size_is_predicted_without_its_own_measurement(
    table: pd.DataFrame, curve: DimensionCurve, found: dict[str, PairEstimate]
) -> None:
    trials = found["biggan"].trials
    assert trials[trials["trial"] == "one_shot"]["size"].tolist() == list(SIZES[1:])
    assert trials[trials["trial"] == "leave_one_out"]["size"].tolist() == list(SIZES)
    # What is predicted for 64 images does not change with what was measured there.
    other = table.assign(replicas=np.where(table["size"] == 64, 1000, table["replicas"]))
    again = estimate_pairs(other, "fashion-mnist", curve, read_replication(PUBLISHED), 1.0)["biggan"].trials
    same = trials[trials["size"] == 64]["predicted"].to_numpy()
    np.testing.assert_allclose(again[again["size"] == 64]["predicted"], same, rtol=1e-6)


def test_from_five_sizes_the_sixth_is_near_its_prediction(found: dict[str, PairEstimate]) -> None:
    for one in found.values():
        trials = one.predictions("leave_one_out")
        assert len(trials) == 5
        assert trials["inside"].mean() >= 0.8
        assert (
            trials["inside"]
            == ((trials["low"] <= trials["measured_high"]) & (trials["high"] >= trials["measured_low"]))
        ).all()


def test_the_safe_size_of_planted_copies_is_found(found: dict[str, PairEstimate]) -> None:
    # 90 % at 16 images, falling as size^-2: 1 % at 16 * 90^(1/2).
    safe = found["biggan"].estimate.safe_size
    assert safe.low <= 16 * 90**0.5 <= safe.high


def test_a_safe_size_far_beyond_everything_is_none(table: pd.DataFrame, curve: DimensionCurve) -> None:
    flat = table.assign(replicas=np.where(table["size"] == 16, 600, np.where(table["size"] == 32, 560, 525)))
    one = estimate_pairs(flat, "fashion-mnist", curve, read_replication(PUBLISHED), 0.001)["biggan"]
    assert "far from all that was measured" in one.estimate.reason
    assert measured_enough(one.points, 1.0) is None


def test_seeds_are_pooled_and_the_background_is_taken_off(found: dict[str, PairEstimate]) -> None:
    points = found["biggan"].points
    some = points.select(points.size == 16)
    value, low, high = measured_excess(some)
    share = some.replicas.sum() / some.samples.sum()
    assert value == pytest.approx(100 * (share - 0.01) / 0.99)
    assert low < value < high


def test_summary_and_answer_say_everything(found: dict[str, PairEstimate], curve: DimensionCurve) -> None:
    about = {"dataset": "fashion-mnist", "wanted_percentage": 1.0}
    summary = summarise(found, curve, curve_points(), about)
    assert summary["dimension"]["measured"] == curve_points()
    text = json.dumps(summary, allow_nan=False)
    for key in ("smallest_safe_size", "assumptions", "warnings", "measured", "predicted", "trials", "dimension"):
        assert f'"{key}"' in text
    lines = answer(found, "fashion-mnist", 1.0)
    assert 3 <= len(lines) <= 8
    assert any("train on at least" in line for line in lines)
    figure = draw_one_shot(found, 1.0, "pixel")
    assert len(figure.axes) == 2 * len(found)


def test_without_copies_the_answer_says_why_there_is_no_estimate(table: pd.DataFrame, curve: DimensionCurve) -> None:
    none = estimate_pairs(
        table.assign(replicas=0, background_percentage=0.0), "fashion-mnist", curve, read_replication(PUBLISHED), 1.0
    )
    measured, law = [one for one in answer(none, "fashion-mnist", 1.0) if one.startswith("biggan")]
    assert "from 16 training images on" in measured
    assert "no safe size" in law
    assert len(draw_one_shot(none, 1.0, "pixel").axes) == 4
