"""Membership: a memoriser is told, fresh draws are not, and too few images are refused."""

import numpy as np
import pytest
from scipy import stats

from workflow_scripts.metrics.membership import membership, relative_scores


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


def test_relative_scores_take_away_what_an_image_is_in_any_run():
    """Images differ in their own distances far more than membership moves them: only relative scores tell."""
    rng = np.random.default_rng(1)
    member = np.zeros((3, 900), dtype=bool)
    for run in range(3):
        member[run, 50 * run : 50 * run + 50] = True
    own = rng.normal(0, 2, 900)
    distances = np.exp(own + rng.normal(0, 0.1, (3, 900)) - 0.5 * member)
    distances[2] *= 7  # a run whose samples all lie farther off
    scores = relative_scores(distances, member)
    plain, relative = (membership(x[2][member[2]], x[2][~member[2]]).auc for x in (distances, scores))
    assert plain < 0.7
    assert relative > 0.98


def test_an_image_without_another_run_has_no_relative_score():
    scores = relative_scores(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, np.nan]]), np.array([[True, False, False]] * 2))
    assert np.isnan(scores).tolist() == [[True, False, True], [True, False, True]]
    assert np.isnan(relative_scores(np.ones((1, 4)), np.zeros((1, 4), dtype=bool))).all()
