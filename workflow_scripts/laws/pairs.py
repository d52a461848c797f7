"""The law across pairs of generator and data set: is the level shared, as Feng et al. (ICCV 2021) state?

Four models of the same points: `constant` (no decay: each pair has one percentage), `shared` (one level, a rate for
each pair: the paper's "shared decaying factor"), `free` (level and rate for each pair) and `hierarchical` (levels
scatter about a common mean, and each pair's level is drawn towards it as far as its own points leave it open). They are
compared by leaving out one set size at a time, and by likelihood ratios (F tests where the scatter is estimated).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2
from scipy.stats import f as f_distribution

from workflow_scripts.laws.decay import (
    LN_100,
    Axis,
    DecayFit,
    LevelPrior,
    Points,
    build_model,
    fit_decay,
    why_uninformative,
)
from workflow_scripts.laws.exponential import Dispersion, ExponentialModel, Method, estimate_dispersion

Pair = tuple[str, ...]  # generator, data set


@dataclass(frozen=True)
class SharedFit:
    """One level for all pairs, a rate for each; intervals are 95 % profile intervals."""

    level: float
    level_interval: tuple[float, float]
    rates: dict[Pair, float]
    rate_intervals: dict[Pair, tuple[float, float]]


@dataclass(frozen=True)
class RatioTest:
    """A likelihood-ratio test: statistic (F, or chi-square where the dispersion is known), degrees of freedom,
    p-value."""

    statistic: float
    degrees: int
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """How well the models describe and predict.

    deviance: of all points. errors: absolute errors in points at sizes that the fit had not seen, for each model the
    mean and the median. decay: free against constant. shared_level: free against shared; none for a single pair.
    """

    deviance: dict[str, float]
    mean_error: dict[str, float]
    median_error: dict[str, float]
    dispersion: Dispersion
    decay: RatioTest
    shared_level: RatioTest | None


def fit_pairs(pairs: Mapping[Pair, Points], axis: Axis, method: Method) -> dict[Pair, DecayFit]:
    """Fit each pair by itself; only the scatter is common to the pairs of a generator: few points of a pair tell
    little."""
    scatter = _scatter(pairs, axis, method)
    return {pair: fit_decay(points, axis, method, scatter[pair[0]]) for pair, points in pairs.items()}


def _scatter(pairs: Mapping[Pair, Points], axis: Axis, method: Method) -> dict[str, Dispersion]:
    """Scatter of each generator's runs about the laws of its pairs."""
    scatter = {}
    for generator in dict.fromkeys(pair[0] for pair in pairs):
        own = [points for pair, points in pairs.items() if pair[0] == generator and not why_uninformative(points)]
        models = [build_model(points, axis, method) for points in own]
        scatter[generator] = estimate_dispersion(models) if models else Dispersion(1.0, np.inf)
    return scatter


def overall_dispersion(fits: Mapping[Pair, DecayFit]) -> Dispersion:
    """Scatter by which models of all informative pairs together are judged, from the pairs' own fits."""
    informative = [fit for fit in fits.values() if not why_uninformative(fit.points)]
    if informative[0].model.method == "least_squares":
        return estimate_dispersion([fit.model for fit in informative])
    scatter = {pair[0]: fit.dispersion for pair, fit in fits.items() if not why_uninformative(fit.points)}
    run_sd = float(np.sqrt(np.mean([one.run_sd**2 for one in scatter.values()])))
    return Dispersion(1.0, sum(one.degrees for one in scatter.values()), run_sd)


def fit_shared(fits: Mapping[Pair, DecayFit]) -> SharedFit:
    """Fit one level and a rate for each pair, from the pairs' own fits. Pairs must be informative."""
    model = _joint(fits, "shared")
    theta = model.fit()
    low, high = model.profile(theta, np.eye(len(theta)), overall_dispersion(fits).cutoff())
    return SharedFit(
        float(theta[0] + LN_100),
        (float(low[0] + LN_100), float(high[0] + LN_100)),
        {pair: float(theta[i]) for i, pair in enumerate(fits, 1)},
        {pair: (float(low[i]), float(high[i])) for i, pair in enumerate(fits, 1)},
    )


def level_prior(fits: Mapping[Pair, DecayFit], source: str, threshold_rms: float | None = None) -> LevelPrior | None:
    """Mean and scatter of the level over pairs whose law is identified: what to expect of another pair's level.

    Levels are Normal(mean, tau) among pairs and measured with their own standard errors; tau by Paule and Mandel (1982,
    J. Res. Natl. Bur. Stand. 87:377), at least 0.01. The prior's sd also has the mean's own error. None for fewer than
    2.
    """
    levels, variances = [], []
    for fit in fits.values():
        if fit.identified:
            information = fit.model.information(fit.theta)
            levels.append(fit.level)
            variances.append(float(np.linalg.inv(information)[0, 0]) * fit.dispersion.factor)
    if len(levels) < 2:
        return None
    level, variance = np.array(levels), np.array(variances)

    def excess(between: float) -> float:
        weight = 1 / (variance + between)
        return float((weight * (level - np.average(level, weights=weight)) ** 2).sum()) - (len(level) - 1)

    between = 0.0 if excess(0.0) <= 0 else float(brentq(excess, 0.0, float(np.ptp(level) ** 2) * len(level)))
    weight = 1 / (variance + between)
    return LevelPrior(
        mean=float(np.average(level, weights=weight)),
        sd=max(0.01, float(np.sqrt(between + 1 / weight.sum()))),
        run_sd=float(np.sqrt(np.mean([fit.dispersion.run_sd**2 for fit in fits.values()]))),
        pairs=len(level),
        source=source,
        threshold_rms=threshold_rms,
    )


def fit_hierarchical(fits: Mapping[Pair, DecayFit]) -> dict[Pair, DecayFit]:
    """Fit each pair with the scatter of the levels among all pairs as its prior (empirical Bayes); empty for one
    pair."""
    prior = level_prior(fits, "the pairs of this study")
    if prior is None:
        return {}
    return {
        pair: fit_decay(fit.points, fit.axis, fit.model.method, fit.dispersion, prior) for pair, fit in fits.items()
    }


def compare_models(fits: Mapping[Pair, DecayFit]) -> Comparison:
    """Compare `constant`, `shared` and `free`, from the pairs' own fits; pairs must be informative."""
    dispersion = overall_dispersion(fits)
    models = {name: _joint(fits, name) for name in ("constant", "shared", "free")}
    thetas = {name: model.fit() for name, model in models.items()}
    deviance = {name: float(model.objective(thetas[name])) for name, model in models.items()}
    measured = np.concatenate([fit.points.percentage for fit in fits.values()])
    # A fold is one size of one pair, all seeds; a pair must keep two sizes, or its law would not be defined.
    folds = []
    start = 0
    for points in (fit.points for fit in fits.values()):
        for size in np.unique(points.size):
            fold = np.zeros(len(measured), dtype=bool)
            fold[start : start + len(points.size)] = points.size == size
            folds.append(fold)
        start += len(points.size)
    left_out = np.array(folds)
    mean_error, median_error = {}, {}
    for name, model in models.items():
        trained = replace(model, weight=(~left_out).astype(float))
        theta = trained.fit(np.broadcast_to(thetas[name], (len(folds), len(thetas[name]))))
        predicted = np.minimum(100.0 * trained.shares(theta), 100.0)
        errors = np.abs(predicted - measured)[left_out]
        mean_error[name], median_error[name] = float(errors.mean()), float(np.median(errors))
    count = len(fits)
    shared = _ratio_test(deviance["shared"] - deviance["free"], count - 1, dispersion) if count > 1 else None
    decay = _ratio_test(deviance["constant"] - deviance["free"], count, dispersion)
    return Comparison(deviance, mean_error, median_error, dispersion, decay, shared)


def _joint(fits: Mapping[Pair, DecayFit], kind: str) -> ExponentialModel:
    """All pairs in one regression. theta: levels (one, or one for each pair), then rates (none for `constant`)."""
    models = [fit.model for fit in fits.values()]
    counts = [len(model.samples) for model in models]
    owner = np.repeat(np.eye(len(models)), counts, axis=0)
    x = np.concatenate([model.design[:, 1] for model in models])[:, None]
    columns = {
        "constant": [owner],
        "shared": [np.ones((len(owner), 1)), owner * x],
        "free": [owner, owner * x],
    }[kind]
    return ExponentialModel(
        np.concatenate(columns, axis=1),
        replicas=np.concatenate([model.replicas for model in models]),
        samples=np.concatenate([model.samples for model in models]),
        background=np.concatenate([model.background for model in models]),
        method=models[0].method,
        run_sd=np.repeat([fit.dispersion.run_sd for fit in fits.values()], counts),
    )


def _ratio_test(gain: float, degrees: int, dispersion: Dispersion) -> RatioTest:
    if np.isinf(dispersion.degrees):
        statistic = gain / dispersion.factor
        return RatioTest(statistic, degrees, float(chi2.sf(statistic, degrees)))
    statistic = gain / degrees / dispersion.factor
    return RatioTest(statistic, degrees, float(f_distribution.sf(statistic, degrees, dispersion.degrees)))
