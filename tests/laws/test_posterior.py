"""The posterior of a law: Student's interval where runs scatter by a Gaussian, and what pooling and leaving out do."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from workflow_scripts.laws.likelihood import run_tables
from workflow_scripts.laws.posterior import LevelPrior, Surface, curve_tables, pool

SAMPLES = 100_000


def surface(x: np.ndarray, odds: np.ndarray, prior: LevelPrior | None = None) -> Surface:
    """Of runs whose log-odds are known exactly, by the logistic curve."""
    replicas = np.round(SAMPLES * expit(odds))
    tables = run_tables(replicas, np.full(len(x), float(SAMPLES)), np.zeros(len(x)))
    return Surface(x, x, curve_tables(tables, "logistic"), "logistic", prior)


def runs(seed: int, count: int, scatter: float) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-1, 1, count)
    return x, -2 - 1.5 * x + scatter * np.random.default_rng(seed).standard_normal(count)


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_is_students_where_counting_adds_nothing(seed: int) -> None:
    x, odds = runs(seed, 9, 0.4)
    # With runs that are rare enough, mean shares and log-odds differ by a constant, which the level takes.
    x, odds = x, odds - 3
    [posterior] = pool([surface(x, odds)])
    line = stats.linregress(x, logit(expit(odds)))
    reach = stats.t.ppf(0.975, 7) * line.stderr
    ends = np.quantile(posterior.draws.rate, [0.025, 0.975])
    np.testing.assert_allclose(ends, [-line.slope - reach, -line.slope + reach], atol=0.15 * reach)


def test_a_size_left_out_is_a_fit_without_it() -> None:
    x, odds = runs(1, 8, 0.4)
    [whole], [rest] = pool([surface(x, odds)]), pool([surface(x[:-1], odds[:-1])])
    ours, theirs = whole.draws_without(x[-1]).rate, rest.draws.rate
    np.testing.assert_allclose(
        np.quantile(ours, [0.05, 0.5, 0.95]), np.quantile(theirs, [0.05, 0.5, 0.95]), rtol=0.03, atol=0.05
    )


def test_a_pair_with_few_runs_takes_its_scatter_from_the_others() -> None:
    few = surface(*runs(2, 3, 0.5))
    many = [surface(*runs(seed, 16, 0.5)) for seed in range(3, 6)]
    spread = [np.ptp(np.log(np.quantile(p.draws.scatter, [0.1, 0.9]))) for p in (pool([few])[0], pool([few, *many])[0])]
    assert spread[1] < 0.5 * spread[0]
    assert np.median(pool([few, *many])[0].draws.scatter) == pytest.approx(0.5, rel=0.35)


def test_held_out_sizes_tell_a_line_from_a_bend() -> None:
    x = np.linspace(-1.5, 1.5, 12)
    noise = 0.1 * np.random.default_rng(0).standard_normal(12)
    [straight], [bent] = pool([surface(x, -2 - 2 * x + noise)]), pool([surface(x, -2 - 2 * x - 1.5 * x**2 + noise)])
    assert straight.held_out.sum() > bent.held_out.sum() + 5


def test_one_point_and_the_level_of_others_give_a_rate() -> None:
    # At x = -2 the odds are -1, and the level is known to be -4: the rate is 1.5.
    only = surface(np.array([-2.0]), np.array([-1.0]), LevelPrior(-4.0, 0.05, 30))
    flat = np.where(np.arange(11) < 3, 0.0, -50.0)  # little scatter
    rate = only.posterior(flat).draws.rate
    assert np.median(rate) == pytest.approx(1.5, abs=0.05)
