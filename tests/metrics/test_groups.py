"""Images in groups: what they are worth, and tests that take groups as wholes."""

import numpy as np
import pytest

from workflow_scripts.core.intervals import counts_at_quantile, quantile_interval
from workflow_scripts.metrics.groups import Grouped
from workflow_scripts.metrics.membership import lira
from workflow_scripts.replication.measures import compare_rates, data_copying, rate, replication

GROUP = np.repeat(np.arange(20), 20)


def test_the_design_effect_is_one_of_strangers_and_the_group_s_size_of_twins() -> None:
    random = np.random.default_rng(0)
    of_people = np.repeat(random.random(20) < 0.5, 20)
    assert Grouped(of_people).design_effect == 1.0
    assert Grouped(of_people, np.arange(400)[::-1]).design_effect == 1.0
    assert Grouped(of_people, GROUP).design_effect == pytest.approx(20, rel=0.06)
    assert Grouped(random.random(400) < 0.5, GROUP).design_effect < 4
    # Where nothing is true, or of few people, the worst is taken.
    assert Grouped(np.zeros(400, bool), GROUP).design_effect == 20
    assert Grouped(random.random(400) < 0.5, GROUP % 7).design_effect == pytest.approx(400 / 7, rel=0.05)


def test_images_of_one_group_widen_every_interval() -> None:
    random = np.random.default_rng(1)
    distances = np.sort(random.random(400))
    held_out, samples, nowhere = Grouped(distances, GROUP), random.random(500), np.zeros(500, dtype=int)
    alone, together = (
        replication(samples, nowhere, part, distances[:0], {"calibrated": 0.05}) for part in (distances, held_out)
    )
    assert alone.threshold.rms == together.threshold.rms
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert together.background.high > alone.background.high
    assert together.p_value > alone.p_value
    assert rate(held_out.within(0.5)).low < rate(distances <= 0.5).low - 10
    # As many groups as independent values: with groups of twins the same quantiles.
    twins = np.repeat(distances[::20], 20)
    assert quantile_interval(twins, 0.3, design_effect=20) == quantile_interval(distances[::20], 0.3)
    assert np.ptp(counts_at_quantile(samples, twins, 0.3, 0.0, design_effect=20)) > 150


def test_tests_of_images_in_groups_err_as_seldom_as_they_say() -> None:
    """Held-out images of twenty people, each with twenty equal images; C_T, and a rate of one half."""
    random, nobody = np.random.default_rng(2), np.zeros(400, dtype=int)
    wrong = {"grouped": np.zeros(2), "alone": np.zeros(2)}
    for _ in range(100):
        samples, held_out = random.random(400), np.repeat(random.random(20), 20)
        for name, control in (("grouped", Grouped(held_out, GROUP)), ("alone", Grouped(held_out))):
            compared = compare_rates(samples <= 0.5, control.within(0.5))
            wrong[name] += data_copying(samples, control, nobody, nobody).z < -1.645, compared.p_value <= 0.05
    assert (wrong["grouped"] < 12).all()
    assert (wrong["alone"] > 25).all()


def test_few_groups_give_no_c_t() -> None:
    values, nobody = np.random.default_rng(3).random(400), np.zeros(400, dtype=int)
    assert data_copying(values, Grouped(values, GROUP % 7), nobody, nobody).z is None


def test_lira_takes_groups_as_wholes() -> None:
    """What a run makes of one image of a group, it makes of all; half of the first 20 groups are members of each."""
    random, group = np.random.default_rng(4), np.repeat(np.arange(60), 20)
    member = np.array([(group < 20) & (group % 2 == run) for run in (0, 1)])
    wrong = {"grouped": 0, "alone": 0}
    for _ in range(60):
        distances = np.exp(random.normal(0, 1, 1200) + random.normal(0, 0.1, (2, 60))[:, group])
        wrong["grouped"] += lira(distances, member, group)[0].p_value <= 0.05
        wrong["alone"] += lira(distances, member)[0].p_value <= 0.05
    assert wrong["grouped"] < 8
    assert wrong["alone"] > 12
