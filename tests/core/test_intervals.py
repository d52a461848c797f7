"""Intervals against SciPy and a published table, and their coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workflow_scripts.core.intervals import newcombe, quantile_interval, wilson


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.5, 0.95]))
def test_wilson_is_scipys(counts, level):
    successes, trials = counts
    expected = stats.binomtest(successes, trials).proportion_ci(level, method="wilson")
    low, high = wilson(successes, trials, level)
    assert low == pytest.approx(expected.low, abs=1e-12)
    assert high == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= low <= successes / trials <= high <= 1


def test_wilson_takes_arrays_and_knows_nothing_without_trials():
    low, high = wilson(np.array([0, 5, 0]), np.array([10, 10, 0]))
    assert low.shape == (3,)
    assert (low[2], high[2]) == (0.0, 1.0)
    assert (low[0], high[1]) == (0.0, pytest.approx(0.7634, abs=1e-4))


def test_wilson_refuses_more_successes_than_trials():
    with pytest.raises(ValueError, match="within"):
        wilson(11, 10)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [  # Newcombe (1998), table II, method 10
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((10, 10, 0, 20), 0.6791, 1.0000),
        ((5, 56, 0, 29), -0.0381, 0.1926),
    ],
)
def test_newcombe_gives_the_published_table(counts, low, high):
    assert newcombe(*counts) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_newcombe_covers():
    rng = np.random.default_rng(0)
    low, high = newcombe(rng.binomial(1024, 0.05, 4000), 1024, rng.binomial(2000, 0.01, 4000), 2000)
    assert 0.935 < np.mean((low <= 0.04) & (high >= 0.04)) < 0.965


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.99])
@pytest.mark.parametrize("count", [1, 10, 100, 2000])
def test_quantile_interval_is_scipys(count, share):
    sample = np.random.default_rng(count).random(count)
    expected = stats.quantile_test(sample, p=share).confidence_interval(0.95)
    assert quantile_interval(sample, share) == pytest.approx((expected.low, expected.high), abs=0, nan_ok=True)


def test_quantile_interval_covers_and_admits_ignorance():
    rng = np.random.default_rng(0)
    ends = np.array([quantile_interval(rng.random(500), 0.05) for _ in range(300)])
    assert np.mean((ends[:, 0] <= 0.05) & (ends[:, 1] >= 0.05)) > 0.93
    assert np.isnan(quantile_interval(rng.random(20), 0.001)[0])
