"""The law of one pair: planted laws are recovered, and what is no law is not called one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.laws.decay import (
    DIMENSION_AXIS,
    Axis,
    LevelPrior,
    Points,
    fit_decay,
    law,
    paper_parameters,
    squared_correlation,
)

SIZES = np.repeat([8.0, 16.0, 32.0, 64.0, 128.0, 256.0], 2)
AXIS = Axis("ln_size", float(np.log(SIZES).mean()), 1.0)


def measure(percentage: np.ndarray | float, seed: int = 0, background: float = 0.0, run_sd: float = 0.0) -> Points:
    """Points at SIZES with counts drawn about percentages of copies."""
    random = np.random.default_rng(seed)
    copied = np.minimum(np.broadcast_to(percentage, SIZES.shape) / 100 * np.exp(run_sd * random.standard_normal(12)), 1)
    replicas = random.binomial(1024, background + (1 - background) * copied).astype(float)
    return Points(SIZES, SIZES, replicas, np.full(12, 1024.0), np.full(12, background))


def planted(level: float, rate: float) -> np.ndarray:
    return law(level, rate, AXIS.standardise(SIZES))


@given(st.sampled_from(["dimension", "ln_size", "size"]), st.floats(-5, 5), st.floats(0.1, 9), st.floats(1, 1e6))
def test_axis_is_undone_by_its_inverse(name: str, centre: float, scale: float, value: float) -> None:
    axis = Axis(name, centre, scale)  # type: ignore[arg-type]
    assert axis.restore(axis.standardise(np.array(value))) == pytest.approx(value, rel=1e-9, abs=1e-9)


@given(st.floats(0.5, 6), st.floats(0.05, 4), st.floats(-2, 2))
def test_the_papers_form_is_the_same_curve(level: float, rate: float, x: float) -> None:
    a, b, c = paper_parameters(level, rate)
    assert 0 < a < 1
    assert a ** (b * x - c) == pytest.approx(float(law(level, rate, np.array(x), "least_squares")), rel=1e-9)


def test_the_papers_form_needs_a_level_above_zero() -> None:
    assert np.isnan(paper_parameters(-0.1, 1.0)).all()


@given(st.floats(-2, 8), st.floats(0.01, 5), st.floats(-3, 3), st.floats(-3, 3))
def test_a_law_of_decay_never_rises(level: float, rate: float, one: float, other: float) -> None:
    before, after = law(level, rate, np.sort([one, other]))
    assert 0 <= after <= before <= 100


@pytest.mark.parametrize("method", ["binomial", "least_squares"])
def test_a_planted_law_is_recovered(method: str) -> None:
    inside = np.zeros(2)
    for seed in range(20):
        fit = fit_decay(measure(planted(2.2, 1.1), seed), AXIS, method)  # type: ignore[arg-type]
        assert fit.identified
        inside += [low <= true <= high for true, (low, high) in zip((2.2, 1.1), fit_ends(fit), strict=True)]
    assert np.all(inside >= 17)


def fit_ends(fit: object) -> tuple[tuple[float, float], tuple[float, float]]:
    return fit.level_interval, fit.rate_interval  # type: ignore[attr-defined]


def test_a_planted_law_is_recovered_under_a_background_between_scattering_runs_and_below_a_plateau() -> None:
    inside = []
    for seed in range(30):
        runs = 0.2 * np.random.default_rng([seed, 1]).standard_normal(12)
        copied = 0.88 * np.minimum(np.exp(2.7 - 2.0 * AXIS.standardise(SIZES) + runs), 100)
        fit = fit_decay(measure(copied, seed, background=0.01), AXIS)
        assert fit.identified
        inside.append(fit.rate_interval[0] <= 2.0 <= fit.rate_interval[1])
    assert np.mean(inside) >= 0.8


@pytest.mark.parametrize("percentage", [0.5, 20.0, 90.0])
def test_constants_are_no_law(percentage: float) -> None:
    fits = [fit_decay(measure(percentage, seed), AXIS) for seed in range(20)]
    assert sum(fit.identified for fit in fits) <= 2
    assert "decay is not shown" in fits[0].reason or "grows" in fits[0].reason


def test_growth_is_no_decay() -> None:
    fit = fit_decay(measure(planted(2.7, -1.0)), AXIS)
    assert not fit.identified
    assert "grows" in fit.reason


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (measure(0.0), "no sample counts"),
        (measure(100.0), "every sample counts"),
        (measure(planted(2.7, 1.1)).select(SIZES < 20), "at least 3"),
    ],
)
def test_points_that_say_nothing_are_no_law(points: Points, words: str) -> None:
    fit = fit_decay(points, AXIS)
    assert words in fit.reason
    assert np.isnan([fit.level, fit.rate, *fit.level_interval, *fit.rate_interval]).all()


def test_what_held_out_images_do_as_well_is_no_law() -> None:
    points = measure(0.0, background=0.2)
    points = Points(
        points.value, points.size, np.minimum(points.replicas, 0.2 * 1024), points.samples, points.background
    )
    assert "held-out" in fit_decay(points, AXIS).reason


@pytest.mark.parametrize("background", [0.0, 0.01])
def test_a_fall_within_one_step_is_not_identified(background: float) -> None:
    fit = fit_decay(measure(np.where(SIZES < 50, 88.0, 0.0), background=background), AXIS)
    assert not fit.identified
    assert "one step" in fit.reason


def test_zeros_carry_information() -> None:
    falling = measure(np.where(SIZES < 40, planted(2.7, 1.1), 0.0))
    without = falling.select(SIZES < 40)
    assert fit_decay(falling, AXIS).rate > fit_decay(without, AXIS).rate


def test_band_holds_the_law_and_is_narrowest_among_the_points() -> None:
    fit = fit_decay(measure(planted(2.7, 1.1)), AXIS)
    at = np.array([2.0, 45.0, 2000.0])
    low, high = fit.band(at)
    assert np.all((low <= fit.percentage(at)) & (fit.percentage(at) <= high))
    assert np.argmin(high[1:] / low[1:]) == 0


def test_bootstrap_and_profile_agree() -> None:
    points = measure(planted(2.7, 1.1), run_sd=0.15)
    profile, bootstrap = (fit_decay(points, AXIS, interval=kind) for kind in ("profile", "bootstrap"))  # type: ignore[arg-type]
    for one, other in zip(fit_ends(profile), fit_ends(bootstrap), strict=True):
        assert other == pytest.approx(one, abs=0.35 * (one[1] - one[0]))


def test_draws_repeat_themselves() -> None:
    fit = fit_decay(measure(planted(2.7, 1.1), run_sd=0.15), AXIS)
    np.testing.assert_array_equal(fit.draws(50, [3]), fit.draws(50, [3]))
    assert np.median(fit.draws(400, [3]), axis=0) == pytest.approx([fit.level, fit.rate], rel=0.05)


def test_a_prior_stands_in_for_missing_points() -> None:
    one = measure(planted(2.7, 1.1)).select(SIZES == 8)
    fit = fit_decay(one, AXIS, prior=LevelPrior(2.7, 0.05, 0.0, 6, "test"))
    assert fit.identified
    assert fit.rate == pytest.approx(1.1, abs=0.1)


def test_squared_correlation() -> None:
    measured = np.array([1.0, 2.0, 4.0])
    assert squared_correlation(measured, 5 - 3 * measured) == pytest.approx(1.0)
    assert np.isnan(squared_correlation(measured, np.ones(3)))


def test_the_standardisation_is_that_of_the_fifteen_published_dimensions() -> None:
    import pandas as pd

    table = pd.read_csv("resources/published/feng2021_intrinsic_dimension.csv")
    natural = table.loc[table["dataset"] != "mnist", "intrinsic_dimension"]
    assert len(natural) == 15
    assert DIMENSION_AXIS.centre == pytest.approx(natural.mean(), abs=5e-6)
    assert DIMENSION_AXIS.scale == pytest.approx(natural.std(ddof=1), abs=5e-6)
