"""The law's inverse: at the safe size the law gives the wanted percentage, and the interval holds the planted size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.laws.decay import DIMENSION_AXIS, Axis, DecayFit, Points, fit_decay, law
from workflow_scripts.laws.safe_size import interval, sizes_at, smallest_safe_size
from workflow_scripts.laws.size_law import fit_dimension_curve

AXIS = Axis("ln_size", float(np.log(45)), 1.0)
SIZES = np.repeat([8.0, 16.0, 32.0, 64.0, 128.0, 256.0], 2)


def fitted(level: float = 2.2, rate: float = 1.1, seed: int = 0) -> DecayFit:
    share = law(level, rate, AXIS.standardise(SIZES)) / 100
    replicas = np.random.default_rng(seed).binomial(1024, share).astype(float)
    return fit_decay(Points(SIZES, SIZES, replicas, np.full(12, 1024.0), np.zeros(12)), AXIS)


FIT = fitted()


@settings(deadline=None, max_examples=10)
@given(st.floats(0.01, 60))
def test_at_the_safe_size_the_law_gives_the_wanted_percentage(wanted: float) -> None:
    safe = smallest_safe_size(FIT, wanted, seed=0)
    assert float(FIT.percentage(np.array(safe.size))) == pytest.approx(wanted, rel=1e-2)
    assert safe.low <= safe.size <= safe.high
    assert (safe.extrapolated == "") == (8 <= safe.size <= 256)


def test_a_lower_wanted_percentage_needs_a_larger_set() -> None:
    sizes = [smallest_safe_size(FIT, wanted, seed=0).size for wanted in (20.0, 5.0, 1.0, 0.1)]
    assert sizes == sorted(sizes)
    assert "sizes" in smallest_safe_size(FIT, 0.001, seed=0).extrapolated


def test_the_interval_holds_the_planted_size() -> None:
    planted = float(AXIS.restore(np.array((2.2 - np.log(1.0)) / 1.1)))
    inside = 0
    for seed in range(12):
        safe = smallest_safe_size(fitted(seed=seed), 1.0, seed=0)
        inside += safe.low <= planted <= safe.high
    assert inside >= 10


def test_through_the_dimension_the_size_is_the_same() -> None:
    dimension = 4 + 2.5 * np.log(SIZES)
    points = Points(dimension, SIZES, FIT.points.replicas, FIT.points.samples, FIT.points.background)
    curve = fit_dimension_curve(SIZES, dimension)
    safe = smallest_safe_size(fit_decay(points, DIMENSION_AXIS), 1.0, 0, curve)
    direct = smallest_safe_size(FIT, 1.0, seed=0)
    assert (safe.size, safe.low, safe.high) == pytest.approx((direct.size, direct.low, direct.high), rel=0.05)
    assert safe.extrapolated == ("measured dimensions" if direct.extrapolated else "")


def test_a_law_in_dimension_needs_the_curve() -> None:
    points = Points(4 + 2.5 * np.log(SIZES), SIZES, FIT.points.replicas, FIT.points.samples, FIT.points.background)
    with pytest.raises(ValueError, match="growth of the dimension"):
        smallest_safe_size(fit_decay(points, DIMENSION_AXIS), 1.0, 0)


def test_lines_that_do_not_rise_reach_no_dimension() -> None:
    sizes = sizes_at(np.array([10.0, 10.0, np.inf]), np.array([[4.0, 2.0], [4.0, -1.0], [4.0, 2.0]]))
    assert sizes[0] == pytest.approx(np.exp(3))
    assert np.isinf(sizes[1:]).all()


def test_intervals_may_be_infinite() -> None:
    low, high = interval(np.concatenate([np.arange(1.0, 91.0), np.full(10, np.inf)]))
    assert low == 3.0
    assert np.isinf(high)
