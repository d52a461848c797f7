"""Measures of replication on planted replicas and on samples without any."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from workflow_scripts.core.errors import InputError
from workflow_scripts.metrics.neighbours import nearest_neighbours
from workflow_scripts.replication.measures import (
    Rate,
    calibrated_threshold,
    compare_rates,
    copies_over_training,
    data_copying,
    data_copying_control,
    is_authentic,
    is_lone,
    quantiles,
    rate,
    replication,
)

SIDE = 16


def smooth_images(count, seed):
    """Random smooth grey images, uint8 (count, 16, 16, 1): like pictures, most of them far from one another."""
    rng = np.random.default_rng([7, seed])
    coarse = rng.uniform(0, 1, (count, 8, 8))
    fine = np.kron(coarse, np.ones((2, 2))) * 180 + 40
    return np.clip(fine + rng.normal(0, 2, fine.shape), 0, 255).astype(np.uint8)[..., None]


@pytest.fixture(scope="module")
def sets():
    return smooth_images(200, 0), smooth_images(1000, 1)


def search(queries, training, k=2):
    return nearest_neighbours(queries, training, k)


def rms(a, b):
    return np.sqrt(((a.astype(float) - b.astype(float)) ** 2).mean()) / 255


def test_planted_replicas_are_found_exactly_as_the_metric_says(sets):
    training, held_out = sets
    rng = np.random.default_rng(3)
    originals = training[:5].astype(float)
    noise = np.sign(rng.standard_normal(originals.shape))  # +-1: its RMS is known without estimating
    samples = smooth_images(100, 2)
    samples[0:5] = training[:5]  # copied: at 0
    samples[5:10] = training[:5, :, ::-1]  # mirrored: another picture to this metric
    samples[10:15] = (originals + 20).astype(np.uint8)  # brighter by 20 of 255: at 20 / 255
    samples[15:20] = (originals + 10 * noise).astype(np.uint8)  # noise of RMS 10: at 10 / 255
    samples[20:25] = (originals + 30 * noise).astype(np.uint8)  # noise of RMS 30: at 30 / 255
    nearest, control = search(samples, training), search(held_out, training)
    np.testing.assert_allclose(nearest.distances[:5, 0], 0)
    np.testing.assert_allclose(nearest.distances[10:15, 0], 20 / 255)
    np.testing.assert_allclose(nearest.distances[15:20, 0], 10 / 255)
    np.testing.assert_allclose(nearest.distances[20:25, 0], 30 / 255)
    assert (nearest.indices[[*range(5), *range(10, 25)], 0] == np.tile(np.arange(5), 4)).all()

    own = nearest_neighbours(training, training, 1, exclude_self=True).distances[:, 0]
    at = {t: replication(nearest.distances[:, 0], nearest.indices[:, 0], control.distances[:, 0], own, {"rms": t / 255})
          for t in (0, 10, 19.9, 20, 25, 30)}  # fmt: skip
    assert [at[t].replicas.count for t in at] == [5, 10, 10, 15, 15, 20]
    assert all(r.background.count == 0 and r.near_duplicates.count == 0 for r in at.values())
    assert {r.images_copied for r in at.values()} == {5}
    mirrored = [rms(mirror, image) for mirror, image in zip(samples[5:10], training[:5], strict=True)]
    assert min(mirrored) > 30 / 255
    assert at[30].excess.percentage == pytest.approx(20.0)
    assert at[30].excess.low > 10


def test_a_set_without_replicas_shows_no_excess_at_the_calibrated_threshold(sets):
    training, held_out = sets
    others = search(smooth_images(1000, 5), training)
    control = search(held_out, training).distances[:, 0]
    result = replication(others.distances[:, 0], others.indices[:, 0], control, control[:0], {"calibrated": 0.05})
    assert result.background.count == 50
    assert result.excess.low < 0 < result.excess.high
    assert result.p_value > 0.05
    assert result.low <= result.replicas.low < result.replicas.high <= result.high  # counting alone is narrower
    assert result.near_duplicates == Rate(0, 0, None, None, None)


def test_near_duplicates_of_the_training_set_are_counted(sets):
    training = sets[0].copy()
    training[10] = training[150]
    training[20] = np.clip(training[160].astype(int) + 3, 0, 255)
    own = nearest_neighbours(training, training, 1, exclude_self=True).distances[:, 0]
    for limit, count in ((0, 2), (2.9 / 255, 2), (3 / 255, 4)):
        result = replication(own[:0], np.zeros(0, int), own[:0], own, {"rms": limit})
        assert result.near_duplicates.count == count
        assert result.replicas.percentage is result.excess.percentage is None


def test_calibrated_threshold_is_the_lower_order_statistic():
    distances = np.random.default_rng(0).permutation(np.arange(1, 2001)) / 2000
    threshold = calibrated_threshold(distances, 0.01)
    assert threshold.rms == 20 / 2000
    assert threshold.low < threshold.rms < threshold.high
    ranks = stats.binom.ppf([0.025, 0.975], 2000, 0.01)
    assert [threshold.low * 2000, threshold.high * 2000] == pytest.approx([ranks[0], ranks[1] + 1], abs=1)
    assert calibrated_threshold(distances[:100], 0.07).rms == np.sort(distances[:100])[6]  # 0.07 * 100 is 7, not 6.99


def test_calibrated_threshold_of_a_set_whose_held_out_images_are_in_it_too():
    distances = np.concatenate([np.zeros(100), np.linspace(0.1, 0.2, 900)])
    threshold = calibrated_threshold(distances, 0.01)
    assert threshold.rms == 0
    assert (
        replication(distances[:0], np.zeros(0, int), distances, distances[:0], {"rms": 0.0}).background.percentage == 10
    )


def test_too_few_held_out_images_cannot_calibrate():
    with pytest.raises(InputError, match="at least 100 held-out images, and 99 are left"):
        calibrated_threshold(np.linspace(0, 1, 99), 0.01)


def test_rates_carry_scipys_interval():
    interval = stats.binomtest(3, 1024).proportion_ci(method="wilson")
    three = rate(np.arange(1024) < 3)
    assert (three.count, three.of, three.percentage) == (3, 1024, 300 / 1024)
    assert [three.low, three.high] == pytest.approx([100 * interval.low, 100 * interval.high])


def test_lone_neighbour_is_strict_and_takes_duplicates_for_what_they_are():
    first, second = np.array([1.0, 1.0, 0.0, 0.0, 0.9]), np.array([3.0, 2.0, 1.0, 0.0, 3.0])
    assert is_lone(first, second).sum() == 2  # neither 1/3 itself, nor 0/0: the set holds the image twice


def test_authenticity_is_high_for_strangers_and_none_for_copies(sets):
    training, held_out = sets
    own = nearest_neighbours(training, training, 1, exclude_self=True).distances[:, 0]
    copies, strangers = search(training[:50], training), search(held_out, training)
    of_copies, of_strangers = (is_authentic(x.distances[:, 0], own[x.indices[:, 0]]) for x in (copies, strangers))
    assert not of_copies.any()
    compared = compare_rates(of_copies, of_strangers, fewer=True)
    assert compared.held_out.percentage > 40
    assert compared.difference.high < -30
    assert compared.p_value < 1e-6


@pytest.mark.parametrize(("count", "of", "control", "control_of"), [(3, 20, 1, 30), (0, 9, 4, 9), (9, 9, 4, 9)])
def test_rates_are_compared_by_fishers_test(count, of, control, control_of):
    first, second = np.arange(of) < count, np.arange(control_of) < control
    table = [[count, of - count], [control, control_of - control]]
    more, fewer = (stats.fisher_exact(table, alternative=side).pvalue for side in ("greater", "less"))
    assert compare_rates(first, second).p_value == pytest.approx(more)
    assert compare_rates(first, second, fewer=True).p_value == pytest.approx(fewer)


def test_nothing_is_compared_with_nothing():
    compared = compare_rates(np.zeros(0, bool), np.ones(3, bool))
    assert (compared.difference.percentage, compared.p_value) == (None, None)


def test_an_estimated_threshold_widens_the_interval_where_copies_straddle_it():
    rng = np.random.default_rng(0)
    held_out = np.sort(rng.uniform(0.1, 1.0, 400))
    straddling, clear = rng.uniform(0.1, 0.12, 500), np.zeros(500)
    near, far = (replication(x, np.zeros(500, int), held_out, held_out[:0], {"calibrated": 0.01}) for x in
                 (straddling, clear))  # fmt: skip
    assert near.high - near.low > 3 * (near.replicas.high - near.replicas.low)
    assert (far.low, far.high) == (pytest.approx(far.replicas.low, abs=1), 100)


def test_data_copying_agrees_with_scipy_and_has_unit_variance_by_chance():
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 30, 200) / 30, rng.integers(0, 33, 300) / 30
    z = data_copying(first, second, np.zeros(200), np.zeros(300)).z
    p = stats.mannwhitneyu(first, second, method="asymptotic", use_continuity=False).pvalue
    assert 2 * stats.norm.sf(abs(z)) == pytest.approx(p)
    chance = [data_copying(rng.random(100), rng.random(150), np.zeros(100), np.zeros(150)).z for _ in range(800)]
    assert np.mean(chance) == pytest.approx(0, abs=0.12)
    assert np.std(chance) == pytest.approx(1, abs=0.08)


def test_data_copying_in_one_cell_is_seen_by_cells_and_hidden_overall():
    rng = np.random.default_rng(2)
    cells = np.arange(900) % 3
    held_out = rng.random(900)
    samples = rng.random(900) + np.where(cells == 0, -0.5, np.where(cells == 1, 0.5, 0.0))
    result = data_copying(samples, held_out, cells, cells)
    assert abs(result.z) < 2.5
    assert (result.cells, abs(result.cellwise_z) < 2.5) == (3, True)
    copied = data_copying(samples[cells == 0], held_out, cells[cells == 0], cells)
    assert (copied.cells, copied.cellwise_z < -8) == (1, True)


def test_the_control_of_data_copying_is_chance():
    rng = np.random.default_rng(3)
    held_out = np.sort(rng.random((400, 300)), axis=1)  # in any order of the images
    controls = [data_copying_control(distances, np.zeros(300)).z for distances in held_out]
    assert np.std(controls) < 1.2
    assert data_copying_control(held_out[0, :10], np.zeros(10)).z is None


def test_data_copying_needs_enough_of_both():
    few = data_copying(np.zeros(19), np.ones(500), np.zeros(19), np.zeros(500))
    assert (few.z, few.cellwise_z, few.cells) == (None, None, 0)
    assert data_copying(np.zeros(30), np.zeros(30), np.zeros(30), np.zeros(30)).z == 0


def test_quantiles():
    assert quantiles(np.arange(101.0))["0.25"] == 25
    assert list(quantiles(np.arange(5.0))) == ["0", "0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99", "1"]
    assert quantiles(np.zeros(0)) == {}


def test_copies_over_training_are_counted_at_the_threshold_of_the_finished_generator():
    control = np.linspace(0.1, 0.2, 100)
    rows = pd.DataFrame({"query": np.arange(100), "rank": 1, "index": 0, "distance": control, "kind": "held_out"})
    own = pd.DataFrame({"query": [0, 1], "rank": 1, "index": [1, 0], "distance": 0.3, "kind": "training"})
    snapshots = pd.DataFrame(
        {
            "moment": np.repeat([0, 1], 50),
            "sample": np.tile(np.arange(50), 2),
            "index": 0,
            "distance": np.concatenate([np.full(50, 0.4), np.where(np.arange(50) < 20, 0.01, 0.4)]),
        }
    )
    moments = pd.DataFrame({"step": [100, 200], "frechet": [2.0, 1.0]})
    table = copies_over_training(moments, snapshots, pd.concat([rows, own]), {"calibrated": 0.01})
    assert table["step"].tolist() == [100, 200]
    assert table["replicas"].tolist() == [0, 20]
    assert table["percentage"].tolist() == [0, 40]
    assert table["excess_percentage"].tolist() == [-1, 39]
    assert table["frechet"].tolist() == [2, 1]
