"""Rates over seeds: intervals as wide as runs differ, and none where nothing shows how far they do."""

import numpy as np
import pytest

from workflow_scripts.replication.seeds import Counted, over_seeds


def summarise(*cells, of=1000):
    counted = [[Counted(np.array([float(count)]), of) for count in cell] for cell in cells]
    return over_seeds(counted, [[100 * count / of for count in cell] for cell in cells])


def test_the_interval_is_wider_than_counting_where_runs_differ():
    apart, alike = summarise((72, 5), (400, 150), (300, 700)), summarise((50, 52), (400, 404), (300, 299))
    assert apart[0].percentage == pytest.approx(3.85)
    assert (apart[0].lowest, apart[0].highest) == (0.5, 7.2)
    assert apart[0].low < 2
    assert apart[0].high > 9
    assert alike[0].high - alike[0].low < (apart[0].high - apart[0].low) / 2
    assert alike[0].low < 5.1 < alike[0].high


def test_scatter_is_pooled_over_the_cells_of_a_study():
    alone, among = summarise((50, 52), (50, 50))[0], summarise((50, 52), *[(20, 200)] * 8)[0]
    assert among.scatter > 2 * alone.scatter
    assert among.high > alone.high


def test_no_copies_in_any_run_end_at_zero_and_all_copies_at_a_hundred():
    none, everything = summarise((0, 0, 0), (1000, 1000, 1000), (10, 12, 9))[:2]
    assert none.low == 0
    assert 0.05 < none.high < 2
    assert everything.high == 100
    assert everything.low > 98


def test_an_uncertain_threshold_widens_the_interval():
    known = [[Counted(np.array([50.0]), 1000)] * 3, [Counted(np.array([50.0]), 1000)] * 3]
    uncertain = [[Counted(np.linspace(10, 120, 41), 1000)] * 3, known[1]]
    narrow, wide = (over_seeds(cells, [[5.0] * 3] * 2)[0] for cells in (known, uncertain))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


@pytest.mark.parametrize(
    ("cells", "needed"), [(((5,), (7,)), "second seed"), (((5, 9),), "third seed or a second size")]
)
def test_too_few_runs_give_no_interval_and_say_what_would(cells, needed):
    summary = summarise(*cells)[0]
    assert (summary.low, summary.high) == (None, None)
    assert needed in summary.reason
