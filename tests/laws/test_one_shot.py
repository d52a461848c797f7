"""The one-shot estimate: one point and the level of other pairs give a law; what does not fit is refused."""

import numpy as np
import pytest

from tests.laws.test_decay import points
from workflow_scripts.laws.decay import DIMENSION_AXIS
from workflow_scripts.laws.one_shot import OtherPairs, assumptions, one_shot_outlook
from workflow_scripts.laws.pairs import Levels
from workflow_scripts.laws.size_law import DimensionCurve, fit_dimension_curve

LEVEL, RATE = np.log(8.0), 2.0  # 8 % at the published mean dimension


def others(level: float = LEVEL, sd: float = 0.1, scatter: float = 0.2) -> OtherPairs:
    levels = Levels(level, sd, (level, level), np.full(400, scatter), 30, 30, 0.5, (12.0, 34.0))
    return OtherPairs(levels, "made up", 0.1415)


def growth() -> DimensionCurve:
    """Dimension 18 at 200 images, 30 at 20,000."""
    sizes = np.array([200.0, 2000.0, 20000.0])
    dimension = 18 + 12 * np.log(sizes / 200) / np.log(100)
    return fit_dimension_curve(sizes, dimension, dimension - 0.1, dimension + 0.1)


def share(size: float) -> float:
    x = DIMENSION_AXIS.standardise(growth().dimension(np.array(size)))
    return float(np.exp(LEVEL - RATE * x)) / 100


def test_the_planted_law_is_found_from_one_point() -> None:
    shot = one_shot_outlook(points([100 * share(400)], np.array([400])), growth(), others(), 0.1415)
    assert shot.outlook is not None
    assert shot.rate == pytest.approx(RATE, rel=0.2)
    sizes = np.array([400.0, 2000.0, 20000.0])
    low, _, high = shot.outlook.percentage(sizes)
    for i, size in enumerate(sizes):
        assert low[i] <= 100 * share(size) <= high[i]
    safe = shot.outlook.safe_size(1.0, np.array([400.0]))
    planted = growth().size(float(DIMENSION_AXIS.restore(np.array((LEVEL - np.log(1.0)) / RATE))))
    assert safe.low <= planted <= safe.high
    assert not shot.warnings


def test_a_level_that_scatters_more_says_less() -> None:
    widths = []
    for sd in (0.1, 0.8):
        shot = one_shot_outlook(points([40.0], np.array([300])), growth(), others(sd=sd))
        assert shot.outlook is not None
        low, _, high = shot.outlook.percentage(np.array([5000.0]))
        widths.append(float(np.log(high / low)[0]))
    assert widths[1] > 2 * widths[0]


def test_a_point_below_the_level_of_others_is_refused() -> None:
    shot = one_shot_outlook(points([0.3], np.array([250])), growth(), others())
    assert shot.outlook is None
    assert "larger sets are copied more" in shot.reason


def test_warnings_say_what_is_wrong() -> None:
    near_mean = one_shot_outlook(points([8.5], np.array([1500])), growth(), others(), 0.07)
    text = " ".join(near_mean.warnings)
    assert "the rate has no effect" in text
    assert "RMS distance of 0.07" in text


@pytest.mark.parametrize(("size", "refused"), [(10, "6.6"), (100, ""), (10**8, "38.8")])
def test_sets_that_are_simpler_or_richer_than_those_of_the_law_are_refused(size: int, refused: str) -> None:
    """On tiny images the level of the published pairs missed a third of what was measured."""
    sizes = np.array([10.0, 1000.0])
    curve = fit_dimension_curve(sizes, 2 + 2 * np.log(sizes))
    shot = one_shot_outlook(points([60.0], np.array([size])), curve, others())
    assert (shot.outlook is None) == bool(refused)
    assert f"have an intrinsic dimension of {refused}" in shot.reason or not refused


def test_assumptions_name_their_source() -> None:
    text = " ".join(assumptions(points([40.0], np.array([300])), others(), 1.0))
    assert "30 other pairs" in text
    assert "8 %" in text
    assert "coefficient of variation of 0.2" in text
