"""The average of a pair's laws: weights, safe sizes and what a run would show."""

import numpy as np
import pytest

from tests.laws.test_decay import AXIS, SIZES, points
from workflow_scripts.laws.decay import Axis, DecayFit, fit_pairs
from workflow_scripts.laws.outlook import own_outlook, weighted_quantiles, weights
from workflow_scripts.laws.posterior import CURVES


def laws(share: np.ndarray) -> list[DecayFit]:
    pairs = {("biggan", "set"): points(100 * share)}
    axes = (AXIS, Axis("size", 16.0, 1.0))
    return [fit_pairs(pairs, axis, curve)["biggan", "set"] for axis in axes for curve in CURVES]


@pytest.mark.parametrize("place", range(4))
def test_the_curve_that_made_the_copies_weighs_most(place: int) -> None:
    axis, curve = (AXIS, Axis("size", 16.0, 1.0))[place // 2], CURVES[place % 2]
    eta = -1.8 - (3.0 if axis is AXIS else 0.22) * axis.standardise(SIZES)
    share = np.exp(np.minimum(eta, -0.02)) if curve == "exponential" else 1 / (1 + np.exp(-eta))
    assert np.argmax(weights(laws(share))) == place


def test_the_safe_size_holds_the_planted_one_and_says_where_it_lies() -> None:
    fits = laws(1 / (1 + (SIZES / 9) ** 4))
    outlook = own_outlook(fits)
    for wanted, extrapolated in ((1.0, ""), (0.2, "measured sizes")):
        planted = 9 * (100 / wanted - 1) ** (1 / 4)
        safe = outlook.safe_size(wanted, SIZES)
        assert safe.low <= planted <= safe.high < 3 * safe.low
        assert safe.extrapolated == extrapolated
    low, middle, high = outlook.percentage(SIZES)
    assert np.all((low <= middle) & (middle <= high))


def test_what_a_run_would_show_scatters_more_than_the_mean_of_runs() -> None:
    noise = np.exp(0.5 * np.random.default_rng(0).standard_normal(8))
    outlook = own_outlook(laws(np.minimum(noise / (1 + (SIZES / 9) ** 3), 0.9)))
    low, _, high = outlook.percentage(np.array([16.0]))[:, 0]
    run_low, _, run_high = outlook.measurement(points([20.0], np.array([16.0])))
    assert run_high - run_low > high - low


def test_weighted_quantiles_may_be_infinite() -> None:
    values, mass = np.array([3.0, np.inf, 1.0, 2.0]), np.array([1.0, 1, 1, 1])
    assert weighted_quantiles(values, mass, [0.025, 0.5, 0.975]) == [1.0, 2.0, np.inf]
    assert weighted_quantiles(values[[0, 2, 3]], np.array([8.0, 1, 1]), [0.5]) == [3.0]
