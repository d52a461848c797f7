"""The one-shot estimate: from replication at one small set (or a few) to replication at any size, and the safe size.

One point cannot give the two parameters of the law. As Feng et al. (ICCV 2021) propose, the level comes from other
pairs of generator and data set, and the point gives the rate. Unlike there, the level is not taken as known: it is
drawn from its scatter among those pairs, the count from its sampling error and the scatter
between runs, the growth of the
intrinsic dimension with size from its own fit, and the spread of the outcomes is the answer's interval. With more
points the level is drawn towards what they say, until from three sizes on the pair's own law (`decay.fit_decay`) can
stand without it.
"""

from dataclasses import dataclass, replace

import numpy as np

from workflow_scripts.laws.decay import (
    DIMENSION_AXIS,
    LEVEL,
    LN_100,
    LevelPrior,
    Points,
    build_model,
    law,
    why_uninformative,
)
from workflow_scripts.laws.exponential import Dispersion, Prior, draw_replicas
from workflow_scripts.laws.safe_size import SafeSize, interval, sizes_at
from workflow_scripts.laws.size_law import DimensionCurve

DRAWS = 2000
PUBLISHED_DIMENSIONS = (11.9, 33.6)


@dataclass(frozen=True)
class OneShotEstimate:
    """Predicted replication (percentages of copies, background excluded) at sizes (s,), each with a 95 % interval.

    reason: why no prediction could be made, or empty; then the numbers are NaN. assumptions, warnings: for people.
    """

    level: float
    rate: float
    sizes: np.ndarray
    percentage: np.ndarray
    low: np.ndarray
    high: np.ndarray
    safe_size: SafeSize
    assumptions: list[str]
    warnings: list[str]
    reason: str = ""


def estimate(
    points: Points,
    curve: DimensionCurve,
    prior: LevelPrior,
    sizes: np.ndarray,
    wanted_percentage: float = 1.0,
    threshold_rms: float | None = None,
    seed: int = 0,
) -> OneShotEstimate:
    """Predict replication at `sizes` (s,) and the smallest size with at most `wanted_percentage` of copies.

    points: measured at one or more sizes (their `value` is not used: dimensions are read off `curve`, so that the
    prediction goes through the points). threshold_rms: of the measurement, to be compared with the prior's.
    """
    assumptions = _assumptions(points, prior, wanted_percentage)
    reason = why_uninformative(points, prior)
    at = replace(points, value=curve.dimension(points.size))
    if not reason:
        model = replace(
            build_model(at, DIMENSION_AXIS, "binomial"),
            prior=Prior(LEVEL, prior.mean - LN_100, prior.sd),
            run_sd=prior.run_sd,
        )
        theta = model.fit()
        # Mean and sd of the level come from few pairs themselves: Student's t, not a Gaussian.
        scatter = np.random.default_rng([seed, 3]).standard_t(max(1, prior.pairs - 1), DRAWS)
        lines = curve.draws(DRAWS, [seed, 4])
        x = DIMENSION_AXIS.standardise(lines[:, :1] + lines[:, 1:] * np.log(points.size))
        drawn = replace(
            model,
            design=np.stack([np.ones_like(x), -x], axis=-1),
            replicas=draw_replicas(model, theta, Dispersion(1.0, np.inf, prior.run_sd), DRAWS, [seed, 5]),
            prior=Prior(LEVEL, prior.mean - LN_100 + prior.sd * scatter, prior.sd),
        ).fit(np.broadcast_to(theta, (DRAWS, 2)))
        # The law is one of decay: outcomes in which larger sets are copied more say that level and point do not fit.
        decays = drawn[:, 1] > 0
        if theta[1] <= 0 or decays.mean() < 0.1:
            reason = "given the level of the other pairs, the points would mean that larger sets are copied more"
    if reason:
        return no_estimate(sizes, reason, assumptions)
    level, rate, lines = drawn[decays, 0] + LN_100, drawn[decays, 1], lines[decays]
    spread = law(
        level[:, None],
        rate[:, None],
        DIMENSION_AXIS.standardise(lines[:, :1] + lines[:, 1:] * np.log(sizes)),
    )
    low, high = np.quantile(spread, [0.025, 0.975], axis=0)
    goal = DIMENSION_AXIS.restore((level - np.log(wanted_percentage)) / rate)
    own_level, own_rate = float(theta[0] + LN_100), float(theta[1])
    own_goal = float(DIMENSION_AXIS.restore(np.array((own_level - np.log(wanted_percentage)) / own_rate)))
    size = curve.size(own_goal)
    beyond = "" if curve.sizes[0] <= size <= curve.sizes[1] else "measured sizes"
    safe = SafeSize(size, *interval(sizes_at(goal, lines)), beyond)
    warnings = _warnings(at, prior, threshold_rms, float(decays.mean()), own_goal, safe, curve)
    percentage = law(own_level, own_rate, DIMENSION_AXIS.standardise(curve.dimension(sizes)))
    return OneShotEstimate(own_level, own_rate, sizes, percentage, low, high, safe, assumptions, warnings)


def no_estimate(sizes: np.ndarray, reason: str, assumptions: list[str] | None = None) -> OneShotEstimate:
    """What stands in the place of an estimate that could not be made."""
    unknown, none = np.full(len(sizes), np.nan), SafeSize(np.nan, np.nan, np.nan)
    return OneShotEstimate(np.nan, np.nan, sizes, unknown, unknown, unknown, none, assumptions or [], [], reason)


def _assumptions(points: Points, prior: LevelPrior, wanted_percentage: float) -> list[str]:
    shots = len(np.unique(points.size))
    return [
        f"Replication falls exponentially with intrinsic dimension; {shots} set size{'s' * (shots > 1)} measured.",
        f"The level at dimension {DIMENSION_AXIS.centre:.1f} is like that of other pairs of generator and data set: "
        f"{np.exp(prior.mean):.2g} %, between {np.exp(prior.mean - 1.96 * prior.sd):.2g} and "
        f"{min(100.0, np.exp(prior.mean + 1.96 * prior.sd)):.2g} % in 95 of 100 ({prior.pairs} pairs, {prior.source}).",
        "Training runs scatter about the law as they did for those pairs: "
        f"with a standard deviation of {100 * prior.run_sd:.0f} % of what they copy.",
        "The intrinsic dimension grows in proportion to the logarithm of the set's size.",
        "Larger sets are drawn from the same population, and the generator is trained in the same way.",
        f"Safe means at most {wanted_percentage:g} % of samples above the background of held-out images.",
    ]


def _warnings(
    points: Points,
    prior: LevelPrior,
    threshold_rms: float | None,
    decaying: float,
    goal: float,
    safe: SafeSize,
    curve: DimensionCurve,
) -> list[str]:
    warnings = []
    x = DIMENSION_AXIS.standardise(points.value)
    if np.abs(x).max() < 0.5:
        warnings.append(
            f"The measured sets have an intrinsic dimension near {DIMENSION_AXIS.centre:.1f}, where the level is given "
            "and the rate has no effect: the rate is hardly determined. Measure a smaller set."
        )
    if threshold_rms is not None and prior.threshold_rms and abs(threshold_rms / prior.threshold_rms - 1) > 0.1:
        warnings.append(
            f"Replicas were counted within an RMS distance of {threshold_rms:.3g}, but within "
            f"{prior.threshold_rms:.3g} for the pairs that the level comes from."
        )
    if decaying < 0.75:
        warnings.append(
            f"In {100 * (1 - decaying):.0f} % of the outcomes larger sets would be copied more; they were left out. "
            "The points and the level of the other pairs hardly fit together."
        )
    if not PUBLISHED_DIMENSIONS[0] <= goal <= PUBLISHED_DIMENSIONS[1] or x.min() < -2:
        warnings.append(
            f"The law was found at dimensions {PUBLISHED_DIMENSIONS[0]:g} to {PUBLISHED_DIMENSIONS[1]:g}; here it is "
            f"used from {points.value.min():.1f} (measured) to {goal:.1f} (safe): extrapolated."
        )
    if safe.extrapolated:
        warnings.append(
            f"The safe size {safe.size:,.0f} lies outside the sizes {curve.sizes[0]:,.0f} to {curve.sizes[1]:,.0f} at "
            "which the intrinsic dimension was measured: extrapolated."
        )
    if np.isinf(safe.high):
        warnings.append("No upper end of the safe size can be given.")
    return warnings
