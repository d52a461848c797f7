"""The estimate of a study: planted copies are predicted from what was left in, refusals are counted, all is said."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.laws.test_study import PUBLISHED, RATES, make_table
from workflow_scripts.laws.answer import answer, summarise
from workflow_scripts.laws.drawing_one_shot import draw_one_shot, one_shot_table
from workflow_scripts.laws.published import read_replication
from workflow_scripts.laws.size_law import DimensionCurve
from workflow_scripts.laws.trials import PairEstimate, curve_of, estimate_pairs

SIZES = (16, 32, 64, 128, 256)


def curve_points() -> list[dict]:
    points = [{"size": size, "dimension": 9 + 1.5 * np.log(size)} for size in (*SIZES, 512)]
    return [point | {"low": point["dimension"] - 0.1, "high": point["dimension"] + 0.1} for point in points]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    table = make_table()
    return table[(table["threshold"] == "calibrated-0.01") & (table["size"] >= 16)]


@pytest.fixture(scope="module")
def curve() -> DimensionCurve:
    curve = curve_of([{"size": 8, "dimension": None, "low": None, "high": None}, *curve_points()])
    assert curve is not None
    return curve


def estimate(table: pd.DataFrame, curve: DimensionCurve | None, wanted: float = 1.0) -> dict[str, PairEstimate]:
    return estimate_pairs(table, "fashion-mnist", curve, read_replication(PUBLISHED), wanted)


@pytest.fixture(scope="module")
def estimates(table: pd.DataFrame, curve: DimensionCurve) -> dict[str, PairEstimate]:
    return estimate(table, curve)


def test_the_growth_of_the_dimension_needs_two_sizes(curve: DimensionCurve) -> None:
    assert curve.slope == pytest.approx(1.5)
    assert curve_of(curve_points()[:1]) is None


def test_each_size_is_predicted_without_its_own_runs(estimates: dict[str, PairEstimate]) -> None:
    trials = estimates["biggan"].trials
    assert trials[trials["trial"] == "one_shot"]["size"].tolist() == list(SIZES[1:])
    assert trials[trials["trial"] == "leave_one_out"]["size"].tolist() == list(SIZES)
    made = pd.concat([estimated.predictions("leave_one_out") for estimated in estimates.values()])
    assert made["inside"].mean() >= 0.8
    assert (made["inside"] == made["measured"].between(made["low"], made["high"])).all()


def test_few_held_out_images_are_said_to_make_the_interval_too_narrow(
    table: pd.DataFrame, curve: DimensionCurve, estimates: dict[str, PairEstimate]
) -> None:
    assert not any("held-out" in warning for warning in estimates["biggan"].warnings)
    few = estimate(table.assign(held_out=500), curve)
    assert "Only 500 held-out images set the distance" in " ".join(answer(few, "fashion-mnist", 1.0, [])[1:])
    fixed = estimate(table.assign(held_out=500, threshold="rms-0.1415"), curve)
    assert not any("held-out" in warning for warning in fixed["biggan"].warnings)


def test_the_safe_size_of_planted_copies_is_found(estimates: dict[str, PairEstimate]) -> None:
    for name, rate in RATES.items():
        safe = estimates[name].safe_size
        assert safe.low <= 16 * 90 ** (1 / rate) <= safe.high


def test_the_answer_tells_the_decay_the_size_its_trial_and_what_to_do(estimates: dict[str, PairEstimate]) -> None:
    lines = answer(estimates, "fashion-mnist", 1.0)
    assert lines[0].startswith("From small sets, yes, and less from larger ones. From 6")
    assert "the other generator needs no more" in lines[0]
    assert "copying falls as the training set grows (10 runs at 5 sizes" in lines[1]
    assert "Train on" in lines[1]
    assert any("of 10 measured values lie within the 95 % interval" in line for line in lines)
    assert lines[-1].startswith("To do:")


def test_evidence_against_a_safe_size_stands_beside_it(estimates: dict[str, PairEstimate]) -> None:
    verdicts = [
        {"generator": name, "dataset": "fashion-mnist", "size": size, "verdict": kind, "sentence": f"{name} at {size}."}
        for name, size, kind in (
            ("biggan", 1_000_000, "the evidence disagrees"),
            ("biggan", 4, "the evidence disagrees"),  # not called safe
            ("biggan", 2_000_000, "the evidence disagrees"),
            ("stylegan2", 1_000_000, "no copies found"),
        )
    ]
    lines = answer(estimates, "fashion-mnist", 1.0, verdicts)
    said = [line for line in lines if "not all measures" in line]
    assert said == [
        "Beware: not all measures call biggan safe with 1,000,000 and 2,000,000 images. With 2,000,000, "
        "biggan at 2000000."
    ]
    assert "do not rely on the safe size yet" in lines[-1]
    assert lines[0].endswith("Other measures disagree: see below.")


def test_two_sizes_refuse_a_law_but_measure_what_they_can(table: pd.DataFrame) -> None:
    few = estimate(table[table["size"].isin([16, 256])], None)
    assert "measure three sizes" in few["biggan"].reason
    text = " ".join(answer(few, "fashion-mnist", 1.0))
    assert text.startswith("Not enough data to say how many images of fashion-mnist are enough")
    assert "No law gives a safe size" in text
    assert "Predicted from the smallest size alone: none of 2 sizes, since the intrinsic dimension could" in text
    assert np.isnan(few["biggan"].safe_size.size)
    assert few["biggan"].measured[16.0].percentage > 50


def test_a_size_far_beyond_everything_is_none(table: pd.DataFrame, curve: DimensionCurve) -> None:
    shares = {16: 600, 32: 540, 64: 500, 128: 455, 256: 420}
    flat = table.assign(replicas=table["size"].map(shares))
    biggan = estimate(flat, curve, 0.001)["biggan"]
    assert "far beyond all that was measured" in biggan.reason
    assert biggan.enough is None


def test_nothing_copied_is_no_proof_of_safety(table: pd.DataFrame, curve: DimensionCurve) -> None:
    none = estimate(table.assign(replicas=0), curve)
    assert "train longer" in answer(none, "fashion-mnist", 1.0)[-1]


def test_json_is_strict_and_the_figure_has_its_numbers(
    estimates: dict[str, PairEstimate], curve: DimensionCurve
) -> None:
    summary = summarise(estimates, curve, curve_points(), {"dataset": "fashion-mnist", "wanted_percentage": 1.0})
    assert set(json.loads(json.dumps(summary, allow_nan=False))["generators"]) == set(RATES)
    assert len(draw_one_shot(estimates, 1.0, "threshold").axes) == 4
    numbers = one_shot_table(estimates)
    assert set(numbers["kind"]) == {
        "measured", "law", "predicted from the smallest size", "predicted from all other sizes",
    }  # fmt: skip
    assert np.isfinite(numbers[["percentage", "low", "high"]]).all(axis=None)
