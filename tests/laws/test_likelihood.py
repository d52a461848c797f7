"""The likelihood of a run's count against direct integration."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from workflow_scripts.laws.likelihood import CHANCE, LOG_ODDS, SCATTER, interpolate, log_odds_of, run_tables


@pytest.mark.parametrize(("count", "background"), [(0, 0.01), (30, 0.01), (30, 0.0), (400, 0.05)])
def test_tables_are_the_integral_over_runs(count: int, background: float) -> None:
    [table] = run_tables(np.array([float(count)]), np.array([1024.0]), np.array([background]))
    node, odds = 6, np.array([-6.0, -4.0, -2.0, -0.5])

    z = np.linspace(-9, 9, 20001)

    def likelihood(centre: float, chance: float) -> float:
        share = expit(centre + SCATTER[node] * z)
        return float((stats.binom.pmf(count, 1024, chance + (1 - chance) * share) * stats.norm.pdf(z)).sum())

    ours = interpolate(table[None], np.broadcast_to(odds, (1, len(SCATTER), len(odds))))[0, node]
    theirs = np.log([[likelihood(centre, share * background) for share in CHANCE] for centre in odds])
    ours, theirs = ours - ours.max(), theirs - theirs.max()
    likely = theirs > -20  # beyond, the tables' floor is reached
    np.testing.assert_allclose(ours[likely], theirs[likely], atol=0.06)


def test_a_share_near_the_ceiling_only_says_that_it_is_there() -> None:
    tables = run_tables(np.array([900.0, 1000.0]), np.full(2, 1024.0), np.zeros(2))
    np.testing.assert_allclose(tables[0], tables[1])
    assert np.all(np.diff(tables[0, 0, LOG_ODDS > 0, 0]) >= -1e-9)


def test_runs_scatter_about_log_odds_whose_mean_share_is_the_laws() -> None:
    noise = np.random.default_rng(0).standard_normal(400_000)
    for share in (0.01, 0.3, 0.9):
        for scatter, centre in zip(SCATTER[::4], log_odds_of(np.array(share))[::4], strict=True):
            assert expit(centre + scatter * noise).mean() == pytest.approx(share, rel=0.02)
