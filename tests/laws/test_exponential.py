"""Regression on an exponential: against SciPy, against its own definitions, and on planted laws."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import least_squares, minimize, minimize_scalar

from workflow_scripts.laws.exponential import (
    BACKGROUND_SD,
    CEILING,
    CEILING_SD,
    Dispersion,
    ExponentialModel,
    Method,
    Prior,
    draw_replicas,
    estimate_dispersion,
    expected_share,
)

X = np.array([-1.0, -0.5, 0.0, 0.5, 1.0, 1.5])
DESIGN = np.stack([np.ones(6), -X], axis=1)
TRUTH = np.array([np.log(0.2), 1.4])
SAMPLES = np.full(6, 1024.0)
KNOWN = Dispersion(1.0, np.inf)


def model(
    replicas: np.ndarray, method: Method = "binomial", background: float = 0.0, **more: object
) -> ExponentialModel:
    return ExponentialModel(DESIGN, replicas, SAMPLES, np.full(6, background), method, **more)


def planted(draws: int, background: float = 0.0, run_sd: float = 0.0, seed: int = 0) -> ExponentialModel:
    truth = model(np.zeros(6), background=background, run_sd=run_sd)
    return replace(truth, replicas=draw_replicas(truth, TRUTH, Dispersion(1.0, np.inf, run_sd), draws, [seed]))


@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(0, 0.9))
def test_share_rises_with_eta_between_background_and_ceiling(one: float, other: float, background: float) -> None:
    low, high = expected_share(np.sort([one, other]), np.array(background), "binomial")
    assert background <= low <= high <= background + (1 - background) * np.exp(CEILING) + 1e-12


def test_share_is_the_exponential_below_nine_tenths() -> None:
    eta = np.linspace(-9, np.log(0.9), 200)
    np.testing.assert_allclose(expected_share(eta, np.zeros(()), "binomial"), np.exp(eta), rtol=1e-3)


def test_below_the_ceiling_the_binomial_fit_is_the_maximum_of_the_likelihood() -> None:
    replicas = np.round(planted(1).replicas[0] / 4)

    def loss(theta: np.ndarray) -> float:
        share = expected_share(DESIGN @ theta, np.zeros(()), "binomial")
        return -float((replicas * np.log(share) + (SAMPLES - replicas) * np.log1p(-share)).sum())

    best = minimize(loss, TRUTH, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9})
    np.testing.assert_allclose(model(replicas).fit(), best.x, atol=1e-3)


def test_least_squares_fit_is_scipys() -> None:
    replicas = planted(1).replicas[0]
    best = least_squares(lambda theta: np.exp(DESIGN @ theta) - replicas / SAMPLES, TRUTH, xtol=1e-14, ftol=1e-14)
    fitted = model(replicas, "least_squares")
    np.testing.assert_allclose(fitted.fit(), best.x, rtol=1e-5)
    assert fitted.objective(fitted.fit()) == pytest.approx(2e4 * best.cost, rel=1e-8)


@pytest.mark.parametrize("background", [0.0, 0.05])
@pytest.mark.parametrize("run_sd", [0.0, 0.3, 1.0])
def test_deviance_is_the_integral_of_the_quasi_likelihood(run_sd: float, background: float) -> None:
    replicas = np.array([900.0, 400.0, 120.0, 30.0, 1.0, 0.0])
    one = model(replicas, background=background, run_sd=run_sd)
    expected = 0.0
    for share, count in zip(one.shares(TRUTH), replicas, strict=True):

        def force(t: float, y: float = count / 1024) -> float:
            copied = t - background
            runs = run_sd**2 * copied**2 * (1 - t)
            rest = (CEILING_SD * copied**4) ** 2 + (BACKGROUND_SD * background) ** 2
            return (y - t) / (t * (1 - t) / 1024 + runs + rest)

        expected += 2 * quad(force, share, count / 1024, epsabs=1e-9, epsrel=1e-9, limit=400)[0]
    assert float(one.objective(TRUTH)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("method", ["binomial", "least_squares"])
def test_profile_ends_where_the_objective_has_risen_by_the_cutoff(method: Method) -> None:
    one = replace(planted(1, background=0.01, run_sd=0.2), method=method)
    one = replace(one, replicas=one.replicas[0])
    theta = one.fit()
    cutoff = 4.0 if method == "binomial" else 30.0
    low, high = one.profile(theta, np.eye(2), cutoff)
    for fixed, free in ((0, 1), (1, 0)):
        for end in (low[fixed], high[fixed]):

            def at(value: float, end: float = end, fixed: int = fixed, free: int = free) -> float:
                other = np.empty(2)
                other[fixed], other[free] = end, value
                return float(one.objective(other))

            best = minimize_scalar(
                at, bounds=(theta[free] - 5, theta[free] + 5), method="bounded", options={"xatol": 1e-9}
            )
            assert best.fun - float(one.objective(theta)) == pytest.approx(cutoff, rel=1e-3)


def test_profile_of_a_combination_is_that_of_the_shifted_parameter() -> None:
    one = replace(planted(1), replicas=planted(1).replicas[0])
    row = np.array([[1.0, -0.7]])
    shifted = replace(one, design=np.stack([np.ones(6), -(X - 0.7)], axis=1))
    np.testing.assert_allclose(
        np.concatenate(one.profile(one.fit(), row, 3.84)),
        [end[0] for end in shifted.profile(shifted.fit(), np.eye(2), 3.84)],
        rtol=1e-4,
    )


def test_many_data_sets_are_fitted_as_each_alone() -> None:
    together = planted(5, background=0.02, run_sd=0.3)
    theta = together.fit()
    low, high = together.profile(theta, np.eye(2), 3.84)
    for i, replicas in enumerate(together.replicas):
        alone = replace(together, replicas=replicas)
        np.testing.assert_allclose(theta[i], alone.fit(), atol=1e-5)
        one_low, one_high = alone.profile(alone.fit(), np.eye(2), 3.84)
        np.testing.assert_allclose(low[:, i], one_low, rtol=1e-3)
        np.testing.assert_allclose(high[:, i], one_high, rtol=1e-3)


def test_weight_zero_leaves_a_point_out() -> None:
    one = replace(planted(1), replicas=planted(1).replicas[0])
    without = replace(one, weight=np.array([1.0, 1.0, 0.0, 1.0, 1.0, 1.0]))
    rest = np.arange(6) != 2
    short = ExponentialModel(DESIGN[rest], one.replicas[rest], SAMPLES[rest], np.zeros(5), "binomial")
    np.testing.assert_allclose(without.fit(), short.fit(), atol=1e-6)


def test_prior_decides_where_one_point_cannot() -> None:
    one = ExponentialModel(
        DESIGN[:1],
        np.array([700.0]),
        SAMPLES[:1],
        np.zeros(1),
        "binomial",
        prior=Prior(np.array([1.0, 0.0]), -1.5, 0.3),
    )
    level, rate = one.fit()
    assert level == pytest.approx(-1.5, abs=1e-4)
    assert np.exp(level - rate * X[0]) == pytest.approx(700 / 1024, rel=1e-3)


@pytest.mark.parametrize("background", [0.0, 0.01])
def test_intervals_of_a_planted_law_cover_it(background: float) -> None:
    sets = planted(500, background=background)
    low, high = sets.profile(sets.fit(), np.eye(2), KNOWN.cutoff())
    covered = ((low <= TRUTH[:, None]) & (TRUTH[:, None] <= high)).mean(axis=1)
    assert np.all(covered > 0.92), covered
    assert np.all(covered < (0.98 if background == 0 else 1.01)), covered  # what is not known of a background widens


def test_scatter_between_runs_is_recovered() -> None:
    x = np.tile(X, 20)
    many = ExponentialModel(
        np.stack([np.ones(120), -x], axis=1), np.zeros(120), np.full(120, 4096.0), np.zeros(120), "binomial", run_sd=0.4
    )
    estimates = []
    for seed in range(5):
        replicas = draw_replicas(many, TRUTH, Dispersion(1.0, np.inf, 0.4), 1, [seed])[0]
        estimates.append(estimate_dispersion([replace(many, replicas=replicas, run_sd=0.0)]).run_sd)
    assert np.mean(estimates) == pytest.approx(0.4, rel=0.1)


def test_counting_alone_needs_no_scatter() -> None:
    estimates = [
        estimate_dispersion([replace(planted(1), replicas=replicas)]).run_sd for replicas in planted(20).replicas
    ]
    assert np.median(estimates) < 0.05


def test_without_degrees_of_freedom_no_scatter_is_estimated() -> None:
    two = ExponentialModel(DESIGN[:2], np.array([700.0, 300.0]), SAMPLES[:2], np.zeros(2), "binomial")
    assert estimate_dispersion([two]) == Dispersion(1.0, np.inf)
    assert np.isinf(estimate_dispersion([replace(two, method="least_squares")]).factor)


def test_drawn_counts_have_the_variance_of_the_model() -> None:
    one = model(np.zeros(6), background=0.02, run_sd=0.3)
    counts = draw_replicas(one, TRUTH, Dispersion(1.0, np.inf, 0.3), 20_000, [1])
    np.testing.assert_allclose(counts.mean(axis=0) / SAMPLES, one.shares(TRUTH), rtol=0.03)
    np.testing.assert_allclose(counts.var(axis=0) / SAMPLES**2, one.variance(TRUTH), rtol=0.15)
