"""The law of decay: how replication falls as the training set grows in size or complexity.

    ln y = level - rate * x        (y: percentage of samples that copy, x: standardised intrinsic dimension or ln size)

Feng et al. (ICCV 2021) write it as y = a^(b x - c). Of a, b and c the data determine two numbers only, level = -c ln a
and rate = -b ln a; the published c is chosen by the bounds of the fit, [100, 102]. Level and rate come first here, and
a, b, c are derived from them with c = 100.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from workflow_scripts.laws.exponential import (
    Dispersion,
    ExponentialModel,
    Method,
    Prior,
    draw_replicas,
    estimate_dispersion,
    expected_share,
)

LN_100 = float(np.log(100.0))
LEAST_SIZES = 3
LARGEST_BACKGROUND = 0.5  # share of held-out images that count as replicas: beyond it, counting them says nothing
PAPER_C = 100.0

LEVEL, RATE = np.array([1.0, 0.0]), np.array([0.0, 1.0])


@dataclass(frozen=True)
class Axis:
    """What the law is a law in: x = (value - centre) / scale, for `ln_size` of the size's logarithm."""

    name: Literal["dimension", "ln_size", "size"]
    centre: float
    scale: float

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """x of intrinsic dimensions or sizes."""
        return ((np.log(values) if self.name == "ln_size" else values) - self.centre) / self.scale

    def restore(self, x: np.ndarray) -> np.ndarray:
        """Intrinsic dimensions or sizes of x."""
        values = self.centre + self.scale * x
        with np.errstate(over="ignore"):
            return np.exp(values) if self.name == "ln_size" else values


# Mean and standard deviation (n - 1) of the fifteen published intrinsic dimensions of the natural data sets. Kept for
# all studies, so that levels and rates of any study can be compared with the published ones.
DIMENSION_AXIS = Axis("dimension", 23.27733, 6.34038)


@dataclass(frozen=True)
class Points:
    """Measured replication of one generator on one data set: m training sets.

    value: (m,) intrinsic dimension or size, as the axis wants it. size: (m,) images in each training set.
    replicas: (m,) samples that count as replicas, of samples: (m,). background: (m,) share of images that would count
    without copying, in [0, 1): that of held-out images, or 0.
    """

    value: np.ndarray
    size: np.ndarray
    replicas: np.ndarray
    samples: np.ndarray
    background: np.ndarray

    @property
    def percentage(self) -> np.ndarray:
        return 100.0 * self.replicas / self.samples

    def select(self, chosen: np.ndarray) -> "Points":
        """The points where `chosen` (m,) is true."""
        return Points(*(getattr(self, name)[chosen] for name in ("value", "size", "replicas", "samples", "background")))


@dataclass(frozen=True)
class LevelPrior:
    """What other pairs of generator and data set say of the level: Normal(mean, sd) in ln percentage.

    run_sd: the scatter between runs that those pairs showed. pairs: how many they were. source: for people.
    threshold_rms: within which they counted replicas, if it is one and known.
    """

    mean: float
    sd: float
    run_sd: float
    pairs: int
    source: str
    threshold_rms: float | None = None


@dataclass(frozen=True)
class DecayFit:
    """The law fitted to one pair of generator and data set.

    level: ln percentage at x = 0. rate: fall of ln percentage per unit of x. *_interval: 95 %, infinite on a side
    without limit. r2: squared correlation of measured and fitted percentages; median_absolute_error: in points; both
    NaN where they have no meaning. identified: whether the measurements determine the law; if not, `reason` says why
    not, and it must not be drawn. notes: what to know besides.
    """

    model: ExponentialModel = field(repr=False)
    axis: Axis
    points: Points = field(repr=False)
    level: float
    rate: float
    level_interval: tuple[float, float]
    rate_interval: tuple[float, float]
    dispersion: Dispersion
    r2: float
    median_absolute_error: float
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def identified(self) -> bool:
        return not self.reason

    @property
    def theta(self) -> np.ndarray:
        return np.array([self.level - LN_100, self.rate])

    @property
    def parameters(self) -> tuple[float, float, float]:
        """a, b, c of the paper, with c = 100: y = a^(b x - c)."""
        return paper_parameters(self.level, self.rate)

    @property
    def fitted(self) -> np.ndarray:
        """Expected percentages of replicas at the points, background included, (m,)."""
        return 100.0 * self.model.shares(self.theta)

    def percentage(self, value: np.ndarray) -> np.ndarray:
        """Percentage of samples that copy (background excluded) at dimensions or sizes."""
        return law(self.level, self.rate, self.axis.standardise(value), self.model.method)

    def band(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the 95 % profile interval of `percentage` at each value."""
        rows = np.stack([np.ones(len(value)), -self.axis.standardise(value)], axis=1)
        low, high = self.model.profile(self.theta, rows, self.dispersion.cutoff())
        still = np.zeros(len(value))
        return law(low + LN_100, 0.0, still, self.model.method), law(high + LN_100, 0.0, still, self.model.method)

    def residuals(self) -> np.ndarray:
        """Measured minus fitted percentage in units of its standard deviation (counting and runs), (m,)."""
        difference = self.points.percentage - self.fitted
        if self.model.method == "least_squares":
            return difference / np.sqrt(self.dispersion.factor)
        return difference / 100.0 / np.sqrt(self.model.variance(self.theta))

    def draws(self, count: int, seed: list[int]) -> np.ndarray:
        """Level and rate (count, 2) refitted to repetitions of the measurement (parametric bootstrap)."""
        replicas = draw_replicas(self.model, self.theta, self.dispersion, count, seed)
        model = replace(self.model, replicas=replicas)
        return model.fit(np.broadcast_to(self.theta, (count, 2))) + np.array([LN_100, 0.0])


def law(level: np.ndarray | float, rate: np.ndarray | float, x: np.ndarray, method: Method = "binomial") -> np.ndarray:
    """Percentage y with ln y = level - rate x (broadcast); `binomial` bends it to a ceiling near 100."""
    eta = level - LN_100 - rate * x
    return 100.0 * expected_share(eta, np.zeros(()), method)


def paper_parameters(level: float, rate: float, c: float = PAPER_C) -> tuple[float, float, float]:
    """a, b and c of y = a^(b x - c) given c, which no data can determine; NaN where level <= 0 (a would not be < 1)."""
    if not level > 0:
        return np.nan, np.nan, np.nan
    return float(np.exp(-level / c)), rate * c / level, c


def squared_correlation(measured: np.ndarray, fitted: np.ndarray) -> float:
    """R2 as Feng et al. define it: the square of the correlation; NaN where either side is constant."""
    if len(measured) < 2 or np.ptp(measured) == 0 or np.ptp(fitted) == 0:
        return np.nan
    return float(np.corrcoef(measured, fitted)[0, 1] ** 2)


def build_model(points: Points, axis: Axis, method: Method) -> ExponentialModel:
    """The law of one pair as a regression: theta is (level - ln 100, rate)."""
    x = axis.standardise(points.value)
    design = np.stack([np.ones_like(x), -x], axis=1)
    return ExponentialModel(design, points.replicas, points.samples, points.background, method)


def fit_decay(
    points: Points,
    axis: Axis,
    method: Method = "binomial",
    dispersion: Dispersion | None = None,
    prior: LevelPrior | None = None,
    interval: Literal["profile", "bootstrap"] = "profile",
) -> DecayFit:
    """Fit the law to one pair and say whether the measurements identify it.

    dispersion: common to several pairs, if known; else estimated from these points. prior: what other pairs say of the
    level; it may stand in for missing points. interval: of level and rate; `bootstrap` refits 2000 repetitions.
    """
    model = build_model(points, axis, method)
    reason = why_uninformative(points, prior)
    if reason:
        none = (np.nan, np.nan)
        known = dispersion or Dispersion(1.0, np.inf)
        return DecayFit(model, axis, points, np.nan, np.nan, none, none, known, np.nan, np.nan, reason)
    if dispersion is None:
        dispersion = estimate_dispersion([model])
    if prior is not None:
        model = replace(model, prior=Prior(LEVEL, prior.mean - LN_100, prior.sd), dispersion=dispersion.factor)
    model = replace(model, run_sd=dispersion.run_sd)
    theta = model.fit()
    runaway = bool(np.isinf(model.profile(theta, RATE[None], 1e-3 * dispersion.factor)[1][0]))
    steep = method == "binomial" and prior is None and _sizes_on_the_slope(model, theta, points) < 2
    fit = DecayFit(
        model=model,
        axis=axis,
        points=points,
        level=float(theta[0] + LN_100),
        rate=float(theta[1]),
        level_interval=(np.nan, np.nan),
        rate_interval=(np.nan, np.nan),
        dispersion=dispersion,
        r2=squared_correlation(points.percentage, 100.0 * model.shares(theta)),
        median_absolute_error=float(np.median(np.abs(points.percentage - 100.0 * model.shares(theta)))),
    )
    if interval == "profile":
        low, high = model.profile(theta, np.stack([LEVEL, RATE]), dispersion.cutoff())
        low, high = low + np.array([LN_100, 0.0]), high + np.array([LN_100, 0.0])
    else:
        low, high = np.quantile(fit.draws(2000, [0]), [0.025, 0.975], axis=0)
    return replace(
        fit,
        level_interval=(float(low[0]), float(high[0])),
        rate_interval=(float(low[1]), float(high[1])),
        reason=_why_not_identified(runaway or steep, low[1], high[1]),
        notes=("the points set no upper limit to the rate",) if np.isinf(high[1]) else (),
    )


def why_uninformative(points: Points, prior: LevelPrior | None = None) -> str:
    """Why no law can be fitted to these points at all, or an empty string."""
    if np.median(points.background) > LARGEST_BACKGROUND:
        return (
            "most held-out images lie as near to a training image as a copy does: the set repeats itself, or the "
            "threshold is too wide"
        )
    sizes = min(len(np.unique(points.size)), len(np.unique(points.value)))
    if sizes < (LEAST_SIZES if prior is None else 1):
        return f"measured at {sizes} sizes of the training set, at least {LEAST_SIZES} are needed"
    if not points.replicas.any():
        return "no sample counts as a replica at any size"
    if np.all(points.replicas == points.samples):
        return "every sample counts as a replica at every size"
    if np.all(points.replicas <= points.background * points.samples):
        return "nowhere more replicas than among held-out images"
    return ""


def _sizes_on_the_slope(model: ExponentialModel, theta: np.ndarray, points: Points) -> int:
    """Set sizes at which the law lies between its ceiling and the background, where a few copies at least are expected.

    With fewer than two, replication jumps from many to none between neighbouring sizes: ever larger rates fit ever
    better, or as well, and what the likelihood calls an optimum is how the noise in the dimensions happens to fall.
    """
    copies = (model.shares(theta) - points.background) * points.samples
    return len(np.unique(points.size[(model.telling(theta) > 0.2) & (copies > 3.0)]))


def _why_not_identified(steep: bool, rate_low: float, rate_high: float) -> str:
    if steep:
        return "replication falls from many to none within one step of size, so that any steep rate fits"
    if rate_high < 0:
        return "replication grows along the axis"
    if rate_low <= 0:
        return "the interval of the rate includes 0: a decay is not shown"
    return ""
