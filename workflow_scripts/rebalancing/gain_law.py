"""The law of gains: improvement = p exp(-q S), q > 0, of a data set's accuracy against the similarity S of its classes.

Guo et al. (2023, arXiv 2303.04854) published the law; the fit and its intervals are this project's.

Fit. Least squares with equal weights: the scatter of the points about the law, from the seeds and from whatever else
sets differ in, is estimated from the points themselves (the errors of single groups come from a few seeds, too few to
weigh by). The true similarities s_i scatter about their mean by a Gaussian; given a measured S_i, s_i is Gaussian with
a mean m_i shrunk towards the centre and a variance u_i^2 (regression calibration; Carroll, Ruppert, Stefanski and
Crainiceanu 2006, Measurement Error in Nonlinear Models), and the gain expected is p exp(-q m_i + q^2 u_i^2 / 2).

Intervals. For each q the best p has a closed form. Whatever follows from the parameters has as its interval the range
of its values where the sum of squares has risen by at most its least value times F / (n - 2), F being the quantile of
F(1, n - 2); this is exact for a straight line. An interval that reaches the end of the grid in q is infinite.

Verdict. `identified`: q > 0 is shown, gains are positive, and the law predicts left-out points better than a constant.
Otherwise a straight line decides by the interval of the change in gain from the least to the most similar set:
`opposite` where gains rise, `flat` where they change by less than FLAT points either way. `negative`: there is no gain
to fall. Anything else is `not enough` data, with the number of groups that would be enough. Points are taken to be
independent: groups of classes of one data set that share classes are so only in part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from workflow_scripts.core.files import plain
from workflow_scripts.core.intervals import LEVEL
from workflow_scripts.rebalancing.gains import MEASURE, POWER

Law = Literal["exponential", "linear", "constant"]
Verdict = Literal["identified", "opposite", "flat", "negative", "not enough"]
PARAMETERS: dict[Law, int] = {"exponential": 2, "linear": 2, "constant": 1}
LEAST_POINTS = 4  # two parameters, their scatter, and one to leave out
FLAT = 5.0  # points of gain between the least and the most similar sets; a smaller change is called flat
MOST_GROUPS = 100  # that a power computation names
RELATIVE_SIZE = 4.0  # of the grid in q, in units of 1 / spread of S: beyond, only the least similar points gain
_CELLS = 2001  # of the grid


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
    """Gain that as many seeds would measure on another data set, in points, with its 95 % interval.

    extrapolated: its similarity lies outside the measured range.
    """

    gain: float
    low: float
    high: float
    extrapolated: bool


@dataclass(frozen=True)
class Comparison:
    """One law against the others: AICc (NaN with too few points), and root mean square of leave-one-out errors."""

    aicc: float
    left_out_error: float


@dataclass(frozen=True)
class GainLaw:
    """The law p exp(-q S) of some points.

    verdict: see the module docstring; reason: in words, what it rests on. p in points. scatter: standard deviation of
    the points about the law. central_gain: the law at the calibration's centre. change: by how many points the gain
    falls from the least to the most similar set, on a straight line, with its interval. sign_p_value: one-sided, that
    gains fall with similarity by chance; by permutation. region: (2, m) values of q and of the central gain on the edge
    of what the data do not reject.
    """

    points: GainPoints
    calibration: Calibration
    verdict: Verdict
    reason: str
    p: float = np.nan
    q: float = np.nan
    p_interval: tuple[float, float] = (np.nan, np.nan)
    q_interval: tuple[float, float] = (np.nan, np.nan)
    scatter: float = np.nan
    central_gain: float = np.nan
    change: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    sign_p_value: float = np.nan
    comparisons: dict[Law, Comparison] | None = None
    region: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def identified(self) -> bool:
        return self.verdict == "identified"

    def gain(self, similarity: np.ndarray | float) -> np.ndarray:
        """Expected gain in points: by the law where it is identified, the mean where gains are flat, else NaN."""
        at = np.asarray(similarity, dtype=float)
        if self.verdict == "flat":
            return np.full(at.shape, self.points.gain.mean())
        return self.central_gain * np.exp(-self.q * (at - self.calibration.centre))

    def band(self, similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Interval of the expected gain, in points, at similarities (m,)."""
        count, at = len(self.points.gain), np.asarray(similarity, dtype=float)
        if self.verdict == "flat":
            half = stats.t.ppf((1 + LEVEL) / 2, count - 1) * self.points.gain.std(ddof=1) / np.sqrt(count)
            return self.gain(at) - half, self.gain(at) + half
        assert self.region is not None
        q, level = self.region[:, :, None]
        gains = level * np.exp(-q * (at - self.calibration.centre))
        return gains.min(axis=0), gains.max(axis=0)

    def curve(self) -> pd.DataFrame:
        """The law over the measured similarities and half their range beyond, for figures and predictions.

        Columns similarity, gain, low, high (of the expected gain), prediction_low, prediction_high (of the gain that as
        many seeds would measure on another set). No rows unless the verdict is `identified` or `flat`.
        """
        columns = ["similarity", "gain", "low", "high", "prediction_low", "prediction_high"]
        if self.verdict not in ("identified", "flat"):
            return pd.DataFrame(columns=columns, dtype=float)
        first, last = self.points.similarity.min(), self.points.similarity.max()
        at = np.linspace(first - (last - first) / 2, last + (last - first) / 2, 201)
        gain, (low, high), count = self.gain(at), self.band(at), len(self.points.gain)
        if self.verdict == "flat":
            other = stats.t.ppf((1 + LEVEL) / 2, count - 1) * self.points.gain.std(ddof=1)
        else:
            other = stats.t.ppf((1 + LEVEL) / 2, count - 2) * self.scatter
        values = (at, gain, low, high, gain - np.hypot(gain - low, other), gain + np.hypot(high - gain, other))
        return pd.DataFrame(dict(zip(columns, values, strict=True)))

    def summary(self) -> dict[str, Any]:
        """All but points and region, JSON-able: null for what is missing or infinite."""
        similarity = self.points.similarity
        return {
            "verdict": self.verdict,
            "identified": self.identified,
            "reason": self.reason,
            "notes": list(self.notes),
            "points": len(self.points.gain),
            "similarity_range": [float(similarity.min()), float(similarity.max())] if len(similarity) else None,
            "p": plain(self.p),
            "p_interval": [plain(end) for end in self.p_interval],
            "q": plain(self.q),
            "q_interval": [plain(end) for end in self.q_interval],
            "scatter": plain(self.scatter),
            "change": plain(self.change[0]),
            "change_interval": [plain(end) for end in self.change[1:]],
            "sign_p_value": plain(self.sign_p_value),
            "laws": {
                name: {part: plain(value) for part, value in vars(comparison).items()}
                for name, comparison in (self.comparisons or {}).items()
            },
        }


def gain_table(improvements: pd.DataFrame, groups: Mapping[str, Mapping[str, Any]], arm: str) -> pd.DataFrame:
    """A row for each group: its similarity and the gain of one arm over the original set, with standard errors.

    groups: by data set and group's name, as in the improvements, with the similarity's value and se.
    """
    table = improvements[(improvements["arm"] == arm) & (improvements["measure"] == MEASURE)]
    similarity = [groups[group] for group in table["group"]]
    return pd.DataFrame(
        {
            "group": table["group"],
            "arm": arm,
            "similarity": [group["value"] for group in similarity],
            "similarity_se": [group["se"] for group in similarity],
            "gain": table["gain"],
            "gain_se": table["se"],
            "gain_low": table["low"],
            "gain_high": table["high"],
            "seeds": table["seeds"],
        }
    )


def fit_gain_law(points: GainPoints, level: float = LEVEL) -> GainLaw:
    """Fit the law and say whether the points identify it; never fails, with however few points."""
    known = np.all(np.isfinite([points.similarity, points.similarity_se, points.gain, points.gain_se]), axis=0)
    unknown, points = int((~known).sum()), points.only(known)
    notes: tuple[str, ...] = (f"{unknown} points without a standard error or value are left out",) if unknown else ()
    calibration, sign = calibrate(points), sign_p_value(points)
    reason = _why_uninformative(points, calibration)
    if reason:
        reason += f"; {unknown} more have no standard error, so run more seeds" if unknown else ""
        return GainLaw(points, calibration, "not enough", reason, sign_p_value=sign, notes=notes)
    fit = _Exponential(points, calibration, level)
    with np.errstate(over="ignore"):  # an unlimited q gives an unlimited p
        p = np.append(fit.region[1], fit.level) * np.exp(np.append(fit.region[0], fit.q) * calibration.centre)
    q_low, q_high = fit.region[0].min(), fit.region[0].max()
    if fit.open_high:
        notes += ("the points set no upper limit to q",)
    comparisons = compare_laws(points, calibration)
    if comparisons["linear"].left_out_error < comparisons["exponential"].left_out_error:
        notes += ("a straight line predicts left-out points better than the exponential",)
    change, scatter = _change(points, level)
    verdict, reason = _verdict(points, fit, comparisons, change, scatter)
    return GainLaw(
        points=points,
        calibration=calibration,
        verdict=verdict,
        reason=reason,
        p=float(p[-1]),
        q=fit.q,
        p_interval=(float(p.min()), np.inf if fit.open_high else float(p.max())),
        q_interval=(-np.inf if fit.open_low else float(q_low), np.inf if fit.open_high else float(q_high)),
        scatter=fit.scatter,
        central_gain=fit.level,
        change=change,
        sign_p_value=sign,
        comparisons=comparisons,
        region=fit.region,
        notes=notes,
    )


def predicted_gain(curve: pd.DataFrame, similarity: float, interval: tuple[float, float]) -> Prediction | None:
    """Gain of another data set by a law's `curve`; None where there is none, or the set lies beyond it.

    interval: of the set's similarity; the prediction's interval is the widest within it.
    """
    if curve.empty or not curve["similarity"].min() <= similarity <= curve["similarity"].max():
        return None

    def at(column: str) -> np.ndarray:
        return np.interp([similarity, *interval], curve["similarity"], curve[column])

    # The curve reaches half a range beyond the measured sets.
    first, last = curve["similarity"].min(), curve["similarity"].max()
    inside = first + (last - first) / 4 <= similarity <= last - (last - first) / 4
    low, high = float(at("prediction_low").min()), float(at("prediction_high").max())
    return Prediction(float(at("gain")[0]), low, high, not inside)


def calibrate(points: GainPoints) -> Calibration:
    """Centre and spread of the true similarities by moments; a spread of 0 where their errors explain all of it."""
    if len(points.similarity) < 2:
        return Calibration(float(points.similarity.sum()), 0.0)
    excess = points.similarity.var(ddof=1) - np.mean(points.similarity_se**2)
    return Calibration(float(points.similarity.mean()), float(np.sqrt(max(excess, 0.0))))


def compare_laws(points: GainPoints, calibration: Calibration) -> dict[Law, Comparison]:
    """Exponential, straight line and constant: AICc and leave-one-out error of least squares on the same points."""
    count = len(points.gain)
    x = calibration.true_similarity(points.similarity, points.similarity_se)[0] - calibration.centre
    compared: dict[Law, Comparison] = {}
    for law, parameters in PARAMETERS.items():

        def missed(chosen: np.ndarray, at: np.ndarray, law: Law = law) -> np.ndarray:
            if law == "exponential":
                return points.gain[at] - _Exponential(points.only(chosen), calibration).expected(points.only(at))
            line = np.polyfit(x[chosen], points.gain[chosen], 1 if law == "linear" else 0)
            return points.gain[at] - np.polyval(line, x[at])

        every = np.arange(count)
        squares = float((missed(every, every) ** 2).sum())
        left_out = [missed(np.delete(every, i), every[i : i + 1])[0] for i in range(count)]
        free = parameters + 1  # and the scatter
        small = 2.0 * free * (free + 1) / (count - free - 1) if count > free + 1 else np.nan
        aicc = count * np.log(max(squares, 1e-300) / count) + 2 * free + small
        compared[law] = Comparison(float(aicc), float(np.sqrt(np.mean(np.square(left_out)))))
    return compared


def sign_p_value(points: GainPoints) -> float:
    """One-sided p-value of the published claim's sign, that gains fall with similarity, by permutation.

    Statistic: the covariance of gain and similarity; similarities are exchanged between the points, in all orders up to
    7 points, in 9999 random ones beyond. NaN below 3 points.
    """
    if len(points.gain) < 3 or np.ptp(points.similarity) == 0 or np.ptp(points.gain) == 0:
        return np.nan
    pull = points.gain - points.gain.mean()
    result = stats.permutation_test(
        (points.similarity,),
        lambda similarity, axis=-1: (similarity * (pull / np.abs(pull).max())).sum(axis=axis),
        permutation_type="pairings",
        alternative="less",
        n_resamples=9999,
        vectorized=True,
        rng=np.random.default_rng([len(points.gain)]),
    )
    return float(result.pvalue)


class _Exponential:
    """Least squares of the exponential.

    q; level: gain at the calibration's centre; scatter about the law; region: see `GainLaw`. open_low, open_high:
    whether the region reaches the end of the grid in q.
    """

    def __init__(self, points: GainPoints, calibration: Calibration, level: float = LEVEL) -> None:
        self._calibration = calibration
        grid = np.linspace(-RELATIVE_SIZE, RELATIVE_SIZE, _CELLS) / calibration.spread
        factor = self._factor(grid, points)
        square = (factor**2).sum(axis=1)
        levels = (factor * points.gain).sum(axis=1) / square
        squares = ((points.gain - levels[:, None] * factor) ** 2).sum(axis=1)
        best = int(squares.argmin())
        degrees = max(len(points.gain) - 2, 1)
        self.q, self.level = float(grid[best]), float(levels[best])
        self.scatter = float(np.sqrt(squares[best] / degrees))
        left = squares[best] * (1 + stats.f.ppf(level, 1, degrees) / degrees) - squares
        inside = left >= 0
        half = np.sqrt(left[inside] / square[inside])
        self.region = np.stack(
            [np.tile(grid[inside], 2), np.concatenate([levels[inside] - half, levels[inside] + half])]
        )
        self.open_low, self.open_high = bool(inside[0]), bool(inside[-1])

    def expected(self, points: GainPoints) -> np.ndarray:
        """Gains expected of points, given their measured similarities."""
        return self.level * self._factor(np.array([self.q]), points)[0]

    def _factor(self, q: np.ndarray, points: GainPoints) -> np.ndarray:
        """What the gain at the centre is multiplied by, (k, n)."""
        mean, deviation = self._calibration.true_similarity(points.similarity, points.similarity_se)
        blur = np.minimum((q[:, None] * deviation) ** 2, 20.0)
        return np.exp(-q[:, None] * (mean - self._calibration.centre) + blur / 2)


def _why_uninformative(points: GainPoints, calibration: Calibration) -> str:
    """Why no law can be fitted to these points at all, or an empty string."""
    count, values = len(points.gain), len(np.unique(points.similarity))
    if count < LEAST_POINTS:
        return f"measured on {count} data sets or groups of classes, at least {LEAST_POINTS} are needed"
    if values < 3:
        return f"only {values} different similarities, at least 3 are needed"
    if calibration.spread**2 < 0.1 * points.similarity.var(ddof=1):
        return "the similarities differ by no more than their errors; measure sets that differ more, or more images"
    return ""


def _change(points: GainPoints, level: float) -> tuple[tuple[float, float, float], float]:
    """Fall of a straight line's gain from the least to the most similar set, with its interval; and the scatter."""
    x, count = points.similarity - points.similarity.mean(), len(points.gain)
    slope = (x @ points.gain) / (x @ x)
    misses = points.gain - points.gain.mean() - slope * x
    scatter = float(np.sqrt(misses @ misses / (count - 2)))
    fall, half = -slope * np.ptp(x), stats.t.ppf((1 + level) / 2, count - 2) * scatter * np.ptp(x) / np.sqrt(x @ x)
    return (float(fall), float(fall - half), float(fall + half)), scatter


def _verdict(
    points: GainPoints,
    fit: _Exponential,
    comparisons: dict[Law, Comparison],
    change: tuple[float, float, float],
    scatter: float,
) -> tuple[Verdict, str]:
    fall, low, high = change
    interval = f"{fall:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
    if fit.region[1].max() <= 0:
        return "negative", "gains are negative: the law is one of positive gains"
    predicts = comparisons["exponential"].left_out_error < comparisons["constant"].left_out_error
    if fit.region[0].min() > 0 and fit.region[1].min() > 0 and predicts:
        return "identified", f"gains fall with similarity: from the least to the most similar set by {interval}"
    if high < 0:
        return "opposite", (
            f"gains rise with similarity, the opposite of the published claim: from the least to the most similar set "
            f"by {-fall:+.1f} points (95 % interval {-high:+.1f} to {-low:+.1f})"
        )
    bound = max(-low, high)
    if bound <= FLAT:
        return "flat", (
            f"gains do not depend on similarity by more than {bound:.1f} points (95 %) between the least and the most "
            "similar set"
        )
    # With so many groups a change is shown, or shown to be small, whichever is nearer to what was measured.
    count, x = len(points.gain), points.similarity
    tried = np.arange(count + 1, MOST_GROUPS + 1)
    reach = stats.t.ppf((1 + LEVEL) / 2, tried - 2) + stats.t.ppf(POWER, tried - 2)
    enough = tried[reach * scatter * np.ptp(x) / (x.std() * np.sqrt(tried)) <= max(FLAT - abs(fall), abs(fall))]
    needed = f"about {enough[0]} groups of classes or data sets" if len(enough) else "more seeds in each group"
    return "not enough", (
        f"not enough data: gains fall by {interval} from the least to the most similar of {count} sets; {needed} would "
        "tell"
    )
