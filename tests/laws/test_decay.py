"""Laws of decay: planted ones come back, and what the measurements do not identify is said with what would help."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.laws.decay import Axis, DecayFit, Points, fit_pairs, paper_parameters, why_uninformative
from workflow_scripts.laws.posterior import CURVES, Curve

SIZES = np.array([6, 8, 11, 13, 16, 19, 23, 32], dtype=float)
AXIS = Axis("ln_size", float(np.log(16)), 1.0)


def points(percentage: list[float] | np.ndarray, sizes: np.ndarray = SIZES, background: float = 0.0) -> Points:
    replicas = np.round(1024 * np.array(percentage, dtype=float) / 100)
    count = len(sizes)
    return Points(
        np.array(sizes, dtype=float),
        np.full(count, np.nan),
        replicas,
        np.full(count, 1024.0),
        np.full(count, background),
    )


def fit(measured: Points, curve: Curve = "exponential") -> DecayFit:
    return fit_pairs({("biggan", "set"): measured}, AXIS, curve)["biggan", "set"]


@pytest.mark.parametrize("curve", CURVES)
def test_a_planted_law_lies_inside_its_intervals(curve: Curve) -> None:
    eta = -2 - 2.5 * AXIS.standardise(SIZES)
    share = np.exp(np.minimum(eta, -0.02)) if curve == "exponential" else 1 / (1 + np.exp(-eta))
    law = fit(points(100 * share), curve)
    assert law.identified
    assert law.rate_interval[0] < 2.5 < law.rate_interval[1]
    assert law.level_interval[0] < -2 + np.log(100) < law.level_interval[1]
    assert law.rate == pytest.approx(2.5, abs=0.15)
    assert law.percentage(SIZES) == pytest.approx(100 * share, abs=8)
    assert law.goodness()[0] > 0.98


def test_eight_sizes_and_one_seed_of_three_generators_identify_the_laws() -> None:
    measured = {
        "biggan": [71, 58, 22, 11, 9, 6, 2.6, 2.0],
        "stylegan2": [79, 70, 30, 15, 13, 2, 2.1, 1.7],
        "diffusion": [83, 74, 38, 21, 9, 5, 1.0, 0.0],
    }
    fits = fit_pairs({(name, "set"): points(row, background=0.01) for name, row in measured.items()}, AXIS)
    assert all(law.identified for law in fits.values())
    assert all(law.rate_interval[1] / law.rate_interval[0] < 3 for law in fits.values())


def test_three_sizes_and_one_seed_identify_nothing() -> None:
    law = fit(points([70, 21, 4], np.array([8, 16, 32])))
    assert not law.identified
    assert np.isnan(law.rate_interval).all()
    assert "add at least 3 more runs" in law.reason


@pytest.mark.parametrize(
    ("percentage", "words"),
    [
        ([0.0] * 8, "no sample counts as a replica"),
        ([100.0] * 8, "every sample counts as a replica"),
        ([1, 1, 0.5, 1, 0.9, 1, 0.7, 1], "more replicas than among held-out images"),
        ([2, 3, 5, 8, 12, 20, 30, 50], "grows"),
        ([20, 35, 12, 25, 18, 30, 15, 22], "includes 0"),
    ],
)
def test_what_identifies_no_law_is_said(percentage: list[float], words: str) -> None:
    assert words in fit(points(percentage, background=0.01)).reason


def test_a_fall_within_one_step_names_the_sizes_between_which_to_measure() -> None:
    sizes = np.repeat(np.array([8, 16, 32, 64, 128.0]), 2)
    gentle = points([70, 60, 30, 33, 14, 12, 6, 7, 3, 2.5], sizes)  # another pair tells how runs scatter
    steep = points([78, 79, 75, 76, 74, 77, 0, 0, 0, 0], sizes)
    law = fit_pairs({("a", "set"): gentle, ("b", "set"): steep}, AXIS)["b", "set"]
    assert np.isinf(law.rate_interval[1])
    assert "add sizes between 32 and 64" in law.reason


def test_most_held_out_images_count_so_that_counting_says_nothing() -> None:
    assert "narrower threshold" in why_uninformative(points([90.0] * 8, background=0.8))


@given(st.floats(0.1, 10), st.floats(-5, 5), st.floats(-3, 3))
def test_a_b_c_describe_the_same_curve(level: float, rate: float, x: float) -> None:
    a, b, c = paper_parameters(level, rate)
    assert a ** (b * x - c) == pytest.approx(np.exp(level - rate * x), rel=1e-9)


@given(st.sampled_from(["dimension", "ln_size", "size"]), st.floats(1, 1e4), st.floats(-3, 10), st.floats(0.1, 10))
def test_an_axis_and_its_inverse(name: str, value: float, centre: float, scale: float) -> None:
    axis = Axis(name, centre, scale)  # type: ignore[arg-type]
    assert axis.restore(axis.standardise(np.array(value))) == pytest.approx(value, rel=1e-9, abs=1e-9)
