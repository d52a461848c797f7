"""What the plausible laws of one generator say of copies at any size: bands, safe sizes, and what a run would show.

Which curve copying follows, exponential or logistic, in size or in ln size, few measurements can tell. So the laws are
averaged, each weighted by how well it predicts the sizes that it has not seen (pseudo-Bayesian model averaging; Yao,
Vehtari, Simpson and Gelman 2018, Bayesian Analysis 13:917). The likelihoods of a few held-out sizes are rough
themselves: taken whole they favour one law too much, so that intervals are too narrow; they count by TRUST.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, softmax

from workflow_scripts.laws.decay import DecayFit, Points
from workflow_scripts.laws.likelihood import SCATTER, log_odds_of

FAR = 30.0  # times the largest measured size: a size beyond is none that could be named
ENDS = (0.025, 0.5, 0.975)
# Of a size, where averaged laws part: the true law has but a part of the weight, so that the ends of its own interval
# lie farther out in the average. Chosen by simulation; docs/coverage.md shows what they cover.
AVERAGED_ENDS = (0.02, 0.5, 0.98)
TRUST = 0.5  # power of a law's likelihood at held-out sizes: with 1, nominal 95 % of safe sizes cover 92 to 95 %


@dataclass(frozen=True)
class SafeSize:
    """Images in the training set, with the ends of its 95 % interval (infinite where no size could be named).

    extrapolated: what the size lies beyond, for people, or empty.
    """

    size: float
    low: float
    high: float
    extrapolated: str = ""


@dataclass(frozen=True)
class Outlook:
    """Plausible laws: mass (d,), scatter between runs (d,), how far non-copies reach the background, `chance` (d,).

    shares: mean share of copies over training runs at sizes (s,), as (s, d). reach: the size (d,) at which the share
    falls to a given one, infinite where none does. ends: quantiles that bound and halve the interval of a size.
    """

    mass: np.ndarray
    scatter: np.ndarray
    chance: np.ndarray
    shares: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    reach: Callable[[float], np.ndarray] = field(repr=False)
    ends: tuple[float, float, float] = ENDS

    def percentage(self, sizes: np.ndarray) -> np.ndarray:
        """Mean percentage of copies, background excluded, at sizes (s,) with its 95 % interval: low, middle, high (3,
        s)."""
        return np.array([weighted_quantiles(row, self.mass, ENDS) for row in 100 * self.shares(sizes)]).T

    def measurement(self, points: Points) -> tuple[float, float, float]:
        """Mean percentage beyond chance that the runs of `points`, of one size, would show: 2.5 %, 50 %, 97.5 %."""
        random = np.random.default_rng(2)
        share = self.shares(points.size[:1])[0]
        nodes = np.argmin(np.abs(np.log(SCATTER[:, None] / self.scatter)), axis=0)
        centre = log_odds_of(np.clip(share, 1e-7, 1 - 1e-4))[nodes, np.arange(len(share))]
        runs = (len(share), len(points.size))
        copied = expit(centre[:, None] + self.scatter[:, None] * random.standard_normal(runs))
        chance = self.chance[:, None] * points.background
        count = random.binomial(points.samples.astype(np.int64), chance + (1 - chance) * copied)
        background = float(points.background.mean())
        excess = 100 * ((count / points.samples).mean(axis=1) - background) / (1 - background)
        low, middle, high = weighted_quantiles(excess, self.mass, ENDS)
        return low, middle, high

    def safe_size(self, wanted_percentage: float, measured: np.ndarray) -> SafeSize:
        """Size at which mean copies beyond chance fall to a percentage. measured: sizes, which tell what lies beyond
        them."""
        low, middle, high = weighted_quantiles(self.reach(wanted_percentage / 100), self.mass, self.ends)
        far = FAR * float(measured.max())
        low, middle, high = (end if end <= far else np.inf for end in (low, middle, high))
        beyond = "" if measured.min() - 0.5 <= middle <= measured.max() + 0.5 else "measured sizes"
        return SafeSize(middle, low, high, beyond)


def best(fits: Sequence[DecayFit]) -> DecayFit:
    """Of a pair's laws the one that predicts held-out sizes best, among those that are identified if any is."""
    return max(fits, key=lambda fit: (fit.identified, fit.held_out))


def weights(fits: Sequence[DecayFit], left_out: float | None = None) -> np.ndarray:
    """Weight of each law of one pair, by the likelihood of held-out sizes; they sum to 1. left_out: a size not
    asked."""
    return softmax(
        [
            TRUST * fit.posterior.held_out[fit.posterior.surface.sizes != (left_out or 0.0)].sum()
            for fit in fits
            if fit.posterior is not None
        ]
    )


def own_outlook(fits: Sequence[DecayFit], left_out: float | None = None) -> Outlook:
    """The outlook by a pair's own laws that have a posterior: all in size or ln size, or, with dimensions wherever an
    `Outlook` has sizes, all in dimension. left_out: a size whose runs are not used."""
    parts = [(fit.axis, fit.posterior.draws_without(left_out)) for fit in fits if fit.posterior is not None]
    draws = [part for _, part in parts]

    def shares(sizes: np.ndarray) -> np.ndarray:
        return np.concatenate([part.shares(axis.standardise(sizes)) for axis, part in parts], axis=1)

    def reach(share: float) -> np.ndarray:
        return np.concatenate([axis.restore(part.reach(share)) for axis, part in parts])

    return Outlook(
        mass=np.repeat(weights(fits, left_out) / len(draws[0].rate), len(draws[0].rate)),
        scatter=np.concatenate([part.scatter for part in draws]),
        chance=np.concatenate([part.chance for part in draws]),
        shares=shares,
        reach=reach,
        ends=AVERAGED_ENDS if len(parts) > 1 else ENDS,
    )


def weighted_quantiles(values: np.ndarray, mass: np.ndarray, shares: Sequence[float]) -> list[float]:
    """Quantiles of values (d,), some of which may be infinite, with mass (d,)."""
    order = np.argsort(values)
    place = np.searchsorted(np.cumsum(mass[order]), np.array(shares) * mass.sum())
    return [float(value) for value in values[order][np.minimum(place, len(values) - 1)]]
