"""Copies at one size: intervals over training runs, and what is safe as measured."""

import numpy as np

from tests.laws.test_decay import points
from workflow_scripts.core.intervals import wilson
from workflow_scripts.laws.measured import measured_enough, measured_excess, scatter_draws


def at_64(*percentage: float):  # type: ignore[no-untyped-def]
    return points(list(percentage), np.full(len(percentage), 64), background=0.01)


def test_with_little_scatter_the_interval_is_that_of_counting() -> None:
    excess = measured_excess(at_64(10.0), np.full(400, 0.1))
    low, high = wilson(102, 1024)
    # The scatter of 0.1 is that of counting once more; of the lower end the whole background is subtracted.
    assert 100 * high < excess.high < 10 * (high / 0.1) ** 1.6
    assert 10 * (low / 0.1) ** 1.6 - 1 < excess.low < 100 * low - 1


def test_runs_that_differ_widen_it_and_more_of_them_narrow_it() -> None:
    wide = scatter_draws([])
    one_seed, five_seeds = measured_excess(at_64(10.0), wide), measured_excess(at_64(*[10.0] * 5), wide)
    assert one_seed.high - one_seed.low > 2 * (five_seeds.high - five_seeds.low) > 10
    assert one_seed.low < 9 < one_seed.high


def test_what_counts_by_chance_is_not_subtracted_from_the_upper_end() -> None:
    # Of 1,024 samples 2 % count, and held-out images would in 1 %: nothing shows that these samples do.
    assert measured_excess(at_64(2.0, 2.0), np.full(400, 0.2)).at_most > 2.0


def test_no_copies_of_one_run_are_no_proof_for_the_mean_of_runs() -> None:
    excess = measured_excess(at_64(0.0), scatter_draws([]))
    assert excess.low == 0.0
    assert excess.at_most > 100 * wilson(0, 1024)[1]


def test_a_size_is_safe_only_if_all_larger_ones_are() -> None:
    measured = points([40, 38, 0, 0, 3, 2, 0, 0], np.repeat([8, 16, 32, 64], 2), background=0.01)
    scatter = np.full(400, 0.3)
    excess = {float(size): measured_excess(measured.select(measured.size == size), scatter) for size in (8, 16, 32, 64)}
    assert excess[16].at_most < 1
    assert measured_enough(measured, excess, 1.0) == 64
    assert measured_enough(measured, excess, 0.01) is None
