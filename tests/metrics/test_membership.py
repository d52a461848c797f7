"""Membership: a memoriser is told, fresh draws are not, and too few images are refused."""

import numpy as np
import pytest
from scipy import stats

from workflow_scripts.metrics.groups import Grouped
from workflow_scripts.metrics.membership import lira, membership


def nearest(images, samples):
    return np.sqrt(((images[:, None] - samples[None]) ** 2).mean(axis=2)).min(axis=1)


def points(count, seed):
    return np.random.default_rng([11, seed]).standard_normal((count, 6))


def test_fresh_draws_give_away_nobody():
    covered, areas = [], []
    for study in range(120):
        training, held_out, samples = (points(count, 3 * study + i) for i, count in enumerate((30, 100, 50)))
        result = membership(nearest(training, samples), nearest(held_out, samples))
        areas.append(result.auc)
        covered.append(result.auc_low < 0.5 < result.auc_high and result.told[0].low <= 1 <= result.told[0].high)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)
    assert np.mean(covered) > 0.9


def test_a_memoriser_gives_away_all():
    training, held_out = points(60, 1), points(1200, 2)
    samples = np.repeat(training, 5, axis=0) + 0.01 * points(300, 3)
    result = membership(nearest(training, samples), nearest(held_out, samples))
    assert result.auc == pytest.approx(1, abs=0.01)
    assert result.p_value < 1e-10
    assert [told.percentage for told in result.told] == [100, 100]
    assert result.told[0].low > 90
    assert result.told[1].low > 90


def test_the_area_and_its_p_value_are_mann_whitneys():
    rng = np.random.default_rng(0)
    members, controls = rng.integers(0, 50, 40) / 50, rng.integers(5, 55, 300) / 50
    result = membership(members, controls)
    reference = stats.mannwhitneyu(members, controls, alternative="less", method="asymptotic", use_continuity=False)
    assert result.auc == pytest.approx(1 - reference.statistic / (40 * 300))
    assert result.p_value == pytest.approx(reference.pvalue, rel=0.02)  # theirs is corrected for ties


def test_images_of_one_group_are_no_independent_evidence():
    rng = np.random.default_rng(5)
    wrong = {"grouped": 0, "alone": 0}
    for _ in range(100):
        parts = [np.repeat(rng.standard_normal(20), 20) for _ in range(2)]
        group = np.repeat(np.arange(20), 20)
        wrong["grouped"] += membership(*(Grouped(part, group) for part in parts)).p_value <= 0.05
        wrong["alone"] += membership(*parts).p_value <= 0.05
    assert wrong["grouped"] < 12
    assert wrong["alone"] > 25


def test_groups_of_one_image_change_nothing_and_few_groups_give_no_area():
    scores, controls = np.random.default_rng(6).random((2, 100))
    single = membership(Grouped(scores, np.arange(100)[::-1]), Grouped(controls, np.arange(100)))
    assert single == membership(scores, controls)
    few = membership(Grouped(scores, np.arange(100) % 7), controls)
    assert few.auc is None
    assert "8 groups" in few.reason
    assert "of different groups" in membership(scores, Grouped(controls, np.arange(100) % 50)).told[0].reason


def test_what_is_told_at_a_rate_of_false_alarms_counts_at_most_that_share_of_controls():
    controls = np.arange(1000) / 1000
    result = membership(np.array([0.0, 0.0005, 0.0095, 0.0105, 0.5, 0.6, 0.7, 0.8]), controls)
    assert [told.percentage for told in result.told] == [37.5, 25.0]
    low, high = stats.binomtest(3, 8).proportion_ci(method="exact")
    assert result.told[0].low <= 100 * low
    assert result.told[0].high >= 100 * high


@pytest.mark.parametrize(("members", "controls"), [(7, 500), (50, 19)])
def test_too_few_images_give_no_area(members, controls):
    result = membership(np.zeros(members), np.ones(controls))
    assert (result.auc, result.p_value) == (None, None)
    assert "needs 8 members and 20 controls" in result.reason


def test_too_few_controls_give_no_rate_at_few_false_alarms():
    result = membership(np.zeros(20), np.ones(999))
    assert result.told[0].percentage == 100
    assert result.told[1].percentage is None
    assert "need 1,000 controls" in result.told[1].reason
    assert membership(np.zeros(20), np.ones(99)).told[0].percentage is None


def shadows(effect: float, sizes=(50, 50, 50), nested=False, seed=1):
    """Runs of 900 images whose own distances differ far more than membership moves them."""
    rng = np.random.default_rng(seed)
    member = np.zeros((len(sizes), 900), dtype=bool)
    for run, size in enumerate(sizes):
        start = 0 if nested else 50 * run
        member[run, start : start + size] = True
    own = rng.normal(0, 2, 900)
    distances = np.exp(own + rng.normal(0, 0.1, member.shape) - effect * member)
    distances[-1] *= 7  # a run whose samples all lie farther off
    return distances, member


def test_lira_takes_away_what_an_image_is_in_any_run():
    distances, member = shadows(0.5)
    assert membership(distances[2][member[2]], distances[2][~member[2]]).auc < 0.7
    assert all(run.auc > 0.98 and run.members == 50 for run in lira(distances, member))


def test_lira_tells_members_by_the_smaller_runs_that_are_part_of_a_larger_one():
    first, second, third = lira(*shadows(0.5, (20, 40, 80), nested=True))
    assert (first.members, second.members, third.members) == (0, 20, 60)  # the others were in all runs
    assert min(second.auc, third.auc) > 0.97
    assert third.told[0].percentage > 80


def test_lira_tells_nobody_where_nobody_is_given_away():
    """Members with one reference run are not told by its scatter, though controls have three."""
    results = [lira(*shadows(0.0, (20, 40, 80, 160), nested=True, seed=seed))[3] for seed in range(20)]
    assert np.mean([run.auc for run in results]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([run.told[0].percentage for run in results]) == pytest.approx(1.0, abs=0.8)


def test_an_image_without_another_run_has_no_score():
    distances, member = np.random.default_rng(0).random((2, 300)), np.zeros((2, 300), dtype=bool)
    member[:, :30] = True
    distances[1, 200:] = np.nan
    results = lira(distances, member)
    assert [(run.members, run.auc) for run in results] == [(0, None)] * 2
