"""The law of gains: planted laws come back, and what is no law is not called one."""

import json
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from workflow_scripts.rebalancing.gain_law import (
    GainLaw,
    GainPoints,
    calibrate,
    fit_gain_law,
    predicted_gain,
    sign_p_value,
)


def measure(
    gain, seed: int = 1, count: int = 8, gain_se: float = 0.5, similarity_se: float = 0.005, tau: float = 0.0
) -> GainPoints:
    """Points of a planted law, measured with errors."""
    random = np.random.default_rng(seed)
    true = random.uniform(0.05, 0.35, count)
    gains = np.broadcast_to(gain(true), true.shape) + np.hypot(gain_se, tau) * random.standard_normal(count)
    measured = true + similarity_se * random.standard_normal(count)
    return GainPoints(measured, np.full(count, similarity_se), gains, np.full(count, gain_se), ("set",) * count)


def planted(similarity: np.ndarray) -> np.ndarray:
    return 20 * np.exp(-8 * similarity)


@pytest.fixture(scope="module")
def law() -> GainLaw:
    return fit_gain_law(measure(planted))


def test_a_planted_law_comes_back_inside_its_interval(law: GainLaw) -> None:
    assert law.identified
    assert law.q_interval[0] < 8 < law.q_interval[1]
    assert law.p_interval[0] < 20 < law.p_interval[1]
    assert law.sign_p_value < 0.01
    errors = {name: comparison.left_out_error for name, comparison in law.comparisons.items()}
    assert errors["exponential"] < errors["linear"] < errors["constant"]
    assert law.comparisons["exponential"].aicc < law.comparisons["constant"].aicc


def test_the_band_and_the_prediction_contain_the_truth(law: GainLaw) -> None:
    at = np.array([0.1, 0.2, 0.3])
    low, high = law.band(at)
    assert np.all((low < planted(at)) & (planted(at) < high))
    curve = law.curve()
    for i, similarity in enumerate(at):
        prediction = predicted_gain(curve, similarity, (similarity, similarity))
        blurred = predicted_gain(curve, similarity, (similarity - 0.06, similarity + 0.06))
        assert prediction.low <= low[i] <= prediction.gain <= high[i] <= prediction.high
        assert blurred.low < prediction.low
        assert blurred.high > prediction.high
        assert not prediction.extrapolated
    assert predicted_gain(curve, 0.4, (0.4, 0.4)).extrapolated
    assert predicted_gain(curve, 0.6, (0.6, 0.6)) is None


def test_the_interval_covers_the_truth_over_repetitions() -> None:
    inside = identified = 0
    for seed in range(20):
        law = fit_gain_law(measure(planted, seed, count=6, tau=0.5))
        inside += law.q_interval[0] <= 8 <= law.q_interval[1]
        identified += law.identified
    assert inside >= 18
    assert identified >= 18


def test_without_errors_in_similarity_the_law_is_that_of_a_general_optimiser() -> None:
    points = measure(planted, seed=3, gain_se=0.8, similarity_se=0.0, tau=1.0)
    (p, q), _ = optimize.curve_fit(lambda s, p, q: p * np.exp(-q * s), points.similarity, points.gain, [20.0, 8.0])
    law = fit_gain_law(points)
    assert law.p == pytest.approx(p, rel=0.02)
    assert law.q == pytest.approx(q, rel=0.02)

    def squares(q: float) -> float:
        factor = np.exp(-q * points.similarity)
        return float(((points.gain - (factor @ points.gain) / (factor @ factor) * factor) ** 2).sum())

    # Profile interval of q: an end is where the sum of squares, minimised over p, has risen by F(1, 6) / 6.
    for end in law.q_interval:
        assert squares(end) / squares(q) == pytest.approx(1 + 5.98737760727 / 6, rel=0.05)


def test_a_planted_constant_is_no_law() -> None:
    laws = [fit_gain_law(measure(lambda s: 4.0, seed)) for seed in range(12)]
    assert sum(law.identified for law in laws) <= 1
    assert {law.verdict for law in laws} <= {"identified", "flat", "opposite", "not enough"}


def test_gains_that_do_not_depend_on_similarity_are_flat_within_a_bound() -> None:
    law = fit_gain_law(measure(lambda s: 4.0, seed=2))
    assert law.verdict == "flat"
    assert law.change[1] < 0 < law.change[2]
    assert f"by more than {max(-law.change[1], law.change[2]):.1f} points" in law.reason
    prediction = predicted_gain(law.curve(), 0.2, (0.19, 0.21))
    assert prediction.low < 4 < prediction.high


def test_few_scattered_points_are_not_enough_and_the_sentence_says_how_many_are() -> None:
    law = fit_gain_law(measure(lambda s: 4.0, seed=5, count=5, gain_se=4.0))
    assert law.verdict == "not enough"
    assert re.search(r"about \d+ groups of classes or data sets would tell", law.reason)
    assert law.curve().empty


def test_under_a_straight_line_the_line_wins() -> None:
    law = fit_gain_law(measure(lambda s: 9 - 25 * s, gain_se=0.1, similarity_se=0.001))
    assert law.comparisons["linear"].aicc < law.comparisons["exponential"].aicc
    assert "a straight line predicts left-out points better than the exponential" in law.notes


def test_gains_that_rise_or_are_negative_are_not_the_published_law() -> None:
    rising = fit_gain_law(measure(lambda s: 1 + np.exp(6 * s)))
    assert "rise with similarity" in rising.reason
    assert rising.sign_p_value > 0.95
    negative = fit_gain_law(measure(lambda s: -planted(s)))
    assert "negative" in negative.reason


def test_errors_in_similarity_are_undone() -> None:
    rates = {True: [], False: []}
    for seed in range(5):
        points = measure(planted, seed, count=10, gain_se=0.2, similarity_se=0.04)
        rates[True].append(fit_gain_law(points).q)
        rates[False].append(fit_gain_law(replace(points, similarity_se=np.zeros(10))).q)
    naive, aware = np.median(rates[False]), np.median(rates[True])
    assert naive < aware
    assert abs(aware - 8) < abs(naive - 8)


def test_similarities_that_differ_by_their_errors_alone_give_no_law() -> None:
    points = measure(planted)
    blurred = GainPoints(points.similarity, np.full(8, 0.2), points.gain, points.gain_se, points.datasets)
    assert fit_gain_law(blurred).reason.startswith("the similarities differ by no more than their errors")


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_with_few_points_the_reason_is_their_number(count: int) -> None:
    law = fit_gain_law(measure(planted).only(np.arange(count)))
    assert not law.identified
    assert law.reason.startswith(f"measured on {count} data sets")
    assert "run more seeds" not in law.reason
    points = measure(planted)
    gain_se = np.where(np.arange(8) < count, points.gain_se, np.nan)
    law = fit_gain_law(GainPoints(points.similarity, points.similarity_se, points.gain, gain_se, points.datasets))
    assert law.reason.endswith(f"; {8 - count} more have no standard error, so run more seeds")
    json.dumps(law.summary(), allow_nan=False)


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.1, 0.1001, 0.2, 0.3, 0.9]), st.sampled_from([0.0, 0.01]),
            st.sampled_from([-50.0, 0.0, 1e-9, 2.0, 2.5, 9.0]), st.sampled_from([0.0, 0.3, 40.0]),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_whatever_the_points_there_is_an_answer(rows) -> None:
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        law = fit_gain_law(GainPoints(*columns, ("set",) * len(rows)))
    json.dumps(law.summary(), allow_nan=False)
    if law.identified:
        low, high = law.band(np.array([0.2]))
        assert law.q_interval[0] > 0
        assert 0 < low[0] <= law.gain(0.2) * (1 + 1e-9)
        assert law.gain(0.2) <= high[0] * (1 + 1e-9)


def test_identical_gains_and_points_without_errors_are_survived() -> None:
    points = measure(planted)
    same = GainPoints(points.similarity, points.similarity_se, np.full(8, 2.0), np.zeros(8), points.datasets)
    assert not fit_gain_law(same).identified
    gain_se = np.where(np.arange(8) < 2, np.nan, points.gain_se)
    law = fit_gain_law(GainPoints(points.similarity, points.similarity_se, points.gain, gain_se, points.datasets))
    assert law.identified
    assert law.notes[0].startswith("2 points without")
    json.dumps(law.summary(), allow_nan=False)


def test_the_sign_test_is_exact_for_few_points_and_calibrated() -> None:
    similarity, no = np.array([0.1, 0.2, 0.3, 0.4]), np.zeros(4)
    falling = GainPoints(similarity, no, np.array([9.0, 5.0, 3.0, 2.0]), no, ("set",) * 4)
    assert sign_p_value(falling) == pytest.approx(1 / 24)
    chance = [sign_p_value(measure(lambda s: 4.0, seed, count=6)) for seed in range(100)]
    assert np.mean(np.array(chance) <= 0.05) <= 0.12
    assert 0.4 < np.mean(chance) < 0.6


def test_the_spread_of_true_similarities_is_less_than_that_of_the_measured() -> None:
    points = measure(planted, count=400, similarity_se=0.1)
    assert calibrate(points).spread == pytest.approx(0.3 / np.sqrt(12), rel=0.1)
    mean, sd = calibrate(points).true_similarity(points.similarity, points.similarity_se)
    assert mean.std() < points.similarity.std()
    assert np.all(sd < 0.1)
