"""What the runs of one pair of generator and data set say of a law: the posterior of its level, rate and scatter.

Two curves, of which eta = level - rate * x is linear in size, ln size or dimension:

- `exponential`: the share that copies is exp(eta), up to a ceiling of all samples (Feng et al., ICCV 2021);
- `logistic`: its log-odds are eta (against ln size this is Hill's curve). Rare copies decay alike under both.

Priors are flat in level, rate and ln scatter, for which the intervals of a regression with Gaussian scatter have
exactly their nominal coverage, whatever the scatter is (Jeffreys' independence prior); only rates beyond STEEP, which
the data hardly tell from steeper ones, are less likely the steeper they are. How far non-copies reach the background
(`likelihood.CHANCE`) has three equally likely values. The posterior stands on a grid of level and rate for every
scatter, which follows where the likelihood is.

The scatter is pooled over pairs: their logarithms differ about a common value by POOLING, which is itself learnt from
all pairs (`pool`). A pair with few runs takes its scatter from the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np
from scipy.special import expit, logsumexp

from workflow_scripts.laws.likelihood import CHANCE, LOG_ODDS, SCATTER, interpolate, log_odds_of

Curve = Literal["exponential", "logistic"]

CURVES: tuple[Curve, ...] = ("exponential", "logistic")
CEILING, BEND = -0.01, 0.05  # of ln share: the exponential bends smoothly to its ceiling
POOLING = 0.3  # standard deviation of ln scatter between pairs
DRAWS = 2000
STEEP = 3.0  # e-folds from one size to the next: beyond, ever steeper rates fit alike, and their prior falls off
STEEPEST = 15.0  # and here it ends
_DROP = 12.0  # of the log-likelihood below its maximum: what lies lower adds nothing
_CELLS, _COARSE, _ZOOMS = 17, 11, 4


@dataclass(frozen=True)
class LevelPrior:
    """A belief about the level (eta at x = 0): Student's t with `degrees`, about `mean` with scale `sd`."""

    mean: float
    sd: float
    degrees: float


@dataclass(frozen=True)
class Draws:
    """Plausible laws, each with the same weight: level, rate, scatter, and how far non-copies reach the background,
    `chance`; each (d,)."""

    curve: Curve
    level: np.ndarray
    rate: np.ndarray
    scatter: np.ndarray
    chance: np.ndarray

    def shares(self, x: np.ndarray) -> np.ndarray:
        """Mean share of copies over training runs at x (m,): (m, d)."""
        return mean_share(self.level - self.rate * x[:, None], self.curve)

    def reach(self, share: float) -> np.ndarray:
        """x (d,) at which the mean share falls to `share`; infinite without decay."""
        eta = np.interp(np.log(share), np.log(mean_share(LOG_ODDS, self.curve)), LOG_ODDS)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.rate > 0, (self.level - eta) / self.rate, np.inf)


def mean_share(eta: np.ndarray, curve: Curve) -> np.ndarray:
    """Mean share of copies over training runs where the law's linear part is eta."""
    if curve == "logistic":
        return expit(eta)
    return np.exp(CEILING - BEND * np.logaddexp(0.0, (CEILING - eta) / BEND))


def curve_tables(tables: np.ndarray, curve: Curve) -> np.ndarray:
    """Log-likelihoods (m, k, eta, b) of runs where a curve's linear part is LOG_ODDS, from `likelihood.run_tables`."""
    # Without a background all chances are alike.
    informed = tables if np.ptp(tables, axis=-1).max() > 1e-9 else tables[..., 1:2]
    return interpolate(informed, np.broadcast_to(_log_odds(curve), (len(tables), *_log_odds(curve).shape)))


@cache
def _log_odds(curve: Curve) -> np.ndarray:
    """Log-odds (k, eta) about which runs scatter, where eta is LOG_ODDS."""
    return log_odds_of(mean_share(LOG_ODDS, curve))


class Surface:
    """The likelihood of a pair's runs on a grid of level and rate for every scatter.

    x: (m,), where the runs stand on the axis. sizes: (m,) set sizes, which are left out together. tables: of the runs
    under the curve, see `curve_tables`. prior: of the level, flat without one; a pair of one size needs one.
    """

    def __init__(
        self, x: np.ndarray, sizes: np.ndarray, tables: np.ndarray, curve: Curve, prior: LevelPrior | None = None
    ) -> None:
        self.curve, self.prior, self.x, self.sizes = curve, prior, x, np.unique(sizes)
        self.chance = CHANCE if tables.shape[-1] > 1 else CHANCE[1:2]
        middle = np.ascontiguousarray(tables[..., len(self.chance) // 2, None])
        self._size_of = sizes == self.sizes[:, None]
        self.centre = float(x.mean()) if prior is None else 0.0
        span = float(np.ptp(x)) or max(float(np.abs(x).max()), 1e-9)
        self.steepest = STEEPEST * max(len(self.sizes) - 1, 1) / span
        self.boxes = self._start(middle)
        for _ in range(_ZOOMS):
            self._zoom(middle)
        self.level, self.rate, parts = self._evaluate(tables, _CELLS)
        self.parts = np.stack([parts[here].sum(axis=0) for here in self._size_of])  # (sizes, k, level, rate, v)
        widths = (self.boxes[..., 1] - self.boxes[..., 0]).prod(axis=1)
        prior_and_cell = self._log_prior() + np.log(np.maximum(widths, 1e-300))[:, None, None]
        self.log = self.parts.sum(axis=0) + prior_and_cell[..., None]
        self.evidence = logsumexp(self.log.reshape(len(SCATTER), -1), axis=1)  # (k,), level and rate integrated out

    def _start(self, tables: np.ndarray) -> np.ndarray:
        """Boxes (k, 2, 2) of (centre level, rate) by their ends, from weighted regressions on the runs' own eta."""
        # A run's likelihood is widest by its counting alone where the scatter is least.
        table = tables[:, 0, :, 0]
        weight = np.exp(table - table.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        y = weight @ LOG_ODDS
        variance = np.maximum((weight * (LOG_ODDS - y[:, None]) ** 2).sum(axis=1), 1e-3)
        design = np.stack([np.ones_like(self.x), self.centre - self.x], axis=1)
        if self.prior is not None:
            design = np.concatenate([design, [[1.0, self.centre]]])
            y, variance = np.append(y, self.prior.mean), np.append(variance, self.prior.sd**2)
        weight = 1 / (variance + (SCATTER**2)[:, None])
        covariance = np.linalg.inv((design.T * weight[:, None]) @ design + 1e-9 * np.eye(2))
        best = (covariance @ (design.T @ (weight * y).T).T[..., None])[..., 0]
        half = 8 * np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)) + [1.0, 0.5 * self.steepest / STEEPEST]
        return self._within(np.stack([best - half, best + half], axis=-1))

    def _within(self, boxes: np.ndarray) -> np.ndarray:
        limits = np.array([[-40.0, 40.0], [-self.steepest / 3, self.steepest]])
        return np.clip(boxes, limits[:, :1], limits[:, 1:])

    def _zoom(self, tables: np.ndarray) -> None:
        """Fit the boxes to where the likelihood counts."""
        self.level, self.rate, parts = self._evaluate(tables, _COARSE)
        value = parts.sum(axis=0)[..., 0] + self._log_prior()
        near = value > value.max(axis=(1, 2), keepdims=True) - _DROP
        ends = []
        for axis in range(2):
            along = near.any(axis=2 - axis)
            first, last = along.argmax(axis=1), _COARSE - 1 - along[:, ::-1].argmax(axis=1)
            low, high = self.boxes[:, axis].T
            cell, beyond = (high - low) / (_COARSE - 1), 0.4 * (high - low)
            ends.append(
                [
                    low + first * cell - np.where(first == 0, beyond, cell),
                    low + last * cell + np.where(last == _COARSE - 1, beyond, cell),
                ]
            )
        self.boxes = self._within(np.moveaxis(np.array(ends), 2, 0))

    def _evaluate(self, tables: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centre levels and rates (k, cells), and log-likelihoods (m, k, level, rate, v)."""
        low, high = self.boxes[..., :1], self.boxes[..., 1:]
        level, rate = np.moveaxis(low + np.linspace(0.0, 1.0, cells) * (high - low), 1, 0)
        away = (self.x - self.centre)[:, None, None, None]
        return level, rate, interpolate(tables, level[:, :, None] - rate[:, None, :] * away)

    def _log_prior(self) -> np.ndarray:
        """Log-density (k, level, rate) of the priors of level and rate, up to a constant."""
        level, rate = self.level[:, :, None], self.rate[:, None, :]
        of_rate = -np.log1p((rate / self.steepest * STEEPEST / STEEP) ** 2)
        if self.prior is None:
            return of_rate + np.zeros_like(level)
        miss = (level + rate * self.centre - self.prior.mean) / self.prior.sd
        return of_rate - (self.prior.degrees + 1) / 2 * np.log1p(miss**2 / self.prior.degrees)

    def posterior(self, scatter: np.ndarray) -> "Posterior":
        """The posterior where ln scatter has the log-prior (k,)."""
        log = self.log + scatter[:, None, None, None]
        chosen = np.flatnonzero(log > log.max() - 25.0)
        log = log.ravel()[chosen]
        return Posterior(
            surface=self,
            log_weight=log - logsumexp(log),
            parts=self.parts.reshape(len(self.sizes), -1)[:, chosen],
            places=np.stack(np.unravel_index(chosen, self.log.shape)),
        )


@dataclass(frozen=True)
class Posterior:
    """A posterior on the cells of a surface that count: log_weight (e,), parts (sizes, e), places (4, e)."""

    surface: Surface
    log_weight: np.ndarray
    parts: np.ndarray
    places: np.ndarray

    @cached_property
    def draws(self) -> Draws:
        """DRAWS plausible laws."""
        return self._draw(self.log_weight)

    def draws_without(self, size: float | None) -> Draws:
        """DRAWS laws that are plausible without the runs at a size (None: with all)."""
        if size is None:
            return self.draws
        return self._draw(self.log_weight - self.parts[np.searchsorted(self.surface.sizes, size)])

    def _draw(self, log_weight: np.ndarray) -> Draws:
        """Laws evenly through the weight (systematic sampling), at random within each cell."""
        surface = self.surface
        random = np.random.default_rng(0)
        order = np.lexsort((self.places[1], self.places[2], self.places[0]))
        mass = np.cumsum(np.exp(log_weight[order] - log_weight.max()))
        chosen = order[np.searchsorted(mass / mass[-1], (np.arange(DRAWS) + 0.5) / DRAWS)]
        k, i, j, v = self.places[:, chosen]
        cell = (surface.boxes[k, :, 1] - surface.boxes[k, :, 0]) / (_CELLS - 1)
        moved = cell * (random.random((DRAWS, 2)) - 0.5)
        rate = surface.rate[k, j] + moved[:, 1]
        return Draws(
            curve=surface.curve,
            level=surface.level[k, i] + moved[:, 0] + rate * surface.centre,
            rate=rate,
            scatter=SCATTER[k],
            chance=surface.chance[v],
        )

    @cached_property
    def held_out(self) -> np.ndarray:
        """Log-likelihood (sizes,) of the runs at each size under the law that all other sizes give."""
        return logsumexp(self.log_weight) - logsumexp(self.log_weight - self.parts, axis=1)


def pool(surfaces: Sequence[Surface]) -> list[Posterior]:
    """The posterior of each pair, its scatter drawn towards that of all pairs."""
    gap = np.log(SCATTER / SCATTER[:, None])
    kernel = -0.5 * (gap / POOLING) ** 2
    kernel -= logsumexp(kernel, axis=1, keepdims=True)
    evidence = np.array([surface.evidence - surface.evidence.max() for surface in surfaces])
    of_common = logsumexp(kernel + evidence[:, None, :], axis=2)  # (pairs, common scatter)
    others = of_common.sum(axis=0) - of_common
    return [
        surface.posterior(logsumexp(kernel + message[:, None], axis=0))
        for surface, message in zip(surfaces, others, strict=True)
    ]
