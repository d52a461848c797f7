"""The one-shot estimate: from replication at one small set (or two) to replication at any size, and the safe size.

One point cannot give the two parameters of the law. As Feng et al. (ICCV 2021) propose, the level comes from other
pairs of generator and data set, and the point gives the rate. Unlike there, the level is not taken as known: it has the
scatter of those pairs' levels (Student's t), runs scatter as they did there, and the growth of the intrinsic dimension
with size has its own errors. From three sizes on the pair's own laws (`outlook.own_outlook`) need no other pair.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import logsumexp

from workflow_scripts.laws.decay import DIMENSION_AXIS, LN_100, Interval, Points, variation
from workflow_scripts.laws.likelihood import SCATTER
from workflow_scripts.laws.outlook import Outlook
from workflow_scripts.laws.pairs import Levels
from workflow_scripts.laws.posterior import DRAWS, POOLING, LevelPrior, Surface
from workflow_scripts.laws.size_law import DimensionCurve

LINES = 25  # plausible growths of the dimension
LEAST_DECAYING = 0.1  # share of the outcomes in which copying falls at all
BEYOND = 0.1  # of the range of dimensions of other pairs: farther beyond it their level says nothing


@dataclass(frozen=True)
class OtherPairs:
    """What other pairs of generator and data set say of the level. source: for people. threshold_rms: within which they
    counted replicas, if it is one and known."""

    levels: Levels = field(repr=False)
    source: str
    threshold_rms: float | None = None

    @property
    def interval(self) -> Interval:
        """Percentages at the axis' centre, between which 95 of 100 pairs are expected."""
        low, high = self.levels.another
        return float(np.exp(low)), min(100.0, float(np.exp(high)))


@dataclass(frozen=True)
class OneShot:
    """The outlook, or the reason why there is none. level (ln percentage), rate: medians. warnings: for people."""

    outlook: Outlook | None
    level: float = np.nan
    rate: float = np.nan
    reason: str = ""
    warnings: tuple[str, ...] = ()


def one_shot_outlook(
    points: Points, curve: DimensionCurve, others: OtherPairs, threshold_rms: float | None = None
) -> OneShot:
    """The outlook from points at one or two sizes; their dimensions are read off `curve`.

    threshold_rms: of the measurement, to be compared with the other pairs'.
    """
    if reason := _out_of_range(curve.dimension(points.size), others.levels.span):
        return OneShot(None, reason=reason)
    levels = others.levels
    prior = LevelPrior(levels.mean - LN_100, levels.sd, max(1, levels.pairs - 1))
    gap = np.log(SCATTER[:, None] / levels.scatter)
    of_scatter = logsumexp(-0.5 * (gap / POOLING) ** 2, axis=1)
    lines = curve.draws(LINES, seed=[4])
    each = DRAWS // LINES
    drawn = []
    for intercept, slope in lines:
        x = DIMENSION_AXIS.standardise(intercept + slope * np.log(points.size))
        surface = Surface(x, points.size, points.tables_under("exponential"), "exponential", prior)
        draws = surface.posterior(of_scatter).draws
        chosen = np.random.default_rng(5).permutation(DRAWS)[:each]
        drawn.append([getattr(draws, name)[chosen] for name in ("level", "rate", "scatter", "chance")])
    level, rate, scatter, chance = np.concatenate(drawn, axis=1)
    line = np.repeat(lines, each, axis=0).T
    # The law is one of decay: outcomes in which larger sets are copied more say that level and point do not fit.
    decays = (rate > 0) & (line[1] > 0)
    if decays.mean() < LEAST_DECAYING:
        return OneShot(
            None, reason="with the level of other pairs, the points would mean that larger sets are copied more"
        )
    level, rate, scatter, chance, line = level[decays], rate[decays], scatter[decays], chance[decays], line[:, decays]
    kept = len(level)

    def shares(sizes: np.ndarray) -> np.ndarray:
        x = DIMENSION_AXIS.standardise(line[0] + line[1] * np.log(sizes)[:, None])
        return np.exp(np.minimum(level - rate * x, 0.0))

    def reach(share: float) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp((DIMENSION_AXIS.restore((level - np.log(share)) / rate) - line[0]) / line[1])

    outlook = Outlook(np.full(kept, 1 / kept), scatter, chance, shares, reach)
    warnings = _warnings(points, curve, others, threshold_rms, float(decays.mean()))
    return OneShot(outlook, float(np.median(level)) + LN_100, float(np.median(rate)), "", warnings)


def assumptions(points: Points, others: OtherPairs, wanted_percentage: float) -> list[str]:
    """What a one-shot estimate takes for granted."""
    shots, levels = len(np.unique(points.size)), others.levels
    low, high = others.interval
    return [
        f"Copying falls exponentially with intrinsic dimension; {shots} set size{'s' * (shots > 1)} measured.",
        f"The level at dimension {DIMENSION_AXIS.centre:.1f} is like that of {levels.pairs} other pairs of generator "
        f"and data set ({others.source}): {np.exp(levels.mean):.2g} %, between {low:.2g} and {high:.2g} % for 95 of "
        "100 pairs.",
        "Training runs scatter as they did for those pairs: by a coefficient of variation of "
        f"{variation(float(np.median(levels.scatter))):.2g}.",
        "The intrinsic dimension grows in proportion to the logarithm of the set's size.",
        *common_assumptions(wanted_percentage),
    ]


def common_assumptions(wanted_percentage: float) -> list[str]:
    """What every estimate of a safe size takes for granted."""
    return [
        "Larger sets come from the same population, and the generator is trained in the same way.",
        f"Safe means that at most {wanted_percentage:g} % of samples are copies beyond chance, on average over "
        "training runs.",
    ]


def _out_of_range(dimension: np.ndarray, known: Interval) -> str:
    """Why other pairs say nothing of sets of these dimensions (m,), or empty."""
    margin = BEYOND * (known[1] - known[0])
    least, largest = float(dimension.min()), float(dimension.max())
    if known[0] - margin <= least and largest <= known[1] + margin:
        return ""
    which = least if least < known[0] else largest
    return (
        f"the measured sets have an intrinsic dimension of {which:.1f}, and the law of other pairs was found at "
        f"{known[0]:.1f} to {known[1]:.1f}, so it says nothing here: measure three sizes, which need no other pair"
    )


def _warnings(
    points: Points, curve: DimensionCurve, others: OtherPairs, threshold_rms: float | None, decaying: float
) -> tuple[str, ...]:
    warnings = []
    dimension = curve.dimension(points.size)
    if np.abs(DIMENSION_AXIS.standardise(dimension)).max() < 0.5:
        warnings.append(
            f"The measured sets have an intrinsic dimension near {DIMENSION_AXIS.centre:.1f}, where the rate has no "
            "effect, so it is hardly determined. Measure a smaller set."
        )
    if threshold_rms is not None and others.threshold_rms and abs(threshold_rms / others.threshold_rms - 1) > 0.1:
        warnings.append(
            f"Replicas were counted within an RMS distance of {threshold_rms:.3g}, but within "
            f"{others.threshold_rms:.3g} for the pairs that the level comes from."
        )
    if decaying < 0.75:
        warnings.append(
            f"In {100 * (1 - decaying):.0f} % of the outcomes larger sets would be copied more; they were left out. "
            "The points hardly fit the level of the other pairs."
        )
    return tuple(warnings)
