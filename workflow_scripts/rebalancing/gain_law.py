"""The law of gains: improvement = p exp(-q S), q > 0, of a data set's accuracy against the similarity S of its classes.

Guo et al. (2023, arXiv 2303.04854) published the law; the fit, with errors in both variables, is this project's.

Likelihood. The true similarities s_i scatter about their mean by a Gaussian; what was measured, S_i, scatters about s_i
by its standard error. Given S_i, then, s_i is Gaussian with a mean m_i shrunk towards the centre and a variance u_i^2
(regression calibration; Carroll, Ruppert, Stefanski and Crainiceanu 2006, Measurement Error in Nonlinear Models), and
the gain has, by the moments of the log-normal distribution,

    mean      p exp(-q m_i + q^2 u_i^2 / 2)
    variance  se_i^2 + tau^2 + mean^2 (exp(q^2 u_i^2) - 1)

where se_i is the gain's standard error and tau what else scatters between data sets. Minus twice the Gaussian
log-likelihood, minimised over tau, is the deviance D(q, p). Its values lie on a grid about the minimum, along the
ridge of the best p for each q; whatever follows from the parameters has as its interval the range of its values where D
has risen by at most n ln(1 + F / (n - 2)), F being the quantile of F(1, n - 2): exact for a straight line if tau
dominates, wider than needed where the standard errors do. An interval that reaches the grid's end is infinite.

The null laws, a constant and a straight line, have the same likelihood with their own mean. A law is called identified
only if the data exclude q <= 0 and it predicts left-out points better than the constant does. Points are taken to be
independent: groups of classes of one data set that share classes are so only in part.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from workflow_scripts.core.intervals import LEVEL

Law = Literal["exponential", "linear", "constant"]
PARAMETERS: dict[Law, int] = {"exponential": 2, "linear": 2, "constant": 1}
LEAST_POINTS = 4  # two parameters, their scatter, and one to leave out
RELATIVE_SIZE = 4.0  # of the grid in q, in units of 1 / spread of S: beyond, only the least similar points gain
_CELLS = 61  # of the grid, each way
_GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class GainPoints:
    """What was measured: a point for each data set or group of classes.

    similarity, similarity_se: (n,). gain, gain_se: (n,), percentage points. datasets: (n,), where each was measured.
    """

    similarity: np.ndarray
    similarity_se: np.ndarray
    gain: np.ndarray
    gain_se: np.ndarray
    datasets: tuple[str, ...]

    @classmethod
    def of(cls, table: pd.DataFrame) -> "GainPoints":
        """The points of a table with the columns similarity, similarity_se, gain, gain_se and group."""
        columns = [table[name].to_numpy(float) for name in ("similarity", "similarity_se", "gain", "gain_se")]
        return cls(columns[0], columns[1], columns[2], columns[3], tuple(table["group"].str.split("/").str[0]))

    def only(self, chosen: np.ndarray) -> "GainPoints":
        """The points that a mask or indices choose."""
        return GainPoints(
            self.similarity[chosen],
            self.similarity_se[chosen],
            self.gain[chosen],
            self.gain_se[chosen],
            tuple(np.array(self.datasets, dtype=object)[chosen]),
        )


@dataclass(frozen=True)
class Calibration:
    """Distribution of the true similarities: Gaussian, `spread` is its standard deviation without measuring errors."""

    centre: float
    spread: float

    def true_similarity(self, similarity: np.ndarray, se: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the true similarity, given the measured one."""
        share = self.spread**2 / np.maximum(self.spread**2 + np.asarray(se) ** 2, 1e-300)
        return self.centre + share * (similarity - self.centre), np.sqrt(share) * se


@dataclass(frozen=True)
class Prediction:
    """Gain expected of another data set, in points, with its interval; extrapolated: outside the measured range."""

    gain: float
    low: float
    high: float
    extrapolated: bool


@dataclass(frozen=True)
class Comparison:
    """One law against the others: deviance at its minimum, AICc (NaN with too few points), and leave-one-out error.

    left_out_error: root mean square, in points, each point weighted by one over its variance about the constant.
    """

    deviance: float
    aicc: float
    left_out_error: float


@dataclass(frozen=True)
class GainLaw:
    """The law p exp(-q S) of some points.

    reason: why it is not identified; empty if it is. p in points; intervals are those of the module docstring. tau:
    scatter about the law in points. sign_p_value: one-sided, that gains fall with similarity by chance; by permutation.
    central_gain: the law at the calibration's centre. region: (2, m) values of q and of the central gain that the data
    do not reject.
    """

    points: GainPoints
    calibration: Calibration
    p: float
    q: float
    p_interval: tuple[float, float]
    q_interval: tuple[float, float]
    tau: float
    central_gain: float
    sign_p_value: float
    comparisons: dict[Law, Comparison]
    region: np.ndarray
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def identified(self) -> bool:
        return not self.reason

    def gain(self, similarity: np.ndarray | float) -> np.ndarray:
        """Expected gain in points."""
        return self.central_gain * np.exp(-self.q * (np.asarray(similarity, dtype=float) - self.calibration.centre))

    def band(self, similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Interval of the law itself, in points, at similarities (m,)."""
        q, level = self.region[:, :, None]
        gains = level * np.exp(-q * (similarity - self.calibration.centre))
        return gains.min(axis=0), gains.max(axis=0)

    def predict(self, similarity: float, similarity_se: float = 0.0, level: float = LEVEL) -> Prediction:
        """Gain of another data set, with the interval of the law, the scatter about it, and the error of S together."""
        count = len(self.points.gain)
        gain = float(self.gain(similarity))
        low, high = (float(end[0]) for end in self.band(np.array([similarity])))
        scatter = np.hypot(self.tau * np.sqrt(count / (count - 2)), self.q * gain * similarity_se)
        other = float(stats.t.ppf((1 + level) / 2, count - 2) * scatter)
        inside = self.points.similarity.min() <= similarity <= self.points.similarity.max()
        below, above = float(np.hypot(gain - low, other)), float(np.hypot(high - gain, other))
        return Prediction(gain, gain - below, gain + above, not inside)

    def summary(self) -> dict[str, Any]:
        """All but points and region, JSON-able: null for what is missing or infinite."""
        return {
            "identified": self.identified,
            "reason": self.reason,
            "notes": list(self.notes),
            "points": len(self.points.gain),
            "p": _finite(self.p),
            "p_interval": [_finite(end) for end in self.p_interval],
            "q": _finite(self.q),
            "q_interval": [_finite(end) for end in self.q_interval],
            "tau": _finite(self.tau),
            "sign_p_value": _finite(self.sign_p_value),
            "laws": {
                name: {part: _finite(value) for part, value in vars(one).items()}
                for name, one in self.comparisons.items()
            },
        }


def fit_gain_law(points: GainPoints, level: float = LEVEL) -> GainLaw:
    """Fit the law and say whether the points identify it; never fails, with however few points."""
    known = np.all(np.isfinite([points.similarity, points.similarity_se, points.gain, points.gain_se]), axis=0)
    unknown, points = int((~known).sum()), points.only(known)
    notes: tuple[str, ...] = (f"{unknown} points without a standard error or value are left out",) if unknown else ()
    calibration = calibrate(points)
    reason = _why_uninformative(points, calibration)
    if reason:
        reason += f"; {unknown} more have no standard error, so run more seeds" if unknown else ""
        none, empty = (np.nan, np.nan), np.empty((2, 0))
        return GainLaw(
            points=points,
            calibration=calibration,
            p=np.nan,
            q=np.nan,
            p_interval=none,
            q_interval=none,
            tau=np.nan,
            central_gain=np.nan,
            sign_p_value=sign_p_value(points),
            comparisons={},
            region=empty,
            reason=reason,
            notes=notes,
        )
    surface = _Surface(points, calibration, "exponential", level)
    region = surface.region
    with np.errstate(over="ignore"):  # an unlimited q gives an unlimited p
        p = np.append(region[1], surface.level) * np.exp(np.append(region[0], surface.second) * calibration.centre)
    p_interval, q_interval = _ends(p), _ends(region[0])
    if surface.open_low:
        q_interval = (-np.inf, q_interval[1])
    if surface.open_high:
        q_interval = (q_interval[0], np.inf)
        p_interval = (p_interval[0], np.inf)
        notes += ("the points set no upper limit to q",)
    comparisons = compare_laws(points, calibration)
    if comparisons["linear"].left_out_error < comparisons["exponential"].left_out_error:
        notes += ("a straight line predicts left-out points better than the exponential",)
    law = GainLaw(
        points=points,
        calibration=calibration,
        p=float(p[-1]),
        q=surface.second,
        p_interval=p_interval,
        q_interval=q_interval,
        tau=surface.tau,
        central_gain=surface.level,
        sign_p_value=sign_p_value(points),
        comparisons=comparisons,
        region=region,
        notes=notes,
    )
    return _with_reason(law)


def calibrate(points: GainPoints) -> Calibration:
    """Centre and spread of the true similarities by moments; a spread of 0 where their errors explain all of it."""
    if len(points.similarity) < 2:
        return Calibration(float(points.similarity.sum()), 0.0)
    excess = points.similarity.var(ddof=1) - np.mean(points.similarity_se**2)
    return Calibration(float(points.similarity.mean()), float(np.sqrt(max(excess, 0.0))))


def compare_laws(points: GainPoints, calibration: Calibration) -> dict[Law, Comparison]:
    """Exponential, straight line and constant: deviance, AICc and leave-one-out error on the same points and weights.

    At least LEAST_POINTS points.
    """
    count = len(points.gain)
    constant = _Surface(points, calibration, "constant")
    weight = 1.0 / (points.gain_se**2 + constant.tau**2 + constant.floor**2)
    found: dict[Law, Comparison] = {}
    for law, parameters in PARAMETERS.items():
        surface = constant if law == "constant" else _Surface(points, calibration, law)
        missed = np.empty(count)
        for i in range(count):
            rest = _Surface(points.only(np.arange(count) != i), calibration, law, level=0.1, cells=25)
            missed[i] = points.gain[i] - rest.expected(points.only(np.array([i])))[0]
        free = parameters + 1  # and tau
        small = 2.0 * free * (free + 1) / (count - free - 1) if count > free + 1 else np.nan
        deviance = surface.least + count * np.log(2 * np.pi)
        error = np.sqrt(np.average(missed**2, weights=weight))
        found[law] = Comparison(float(deviance), float(deviance + 2 * free + small), float(error))
    return found


def sign_p_value(points: GainPoints) -> float:
    """One-sided p-value of the published claim's sign, that gains fall with similarity, by permutation.

    Statistic: the covariance of gain and similarity, weighted as one over the gain's variance; similarities are
    exchanged between the points, in all orders up to 7 points, in 9999 random ones beyond. NaN below 3 points.
    """
    if len(points.gain) < 3 or np.ptp(points.similarity) == 0 or np.ptp(points.gain) == 0:
        return np.nan
    variance = points.gain_se**2 + points.gain.var(ddof=1)
    weight = 1.0 / variance
    pull = weight * (points.gain - np.average(points.gain, weights=weight))
    pull = pull / np.abs(pull).max()
    result = stats.permutation_test(
        (points.similarity,),
        lambda similarity, axis=-1: (similarity * pull).sum(axis=axis),
        permutation_type="pairings",
        alternative="less",
        n_resamples=9999,
        vectorized=True,
        rng=np.random.default_rng([len(points.gain)]),
    )
    return float(result.pvalue)


class _Surface:
    """The deviance of one law about its minimum.

    second: q of the exponential, slope of the line, 0 for the constant. level: gain at the calibration's centre. least:
    the deviance there. tau: scatter there. region: (2, m) pairs of (second, level) that the points do not reject.
    open_low, open_high: whether the region reaches the end of the grid in `second`. Where the minimum alone is wanted,
    a low confidence level zooms in on it with few cells.
    """

    def __init__(
        self, points: GainPoints, calibration: Calibration, law: Law, level: float = LEVEL, cells: int = _CELLS
    ) -> None:
        self.law, self.calibration, self.points = law, calibration, points
        count = len(points.gain)
        self.x, self.sd = self._true(points)
        self.floor = 1e-3 * max(float(points.gain.std()), float(points.gain_se.mean()), 1e-6)
        extent = RELATIVE_SIZE / calibration.spread
        if law == "linear":
            extent *= max(float(np.ptp(points.gain)), float(points.gain_se.max()), 1e-6)
        degrees = count - PARAMETERS[law]
        cutoff = count * np.log1p(stats.f.ppf(level, 1, max(degrees, 1)) / max(degrees, 1))
        box = np.array([[-extent, extent], [-12.0, 12.0]])
        if law == "constant":
            box[0] = 0.0
        least = np.inf
        for _ in range(4):  # zoom to what is not rejected
            second = np.linspace(box[0, 0], box[0, 1], 1 if law == "constant" else cells)
            along = np.linspace(box[1, 0], box[1, 1], cells)
            ridge, spread = self._ridge(second)
            values = (ridge[:, None] + spread[:, None] * along).ravel()
            seconds = np.repeat(second, cells)
            deviance, tau = self._deviance(seconds, values)
            best = int(deviance.argmin())
            if deviance[best] < least:
                least = float(deviance[best])
                self.second, self.level, self.tau = float(seconds[best]), float(values[best]), float(tau[best])
            # A finer grid can miss the least value so far by more than a low cutoff: its own least one counts then.
            inside = (deviance <= max(least, deviance[best]) + cutoff).reshape(-1, cells)
            rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
            self.region = np.stack([seconds, values])[:, inside.ravel()]
            self.open_low = bool(law != "constant" and inside[0].any() and box[0, 0] <= -extent)
            self.open_high = bool(law != "constant" and inside[-1].any() and box[0, 1] >= extent)
            box = np.array(
                [
                    [second[max(rows[0] - 1, 0)], second[min(rows[-1] + 1, len(second) - 1)]],
                    [along[max(columns[0] - 1, 0)], along[min(columns[-1] + 1, cells - 1)]],
                ]
            )
        self.least = least
        self.tau = 0.0 if self.tau <= 2 * self.floor else self.tau

    def expected(self, points: GainPoints) -> np.ndarray:
        """Gains expected of points, given their measured similarities."""
        x, sd = self._true(points)
        return self._moments(np.array([self.second]), x, sd)[0][0] * self.level + self._offset(self.second, x)

    def _true(self, points: GainPoints) -> tuple[np.ndarray, np.ndarray]:
        mean, sd = self.calibration.true_similarity(points.similarity, points.similarity_se)
        return mean - self.calibration.centre, sd

    def _offset(self, second: np.ndarray | float, x: np.ndarray) -> np.ndarray | float:
        """Part of the mean that does not grow with the level."""
        return second * x if self.law == "linear" else 0.0

    def _moments(self, second: np.ndarray, x: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factor of the level in the mean, and relative variance of that factor by the error of S, each (k, n)."""
        if self.law != "exponential":
            return np.ones((len(second), len(x))), np.zeros((len(second), len(x)))
        blur = np.minimum((second[:, None] * sd) ** 2, 20.0)
        return np.exp(-second[:, None] * x + blur / 2), np.expm1(blur)

    def _ridge(self, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Level that fits best for each `second` by weighted least squares, and its rough standard error."""
        factor, _ = self._moments(second, self.x, self.sd)
        gain = self.points.gain - self._offset(second[:, None], self.x)
        weight = 1.0 / (self.points.gain_se**2 + self.points.gain.var() + self.floor**2)
        square = (weight * factor**2).sum(axis=1)
        level = (weight * factor * gain).sum(axis=1) / square
        misfit = (weight * (gain - level[:, None] * factor) ** 2).sum(axis=1) / max(len(gain) - 2, 1)
        known = 1.0 / (factor**2 / (self.points.gain_se**2 + self.floor**2)).sum(axis=1)
        return level, np.sqrt(np.maximum(misfit / square, known))

    def _deviance(self, second: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Minus twice the log-likelihood, without n ln 2 pi, at its minimum over tau; and that tau; each (k,)."""
        factor, relative = self._moments(second, self.x, self.sd)
        mean = level[:, None] * factor
        by_similarity = mean**2 * relative
        if self.law == "linear":
            by_similarity = (second[:, None] * self.sd) ** 2
            mean = mean + self._offset(second[:, None], self.x)
        fixed = self.points.gain_se**2 + by_similarity
        square = (self.points.gain - mean) ** 2

        def at(log_tau: np.ndarray) -> np.ndarray:
            variance = fixed + np.exp(2 * log_tau)[:, None]
            return (square / variance + np.log(variance)).sum(axis=1)

        low = np.full(len(second), np.log(self.floor))
        return _golden(at, low, np.maximum(np.log(square.max(axis=1) + self.floor**2) / 2, low) + 0.1)


def _golden(at: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least values of many functions at once between log-arguments low and high, and the arguments (not logs)."""
    inner, outer = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_inner, at_outer = at(inner), at(outer)
    for _ in range(14):
        left = at_inner < at_outer
        low, high = np.where(left, low, inner), np.where(left, outer, high)
        new = np.where(left, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_new = at(new)
        inner, outer = np.where(left, new, outer), np.where(left, inner, new)
        at_inner, at_outer = np.where(left, at_new, at_outer), np.where(left, at_inner, at_new)
    left = at_inner < at_outer
    return np.where(left, at_inner, at_outer), np.exp(np.where(left, inner, outer))


def _why_uninformative(points: GainPoints, calibration: Calibration) -> str:
    """Why no law can be fitted to these points at all, or an empty string."""
    count = len(points.gain)
    if count < LEAST_POINTS:
        return f"measured on {count} data sets or groups of classes, at least {LEAST_POINTS} are needed"
    if len(np.unique(points.similarity)) < 3:
        return f"only {len(np.unique(points.similarity))} different similarities, at least 3 are needed"
    if calibration.spread**2 < 0.1 * points.similarity.var(ddof=1):
        return "the similarities differ by no more than their errors"
    return ""


def _with_reason(law: GainLaw) -> GainLaw:
    low, high = law.q_interval
    exponential, constant = law.comparisons["exponential"], law.comparisons["constant"]
    reason = ""
    if law.region[1].max() <= 0:
        reason = "gains are negative: the law is one of positive gains"
    elif high < 0:
        reason = "gains rise with similarity: the opposite of the published claim"
    elif low <= 0:
        reason = "the interval of q includes 0: a decay is not shown"
    elif not exponential.left_out_error < constant.left_out_error:
        reason = "a constant predicts left-out points as well"
    return replace(law, reason=reason)


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
