"""Levels across pairs: alike or not, and what they say of another pair."""

import numpy as np
import pytest

from tests.laws.test_decay import AXIS, SIZES, points
from workflow_scripts.laws.decay import LN_100, DecayFit, Pair, fit_pairs
from workflow_scripts.laws.pairs import compare_levels


def fits(levels: list[float], seed: int = 0) -> dict[Pair, DecayFit]:
    random = np.random.default_rng(seed)
    x = AXIS.standardise(SIZES)
    pairs = {
        (f"g{i}", "set"): points(100 * np.minimum(np.exp(level - 2.5 * x + 0.3 * random.standard_normal(8)), 0.95))
        for i, level in enumerate(levels)
    }
    return fit_pairs(pairs, AXIS)


def test_levels_that_are_alike_are_not_told_apart() -> None:
    levels = compare_levels(fits([-2.0] * 4, seed=1))
    assert levels is not None
    assert levels.pairs == 4
    assert levels.p_value > 0.05
    assert levels.mean_interval[0] < -2 + LN_100 < levels.mean_interval[1]
    assert levels.sd < 0.6


def test_levels_that_differ_are_told_apart_and_scatter() -> None:
    levels = compare_levels(fits([-3.0, -2.0, -1.0, -2.5]))
    assert levels is not None
    assert levels.p_value < 0.01
    assert levels.sd == pytest.approx(np.std([-3.0, -2.0, -1.0, -2.5], ddof=1), rel=0.5)


def test_few_pairs_tell_the_scatter_badly_and_their_intervals_say_so() -> None:
    levels = compare_levels(fits([-3.0, -2.0, -1.0]))
    assert levels is not None
    reach, error = levels.another[1] - levels.mean, levels.mean_interval[1] - levels.mean
    assert reach >= 4.3 * levels.sd  # Student's t of two degrees of freedom
    assert reach == pytest.approx(4.303 * max(levels.sd, levels.seen_sd), rel=1e-3)
    assert 4.3 * 0.4 < error < 4.4 * 1.2  # levels that scatter by 1, of three pairs


def test_one_law_has_nothing_to_compare_with() -> None:
    assert compare_levels(fits([-2.0])) is None
