"""The one-shot estimate: planted laws lie inside its band, more points narrow it, and it warns where it must."""

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.laws.decay import DIMENSION_AXIS, LevelPrior, Points, law
from workflow_scripts.laws.one_shot import OneShotEstimate, estimate
from workflow_scripts.laws.published import published_pairs, read_replication
from workflow_scripts.laws.size_law import DimensionCurve, fit_dimension_curve

PRIOR = LevelPrior(2.5, 0.4, 0.3, 6, "test", 0.14)
CURVE = DimensionCurve(-4.0, 3.0, np.diag([0.01, 0.0004]), np.inf, (200.0, 8000.0))
AHEAD = np.array([600.0, 1000.0, 4000.0, 20000.0])


def measured(sizes: list[float], percentages: list[float], background: float = 0.0) -> Points:
    size, share = np.array(sizes), np.array(percentages) / 100
    replicas = np.round(1024 * (background + (1 - background) * share))
    return Points(size, size, replicas, np.full(len(size), 1024.0), np.full(len(size), background))


def planted(level: float, rate: float, sizes: list[float]) -> list[float]:
    x = DIMENSION_AXIS.standardise(CURVE.dimension(np.array(sizes)))
    return [float(y) for y in law(level, rate, x)]


def one_shot(points: Points, **more: object) -> OneShotEstimate:
    return estimate(points, CURVE, PRIOR, AHEAD, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("level", "rate"), [(2.5, 1.0), (2.0, 1.2), (3.0, 0.8)])
def test_a_planted_law_lies_inside_the_band(level: float, rate: float) -> None:
    shot = one_shot(measured([200], planted(level, rate, [200])))
    truth = np.array(planted(level, rate, list(AHEAD)))
    assert shot.reason == ""
    assert np.all((shot.low <= truth) & (truth <= shot.high))
    x = (level - np.log(1.0)) / rate
    assert shot.safe_size.low <= CURVE.size(float(DIMENSION_AXIS.restore(np.array(x)))) <= shot.safe_size.high


def test_at_the_priors_mean_the_law_itself_is_predicted() -> None:
    shot = one_shot(measured([200], planted(2.5, 1.0, [200])))
    assert shot.percentage == pytest.approx(planted(2.5, 1.0, list(AHEAD)), rel=0.03)
    assert (shot.level, shot.rate) == pytest.approx((2.5, 1.0), rel=0.02)


def test_the_band_falls_with_size() -> None:
    shot = one_shot(measured([200], planted(2.5, 1.0, [200])))
    for line in (shot.low, shot.percentage, shot.high):
        assert np.all(np.diff(line) < 0)


def test_more_points_narrow_the_band() -> None:
    widths = []
    for sizes in ([200.0], [200.0, 1000.0], [200.0, 400.0, 1000.0, 4000.0]):
        shot = one_shot(measured(sizes, planted(2.5, 1.0, sizes)))
        widths.append(np.log(shot.high[-1] / shot.low[-1]))
    assert widths == sorted(widths, reverse=True)


def test_points_overrule_the_prior_as_they_become_many() -> None:
    sizes = [200.0, 400.0, 1000.0, 4000.0, 8000.0]
    shot = one_shot(measured(sizes, planted(3.4, 0.7, sizes)))
    assert abs(shot.level - 3.4) < 0.25 * abs(shot.level - PRIOR.mean)


def test_the_background_does_not_count() -> None:
    percentages = planted(2.5, 1.0, [200, 1000])
    plain, above = (one_shot(measured([200, 1000], percentages, background)) for background in (0.0, 0.02))
    assert above.percentage == pytest.approx(plain.percentage, rel=0.1)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (measured([200], [0.0]), "no sample counts"),
        (measured([200], [100.0]), "every sample counts"),
        (measured([200], [3.0]), "copied more"),
    ],
)
def test_points_that_cannot_be_continued(points: Points, words: str) -> None:
    shot = one_shot(points)
    assert words in shot.reason
    assert np.isnan(shot.percentage).all()
    assert np.isnan(shot.safe_size.size)


def test_it_warns() -> None:
    near = measured([8000], planted(2.5, 1.0, [8000]))
    assert any("hardly determined" in one for one in one_shot(near).warnings) or one_shot(near).reason
    fine = measured([200], planted(2.5, 1.0, [200]))
    assert not any("RMS" in one for one in one_shot(fine, threshold_rms=0.14).warnings)
    assert any("RMS" in one for one in one_shot(fine, threshold_rms=0.07).warnings)
    assert any("extrapolated" in one for one in one_shot(fine, wanted_percentage=0.01).warnings)
    assert not any("lies outside" in one for one in one_shot(fine, wanted_percentage=20.0).warnings)
    assert any("larger sets would be copied more" in one for one in one_shot(measured([200], [16.0])).warnings)


def test_assumptions_name_the_prior_and_the_wanted_percentage() -> None:
    text = " ".join(one_shot(measured([200], [80.0]), wanted_percentage=2.5).assumptions)
    assert "6 pairs, test" in text
    assert "2.5 %" in text


def test_it_repeats_itself() -> None:
    points = measured([200], [80.0])
    np.testing.assert_array_equal(one_shot(points).high, one_shot(points).high)
    assert not np.array_equal(one_shot(points).high, one_shot(points, seed=1).high)


def test_published_pairs_mostly_lie_inside_their_bands() -> None:
    table = read_replication("resources/published/feng2021_replication.csv")
    dimensions = pd.read_csv("resources/published/feng2021_intrinsic_dimension.csv")
    inside = []
    for (_, dataset), points in published_pairs(table, 8000, every_point=False).items():
        part = dimensions[dimensions["dataset"] == dataset]
        curve = fit_dimension_curve(part["size"].to_numpy(float), part["intrinsic_dimension"].to_numpy(float))
        prior = LevelPrior(2.7, 1.0, 0.8, 5, "the others, about")
        shot = estimate(points.select(points.size == points.size.min()), curve, prior, points.size)
        rest = points.size > points.size.min()
        inside += list(((shot.low <= points.percentage) & (points.percentage <= shot.high))[rest])
    assert np.mean(inside) > 0.7
