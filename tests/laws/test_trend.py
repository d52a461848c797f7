"""Whether copying falls: exact p-values of small designs, and what two seeds at four sizes show."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from tests.laws.test_decay import points
from workflow_scripts.laws.trend import _most_extreme, trend


def test_seventy_to_none_is_a_decay() -> None:
    sizes = np.repeat([8, 16, 32, 64], 2)
    tested = trend([points([73.7, 69.9, 25, 17, 7.2, 0, 0, 0], sizes)])
    assert tested.falls
    assert tested.p_value < 0.005
    assert "copying falls as the training set grows (8 runs at 4 sizes" in tested.sentence()


def test_the_p_value_is_that_of_all_arrangements() -> None:
    values, sizes = np.array([30, 40, 20, 25, 8.0, 12]), np.array([1, 2, 3, 4, 5, 6])
    rank = stats.spearmanr(values, sizes).statistic
    exact = np.mean([stats.spearmanr(order, sizes).statistic <= rank + 1e-9 for order in permutations(values)])
    assert trend([points(values, sizes)]).p_value == pytest.approx(exact, rel=0.25)


def test_three_runs_cannot_show_it_but_three_generators_can() -> None:
    three = points([70, 21, 4], np.array([8, 16, 32]))
    assert np.isnan(trend([three]).p_value)
    assert "too few" in trend([three]).sentence()
    assert trend([three] * 3).falls


def test_seventy_to_none_with_one_seed_is_a_decay_and_ties_ask_for_more_than_there_is() -> None:
    sizes = np.array([8, 16, 32, 64])
    assert trend([points([70, 21, 4, 0], sizes)]).falls
    tied = trend([points([70, 21, 0, 0], sizes)])  # of 24 arrangements two are as extreme
    assert np.isnan(tied.p_value)
    assert tied.sentence().endswith("too few to show whether copying falls: add sizes, or a seed at each")


@pytest.mark.parametrize(
    ("percentage", "sizes"),
    [([70, 21, 4, 0], [1, 2, 3, 4]), ([70, 21, 0, 0], [1, 2, 3, 4]), ([9, 5, 5, 0, 5], [1, 1, 2, 2, 3])],
)
def test_the_most_extreme_arrangement_is_as_likely_as_counted(percentage: list[float], sizes: list[int]) -> None:
    arranged = np.array(list(permutations(percentage))) @ np.array(sizes)
    assert _most_extreme(np.array(sizes), np.array(percentage)) == pytest.approx(np.mean(arranged == arranged.min()))


def test_four_sizes_and_one_seed_get_an_answer_in_whatever_order() -> None:
    sizes = np.array([8, 16, 32, 64])
    assert not any(np.isnan(trend([points(list(order), sizes)]).p_value) for order in permutations([70, 21, 4, 0]))


def test_no_trend_is_no_decay() -> None:
    tested = trend([points([20, 35, 12, 25, 18, 30, 15, 22])])
    assert not tested.falls
    assert "do not show that copying falls" in tested.sentence()
    assert not trend([points([2, 3, 5, 8, 12, 20, 30, 50])]).falls


def test_without_any_difference_there_is_nothing_to_rank() -> None:
    assert np.isnan(trend([points([0.0] * 8)]).p_value)
    assert np.isnan(trend([]).p_value)
