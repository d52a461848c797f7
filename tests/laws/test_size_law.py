"""Size and intrinsic dimension: the published size laws, planted lines, and their inverse."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.laws.size_law import fit_dimension_curve, fit_size_law

PUBLISHED = "resources/published/feng2021"


@pytest.mark.parametrize("dataset", ["flower", "celeba", "lsun-bedroom", "mnist"])
def test_published_size_laws(dataset: str) -> None:
    table = pd.read_csv(f"{PUBLISHED}_intrinsic_dimension.csv").query("dataset == @dataset")
    published = pd.read_csv(f"{PUBLISHED}_size_from_dimension.csv").set_index("dataset").loc[dataset]
    law = fit_size_law(table["intrinsic_dimension"].to_numpy(float), table["size"].to_numpy(float))
    assert law.p == pytest.approx(published["a"], rel=5e-4)
    assert law.q == pytest.approx(published["b"], rel=5e-4)
    assert law.r2 == pytest.approx(published["r2"], abs=6e-5)


@given(st.floats(-5, 20), st.floats(0.3, 6), st.floats(1, 1e6))
def test_a_planted_line_and_its_inverse(intercept: float, slope: float, size: float) -> None:
    sizes = np.array([10.0, 100.0, 1000.0])
    curve = fit_dimension_curve(sizes, intercept + slope * np.log(sizes))
    assert (curve.intercept, curve.slope) == pytest.approx((intercept, slope), abs=1e-6)
    assert curve.size(float(curve.dimension(np.array(size)))) == pytest.approx(size, rel=1e-6)


def test_points_weigh_by_their_intervals() -> None:
    sizes, dimension = np.array([10.0, 100.0, 1000.0]), np.array([5.0, 9.0, 10.0])
    half = np.array([0.01, 5.0, 0.01])
    curve = fit_dimension_curve(sizes, dimension, dimension - half, dimension + half)
    assert curve.dimension(sizes[[0, 2]]) == pytest.approx(dimension[[0, 2]], abs=1e-3)


def test_the_line_through_nested_sets_is_as_uncertain_as_their_common_images_make_it() -> None:
    """Means of the first n of the same values, which are correlated more than dimensions are."""
    sizes = np.array([25, 50, 100, 200, 400])
    random, held = np.random.default_rng(0), 0
    for _ in range(400):
        values = random.standard_normal(400)
        half = 1.96 / np.sqrt(sizes)
        mean = np.array([values[:size].mean() for size in sizes])
        curve = fit_dimension_curve(sizes.astype(float), mean, mean - half, mean + half)
        at = np.array([1.0, np.log(400)])
        held += abs(curve.dimension(np.array(400.0))) < 1.96 * np.sqrt(at @ curve.covariance @ at)
    assert held >= 0.93 * 400  # as if the sets were apart it would be 91.5 %


def test_scatter_beyond_the_intervals_widens_the_result() -> None:
    sizes = np.array([10.0, 30.0, 100.0, 300.0, 1000.0])
    dimension = 3 + 2 * np.log(sizes) + np.array([0.5, -0.6, 0.4, -0.5, 0.3])
    sure, unsure = (fit_dimension_curve(sizes, dimension, dimension - h, dimension + h) for h in (0.01, 2.0))
    assert sure.covariance[1, 1] > 0.01
    assert np.isfinite(sure.degrees)
    assert np.isinf(unsure.degrees)
    assert sure.draws(4000, [0])[:, 1].std() > np.sqrt(sure.covariance[1, 1])  # Student's tails


def test_draws_scatter_about_the_line_as_their_covariance_says() -> None:
    sizes, dimension = np.array([10.0, 100.0]), np.array([5.0, 9.0])
    curve = fit_dimension_curve(sizes, dimension, dimension - 0.4, dimension + 0.4)
    np.testing.assert_allclose(np.cov(curve.draws(40_000, [1]).T), curve.covariance, rtol=0.05)
    exact = fit_dimension_curve(sizes, dimension)
    np.testing.assert_allclose(exact.draws(5, [1]), np.broadcast_to([exact.intercept, exact.slope], (5, 2)))


def test_one_size_is_no_line() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        fit_dimension_curve(np.array([10.0, 10.0]), np.array([5.0, 5.2]))
