"""Intrinsic dimension: against scikit-dimension, against a search in every resample, and on data of known dimension."""

import numpy as np
import pytest
import skdim
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from workflow_scripts.data.resolution import shrink
from workflow_scripts.metrics.dimension import (
    curve_sizes,
    estimate_dimension,
    maximum_likelihood,
    resampled,
    two_nearest_neighbours,
)


def sorted_distances(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances, indices = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(rows).kneighbors(rows)
    return distances[:, 1:], indices[:, 1:]


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, 30)) @ np.random.default_rng(1).normal(size=(30, 40))


@pytest.mark.parametrize("k", [3, 10, 20])
def test_maximum_likelihood_agrees_with_scikit_dimension(points: np.ndarray, k: int) -> None:
    near = sorted_distances(points, k)
    for average, comb, unbiased in (("local", "mean", True), ("inverse", "mle", False)):
        peer = skdim.id.MLE(unbiased=unbiased).fit(points, precomputed_knn_arrays=near, comb=comb).dimension_
        [ours] = maximum_likelihood(near[0], k, k, average)
        assert ours == pytest.approx(peer, rel=1e-6)


def test_every_k_at_once_equals_each_alone(points: np.ndarray) -> None:
    near = sorted_distances(points, 20)[0]
    alone = [maximum_likelihood(near, k, k)[0] for k in range(5, 21)]
    np.testing.assert_allclose(maximum_likelihood(near, 5, 20), alone, rtol=1e-12)


def test_equal_distances_have_no_dimension_whatever_their_logarithm_rounds_to() -> None:
    for distance in (0.1, 0.3, 0.7, 2.3):
        assert np.isinf(maximum_likelihood(np.full((5, 20), distance), 10, 20)).all()


def test_two_nn_agrees_with_scikit_dimension(points: np.ndarray) -> None:
    peer = skdim.id.TwoNN(discard_fraction=0.1, method="linear").fit(points).dimension_
    assert two_nearest_neighbours(sorted_distances(points, 2)[0]) == pytest.approx(peer, rel=1e-6)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), count=st.integers(30, 120))
def test_one_search_gives_the_neighbours_of_every_resample(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 5))
    present = np.zeros(count, dtype=bool)
    present[random.integers(0, count, count)] = True
    ours, enough = resampled(*sorted_distances(rows, count - 1), present, 4)
    assert enough
    np.testing.assert_allclose(ours, sorted_distances(rows[present], 4)[0], rtol=1e-9)


def test_short_lists_are_noticed_and_searched_again(points: np.ndarray) -> None:
    distances, indices = sorted_distances(points, 5)
    present = np.random.default_rng(0).random(len(points)) < 0.6
    assert resampled(distances, indices, present, 5)[1] is False
    # Two far clusters: with few neighbours listed, resamples of the small one run short.
    rows = np.concatenate([points, points[:30] + 1e4])
    result = estimate_dimension(rows, 3, 12, resamples=10, seed=0)
    assert result.resamples == 10


@pytest.mark.parametrize("dimension", [1, 2, 4, 7, 10])
def test_hypercubes_give_their_dimension_back(dimension: int) -> None:
    random = np.random.default_rng(dimension)
    rows = random.random((2500, dimension)) @ random.normal(size=(dimension, 12))
    result = estimate_dimension(rows, 10, 20, resamples=20, seed=0)
    # Edges pull the estimate down, the more so the higher the dimension.
    assert 0.7 * dimension < result.low <= result.dimension <= result.high < 1.1 * dimension
    assert result.two_nn == pytest.approx(dimension, rel=0.25)


def test_both_averages_give_three_dimensions_back() -> None:
    angles = 2 * np.pi * np.random.default_rng(0).random((4000, 3))  # a torus: no edges
    result = estimate_dimension(np.concatenate([np.cos(angles), np.sin(angles)], axis=1), 10, 20, 5, seed=0)
    assert result.whole_set == pytest.approx(3, rel=0.03)
    assert result.mackay_ghahramani == pytest.approx(3, rel=0.03)


def test_the_interval_is_about_the_value_of_the_whole_set(points: np.ndarray) -> None:
    estimate = estimate_dimension(points, 5, 10, resamples=50, seed=0)
    assert estimate.low < estimate.dimension == estimate.whole_set < estimate.high
    published = estimate_dimension(points, 5, 10, resamples=50, seed=0, resampling="bootstrap")
    assert published.whole_set == estimate.whole_set
    assert published.high < estimate.whole_set  # that of smaller sets


def test_a_dozen_images_have_a_dimension_and_no_interval() -> None:
    few = estimate_dimension(np.random.default_rng(0).normal(size=(12, 4)), 5, 5, resamples=20, seed=0)
    assert few.dimension == few.whole_set > 0
    assert few.low is few.high is None
    assert "at least 16 distinct images, there are 12" in few.reason


def test_resampling_is_seeded() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 4))
    assert estimate_dimension(rows, 5, 8, 10, seed=1) == estimate_dimension(rows, 5, 8, 10, seed=1)
    assert estimate_dimension(rows, 5, 8, 10, seed=1) != estimate_dimension(rows, 5, 8, 10, seed=2)


def test_duplicates_are_dropped_and_counted() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 4))
    twice = estimate_dimension(np.concatenate([rows, rows[:50]]), 5, 8, 10, seed=1)
    assert twice.distinct == 200
    assert twice.dimension == estimate_dimension(rows, 5, 8, 10, seed=1).dimension


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (np.arange(24.0).reshape(6, 4), "6 distinct images, but at least 8"),
        (np.zeros((50, 4)), "1 distinct images"),
        (np.eye(40), "at one distance"),
        (np.random.default_rng(0).normal(size=(8, 4)), "most resamples of 8"),
    ],
)
def test_sets_that_have_no_estimate_say_why(rows: np.ndarray, reason: str) -> None:
    result = estimate_dimension(rows, 3, 5, resamples=20, seed=0, resampling="bootstrap")
    assert result.dimension is None
    assert reason in result.reason


def test_images_are_scaled_down_but_never_up() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    assert shrink(images, 8).shape == (5, 8, 8, 3)
    assert shrink(images, 8).dtype == np.uint8
    np.testing.assert_array_equal(shrink(images, 32), images)
    flat = np.full((2, 16, 16, 1), 77, np.uint8)
    assert (shrink(flat, 4) == 77).all()


def test_the_scale_sweep_is_that_of_each_number_of_neighbours(points: np.ndarray) -> None:
    estimate = estimate_dimension(points, 10, 20, resamples=5, seed=0)
    assert min(estimate.by_scale) == 3
    assert max(estimate.by_scale) == 100
    near = sorted_distances(points, 100)[0]
    for k, value in estimate.by_scale.items():
        assert value == pytest.approx(maximum_likelihood(near, k, k)[0], rel=1e-6)


@given(available=st.integers(1, 100_000), last=st.integers(3, 30), wanted=st.lists(st.integers(2, 50_000), max_size=4))
def test_curve_sizes_can_all_be_measured(available: int, last: int, wanted: list[int]) -> None:
    sizes = curve_sizes(available, last, wanted)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == min(available, 20_000)
    assert len(sizes) == 1 or sizes[0] >= 2 * (last + 3)
    assert all(size in sizes for size in wanted if 2 * (last + 3) <= size < sizes[-1])
