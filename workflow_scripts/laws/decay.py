"""The law of decay: how copying falls as the training set grows in size or complexity.

    ln y = level - rate * x        (y: percentage of samples that copy; x: standardised dimension, ln size or size)

Feng et al. (ICCV 2021) write it as y = a^(b x - c). Of a, b and c the data determine two numbers only, level = -c ln a
and rate = -b ln a; the published c is chosen by the bounds of the fit, [100, 102]. Level and rate come first here, and
a, b, c are derived from them with c = 100. The logistic curve beside it has the log-odds of y in place of ln y.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from workflow_scripts.laws.likelihood import TOP, run_tables
from workflow_scripts.laws.posterior import Curve, Posterior, Surface, curve_tables, pool

Pair = tuple[str, ...]  # generator, data set
Interval = tuple[float, float]

LN_100 = float(np.log(100.0))
LEAST_SIZES = 3
LEAST_DEGREES = 4  # of freedom, that the scatter between runs is estimated from
LARGEST_BACKGROUND = 0.5  # share of held-out images that count as replicas: beyond it, counting them says nothing
PAPER_C = 100.0


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

    def values(self, points: "Points") -> np.ndarray:
        """Intrinsic dimensions or sizes of measured training sets."""
        return points.dimension if self.name == "dimension" else points.size


# Mean and standard deviation (n - 1) of the fifteen published intrinsic dimensions of the natural data sets. Kept for
# all studies, so that levels and rates of any study can be compared with the published ones.
DIMENSION_AXIS = Axis("dimension", 23.27733, 6.34038)


@dataclass(frozen=True)
class Words:
    """What is counted, for people. process: what falls with size; item, counts: of which what is counted; beyond: that
    it is no more than chance; axis: with its unit; control: what chance is shown by."""

    process: str
    item: str
    counts: str
    beyond: str
    axis: str
    control: str


COPIES = Words(
    "copying", "sample", "counts as a replica", "nowhere more replicas than among held-out images",
    "copies (% of samples)", "held-out images (control)",
)  # fmt: skip
MEMBERS = Words(
    "membership", "training image", "is told", "nowhere more training images are told than by chance",
    "training images told (%)", "chance",
)  # fmt: skip


@dataclass(frozen=True)
class Points:
    """Measured replication of one generator on one data set: m training runs.

    size: (m,) images in each training set. dimension: (m,) their intrinsic dimension, NaN where it is not known.
    replicas: (m,) samples that count as replicas, of samples: (m,). background: (m,) share of held-out images that
    would count, in [0, 1). Of membership the samples are training images, those that count are told from others, and
    the background is the rate of false alarms: see `words`.
    """

    size: np.ndarray
    dimension: np.ndarray
    replicas: np.ndarray
    samples: np.ndarray
    background: np.ndarray
    words: Words = COPIES

    @property
    def percentage(self) -> np.ndarray:
        return 100.0 * self.replicas / self.samples

    @cached_property
    def tables(self) -> np.ndarray:
        """The runs' log-likelihoods, see `likelihood.run_tables`."""
        return run_tables(self.replicas, self.samples, self.background)

    @cached_property
    def _by_curve(self) -> dict[Curve, np.ndarray]:
        return {}

    def tables_under(self, curve: Curve) -> np.ndarray:
        """The same where a curve's linear part is what is tabulated, see `posterior.curve_tables`."""
        if curve not in self._by_curve:
            self._by_curve[curve] = curve_tables(self.tables, curve)
        return self._by_curve[curve]

    @property
    def telling(self) -> int:
        """Runs that copy neither nearly all they can nor hardly more than chance: those that show the scatter."""
        copies = self.replicas - self.background * self.samples
        return int(((copies > 3) & (self.replicas < TOP * self.samples)).sum())

    def select(self, chosen: np.ndarray) -> "Points":
        """The points where `chosen` (m,) is true."""
        return Points(
            self.size[chosen], self.dimension[chosen], self.replicas[chosen], self.samples[chosen],
            self.background[chosen], self.words,
        )  # fmt: skip


@dataclass(frozen=True)
class DecayFit:
    """The law fitted to one pair of generator and data set.

    posterior: None where nothing could be fitted. identified: whether the measurements determine the law; if not,
    `reason` says why not and what would help, and it must not be drawn.
    """

    axis: Axis
    curve: Curve
    points: Points = field(repr=False)
    posterior: Posterior | None = field(repr=False, default=None)
    reason: str = ""

    @property
    def identified(self) -> bool:
        return not self.reason

    @property
    def level(self) -> float:
        """ln percentage (`logistic`: of its odds) at x = 0; NaN without a fit."""
        return np.nan if self.posterior is None else float(np.median(self.posterior.draws.level)) + LN_100

    @property
    def rate(self) -> float:
        """Fall of ln percentage (`logistic`: of its odds) per unit of x; NaN without a fit."""
        return np.nan if self.posterior is None else float(np.median(self.posterior.draws.rate))

    @property
    def level_interval(self) -> Interval:
        """95 % interval."""
        if self.posterior is None:
            return np.nan, np.nan
        low, high = np.quantile(self.posterior.draws.level, [0.025, 0.975]) + LN_100
        return float(low), float(high)

    @property
    def rate_interval(self) -> Interval:
        """95 % interval; infinite above where any steep rate fits."""
        if self.posterior is None:
            return np.nan, np.nan
        low, high = np.quantile(self.posterior.draws.rate, [0.025, 0.975])
        return float(low), float(high) if high < 0.9 * self.posterior.surface.steepest else np.inf

    @property
    def scatter(self) -> float:
        """Coefficient of variation between training runs of rare copies."""
        return np.nan if self.posterior is None else variation(float(np.median(self.posterior.draws.scatter)))

    @property
    def parameters(self) -> tuple[float, float, float]:
        """a, b, c of the paper, with c = 100: y = a^(b x - c)."""
        return paper_parameters(self.level, self.rate)

    @property
    def held_out(self) -> float:
        """Log-likelihood of each size's runs under the law of all other sizes, added up."""
        return -np.inf if self.posterior is None else float(self.posterior.held_out.sum())

    def percentage(self, value: np.ndarray) -> np.ndarray:
        """Percentage of samples that copy (mean over runs, background excluded) at dimensions or sizes (m,)."""
        assert self.posterior is not None
        return 100.0 * np.median(self.posterior.draws.shares(self.axis.standardise(value)), axis=1)

    @property
    def values(self) -> np.ndarray:
        """Where the runs stand on the axis: dimensions or sizes (m,)."""
        return self.axis.values(self.points)

    @property
    def chance(self) -> float:
        """How far samples that are no copies reach the background of held-out images, 0..1."""
        return np.nan if self.posterior is None else float(np.mean(self.posterior.draws.chance))

    @cached_property
    def fitted(self) -> np.ndarray:
        """Expected percentages of replicas of the runs, what counts by chance included, (m,)."""
        chance = self.points.background * self.chance
        return 100 * chance + (1 - chance) * self.percentage(self.values)

    @cached_property
    def residuals(self) -> np.ndarray:
        """Measured minus fitted percentage in units of its standard deviation (counting and runs), (m,)."""
        assert self.posterior is not None
        share, copied = self.fitted / 100, self.percentage(self.values) / 100
        runs = np.median(self.posterior.draws.scatter) * copied * (1 - copied)
        return (
            (self.points.percentage - self.fitted)
            / 100
            / np.hypot(np.sqrt(share * (1 - share) / self.points.samples), runs)
        )

    def goodness(self) -> tuple[float, float]:
        """R2 (squared correlation) and median absolute error in points of the fitted percentages; NaN without a fit."""
        return (np.nan, np.nan) if self.posterior is None else goodness(self.points.percentage, self.fitted)


def variation(scatter: float) -> float:
    """Coefficient of variation of a log-normal variable whose logarithm has the standard deviation `scatter`."""
    return float(np.sqrt(np.expm1(scatter**2)))


def paper_parameters(level: float, rate: float, c: float = PAPER_C) -> tuple[float, float, float]:
    """a, b and c of y = a^(b x - c) given c, which no data can determine; NaN where level <= 0 (a would not be < 1)."""
    if not level > 0:
        return np.nan, np.nan, np.nan
    return float(np.exp(-level / c)), rate * c / level, c


def goodness(measured: np.ndarray, fitted: np.ndarray) -> tuple[float, float]:
    """R2 (the squared correlation; NaN where either side is constant) and median absolute error, as Feng et al. do."""
    error = float(np.median(np.abs(measured - fitted)))
    if len(measured) < 2 or np.ptp(measured) == 0 or np.ptp(fitted) == 0:
        return np.nan, error
    return float(np.corrcoef(measured, fitted)[0, 1] ** 2), error


def why_uninformative(points: Points, least_sizes: int = LEAST_SIZES) -> str:
    """Why counts cannot identify a law of decay, whatever its form; empty if they may."""
    background = float(np.median(points.background)) if len(points.size) else 0.0
    if background > LARGEST_BACKGROUND:
        return (
            f"of the held-out images {100 * background:.0f} % would count as replicas too, so that counting them "
            "says nothing: choose a narrower threshold"
        )
    if (sizes := len(np.unique(points.size))) < least_sizes:
        return f"measured at {sizes} size{'s' * (sizes != 1)} of the training set, at least {least_sizes} are needed"
    words = points.words
    if not points.replicas.any():
        return f"no {words.item} {words.counts} at any size: train longer, or on fewer images, until some do"
    if np.all(points.replicas == points.samples):
        return f"every {words.item} {words.counts} at every size: add larger sizes"
    if np.all(points.replicas <= points.background * points.samples):
        return f"{words.beyond}: train longer, or on fewer images, until there are"
    return ""


def fit_pairs(pairs: Mapping[Pair, Points], axis: Axis, curve: Curve = "exponential") -> dict[Pair, DecayFit]:
    """Fit the law to each pair, the scatter between runs pooled over all of them, and say which laws are identified."""
    reasons = {pair: why_uninformative(points) for pair, points in pairs.items()}
    fitted = [pair for pair, reason in reasons.items() if not reason]
    degrees = sum(max(0, pairs[pair].telling - 2) for pair in fitted)
    if degrees < LEAST_DEGREES:
        words, missing = next(iter(pairs.values())).words, LEAST_DEGREES - degrees
        lacking = (
            f"the scatter between training runs is not known: {degrees} degree{'s' * (degrees != 1)} of freedom where "
            f"{LEAST_DEGREES} are needed, so add at least {missing} more run{'s' * (missing != 1)} at "
            f"sizes where neither nearly every nor nearly no {words.item} {words.counts}"
        )
        return {pair: DecayFit(axis, curve, pairs[pair], None, reasons[pair] or lacking) for pair in pairs}
    surfaces = [
        Surface(axis.standardise(axis.values(pairs[pair])), pairs[pair].size, pairs[pair].tables_under(curve), curve)
        for pair in fitted
    ]
    posteriors = dict(zip(fitted, pool(surfaces), strict=True)) if surfaces else {}
    fits = {}
    for pair, points in pairs.items():
        fit = DecayFit(axis, curve, points, posteriors.get(pair), reasons[pair])
        fits[pair] = DecayFit(axis, curve, points, fit.posterior, fit.reason or _why_not_identified(fit))
    return fits


def _why_not_identified(fit: DecayFit) -> str:
    low, high = fit.rate_interval
    if high < 0:
        return f"{fit.points.words.process} grows along the axis"
    if low <= 0:
        return (
            f"the 95 % interval of its rate, {low:.2g} to {high:.2g}, includes 0: more seeds, or sizes that lie "
            "farther apart, would narrow it"
        )
    if np.isinf(high):
        steps = np.unique(fit.points.size)
        share = np.array([fit.points.percentage[fit.points.size == size].mean() for size in steps])
        fall = int(np.argmin(np.diff(share)))
        return (
            f"{fit.points.words.process} falls from many to none within one step, so that any steep rate fits: add "
            f"sizes between {steps[fall]:,.0f} and {steps[fall + 1]:,.0f}"
        )
    return ""
