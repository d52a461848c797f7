"""Regression of a share of samples on an exponential: the estimator under every law of this stage.

The share of samples that copy is s = exp(eta), where eta = design @ theta is linear in the parameters. A sample that
does not copy still counts as a replica with the probability b (the background: what held-out images do), so that the
share of replicas is p = b + (1 - b) s; toxicology knows this as Abbott's formula (Abbott 1925, J. Econ. Entomol.
18:265). Held-out images are not samples, though: those of a poor generator may stay farther from the training set. So b
is held to be known to half of itself only.

Two methods, both solved by the same damped Newton method, for any number of data sets at once:

- `binomial`: maximum likelihood for counts of n samples, with what else scatters. A generator that copies whatever it
  can still does not reach 100 %, so eta bends smoothly, within 0.02, to a ceiling of -0.03 (97 %); below 90 % it is eta
  itself to within 0.1 %. Training runs differ in proportion to what they copy, by a coefficient of variation `run_sd`
  that shrinks towards the top, where the ceiling itself is known to a tenth only. With c = (1 - b) s, the variance of
  k / n is

      V(p) = p (1 - p) / n + run_sd^2 c^2 (1 - p) + (c^4 / 10)^2 + (b / 2)^2

  (extra-binomial variation as in Williams 1982, Appl. Stat. 31:144), and the likelihood becomes the quasi-likelihood of
  Wedderburn (1974, Biometrika 61:439), the integral of (k / n - p) / V(p). docs/laws.md says why a constant
  quasi-binomial factor would not do.
- `least_squares`: least squares on percentages with the plain, unbounded exponential, as in Feng et al. (ICCV 2021).

Intervals are profile intervals: the set of values that the data do not reject, by an F test when the scatter was
estimated. They may be infinite on a side, where the data set no limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import expit
from scipy.stats import chi2
from scipy.stats import f as f_distribution

Method = Literal["binomial", "least_squares"]

CEILING = -0.03  # of eta: the most that a generator copies, as a logarithm
BACKGROUND_SD = 0.5  # of the background, relative to itself
CEILING_SD = 0.1  # of the ceiling, as a share
BEND = 0.02  # of eta: over this width the exponential bends to its ceiling
_MAX_STEPS = 100
_TOLERANCE = 1e-9  # of a minimum's objective, relative; the quadrature is good to about as much
_FAR = 30.0  # half-widths of the Gaussian interval: an end beyond is called infinite

_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(24)
_NODES, _NODE_WEIGHTS = (_NODES + 1) / 2, _NODE_WEIGHTS / 2


@dataclass(frozen=True)
class Dispersion:
    """Scatter of the measurements about the law.

    factor: 1 for `binomial`; the variance in squared percentage points for `least_squares`. run_sd: for `binomial`, the
    coefficient of variation of the copied share between training runs. degrees: degrees of freedom that they were
    estimated from; infinite where they are known.
    """

    factor: float
    degrees: float
    run_sd: float = 0.0

    def cutoff(self, confidence: float = 0.95) -> float:
        """Rise of the deviance above its minimum that bounds the interval of one parameter."""
        if np.isinf(self.degrees):
            return self.factor * float(chi2.ppf(confidence, 1))
        return self.factor * float(f_distribution.ppf(confidence, 1, self.degrees))


@dataclass(frozen=True)
class Prior:
    """A Gaussian belief about one linear combination of the parameters: row @ theta ~ Normal(mean, sd)."""

    row: np.ndarray
    mean: np.ndarray | float
    sd: float


@dataclass(frozen=True)
class ExponentialModel:
    """Counts of replicas and the exponential that is to describe them.

    design: (m, p), or (..., m, p) where it differs between data sets (not for `profile`). replicas: (..., m) counts,
    one row for each data set. samples: (m,), at least 1. background: (m,) shares in [0, 1). run_sd: scatter between
    runs, see `Dispersion`. weight: (..., m), 0 leaves a point out. prior: see `Prior`; `dispersion` is the factor by
    which the deviance is divided before it is compared with the prior.
    """

    design: np.ndarray
    replicas: np.ndarray
    samples: np.ndarray
    background: np.ndarray
    method: Method
    run_sd: np.ndarray | float = 0.0
    weight: np.ndarray | float = 1.0
    prior: Prior | None = None
    dispersion: float = 1.0

    def shares(self, theta: np.ndarray) -> np.ndarray:
        """Expected shares of replicas (..., m) in 0..1 (`least_squares` does not bound them) for theta (..., p)."""
        return self._curve(theta).share

    def variance(self, theta: np.ndarray) -> np.ndarray:
        """Variance of the measured shares about the expected ones, (..., m)."""
        return self._variance(self.shares(theta))[0]

    def telling(self, theta: np.ndarray) -> np.ndarray:
        """How far the law shows in each point, 0..1 (..., m): not at the ceiling, nor at the background."""
        curve = self._curve(theta)
        return curve.slope / curve.share

    def objective(self, theta: np.ndarray) -> np.ndarray:
        """Deviance (for `least_squares` the sum of squares in squared points), plus the prior's part, (...,)."""
        return self._deviance(self._curve(theta)) + self._surprise(theta)

    def fit(self, start: np.ndarray | None = None) -> np.ndarray:
        """Parameters (..., p) that minimise the objective. Where none do (separated data), they are merely large.

        Without `start`, the best of several: what lies at the ceiling may be part of the law or past its end, and
        either can be a minimum.
        """
        starts = self._starts() if start is None else start[None]
        no_offset = np.zeros(len(self.samples))
        thetas = self._solve(self.design, no_offset, starts, self._prior_row(), 0.0)
        if len(thetas) == 1:
            return thetas[0]
        best = np.argmin(self.objective(thetas), axis=0)
        return np.take_along_axis(thetas, best[None, ..., None], axis=0)[0]

    def information(self, theta: np.ndarray) -> np.ndarray:
        """Expected information (..., p, p) in deviance units: its inverse times the dispersion is the covariance."""
        curve = self._curve(theta)
        prior = self._prior_precision() * np.outer(self._prior_row(), self._prior_row())
        return _gram(self.design, self._precision(curve) * curve.slope**2) + prior

    def profile(self, theta: np.ndarray, rows: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the profile intervals of the combinations rows @ theta, each (f, ...), infinite where there is none.

        theta: (..., p), the minimum. rows: (f, p). cutoff: rise of the objective at the ends.

        In each combination the parameter of the largest coefficient gives way to the combination's value; the others
        are fitted anew at every value, each time from where they ended before. From the minimum the value goes outwards
        in growing steps until the objective has risen by `cutoff`; the end is then enclosed by the method of Illinois.
        """
        count = rows.shape[1]
        batch = (len(rows), 2, *theta.shape[:-1])  # combinations, sides, data sets
        expand = (slice(None), *(None,) * (len(batch) - 1))
        pivot = np.argmax(np.abs(rows), axis=1)
        rest = np.array([[i for i in range(count) if i != j] for j in pivot], dtype=int).reshape(len(rows), count - 1)
        lead = np.take_along_axis(rows, pivot[:, None], 1)
        ratio = np.take_along_axis(rows, rest, 1) / lead
        fixed_column = self.design.T[pivot] / lead
        design = np.moveaxis(self.design.T[rest], 1, 2) - self.design.T[pivot][..., None] * ratio[:, None, :]
        prior_row = self._prior_row()[rest] - self._prior_row()[pivot][:, None] * ratio
        prior_lead = (self._prior_row()[pivot] / lead[:, 0])[expand]
        indices = np.concatenate([rest, pivot[:, None]], axis=1).argsort(axis=1)[expand]

        def rise(value: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Roots of the objective's rise over the cutoff's, less 1: below 0 inside; and where the others ended."""
            others = start
            if count > 1:
                offset = value[..., None] * fixed_column[expand]
                others = self._solve(design[expand], offset, start, prior_row[expand], value * prior_lead)
            first = value / lead[:, 0][expand] - (others * ratio[expand]).sum(-1)
            whole = np.concatenate([others, first[..., None]], axis=-1)
            objective = self.objective(np.take_along_axis(whole, np.broadcast_to(indices, whole.shape), -1))
            excess = np.where(np.isfinite(objective), np.maximum(objective - least, 0.0), np.inf)
            return np.minimum(np.sqrt(excess / cutoff), 1e6) - 1.0, others

        least = self.objective(theta)
        with np.errstate(all="ignore"):
            covariance = np.linalg.pinv(self.information(theta), hermitian=True)
        spread = np.sqrt(np.maximum(np.einsum("fi,...ij,fj->f...", rows, covariance, rows) * cutoff, 1e-12))[:, None]
        side = np.array([-1.0, 1.0]).reshape(1, 2, *(1,) * (len(batch) - 2))
        unit = side * np.minimum(spread, 3.0)
        centre = np.einsum("fi,...i->f...", rows, theta)[:, None] + np.zeros(batch)
        start = np.moveaxis(theta[..., rest], -2, 0)[:, None] + np.zeros((*batch, count - 1))
        near, near_rise = centre, np.full(batch, -1.0)
        far, far_rise = np.full(batch, np.nan), np.full(batch, np.nan)
        distance = 0.7
        while np.isnan(far).any() and distance < _FAR:
            value = centre + distance * unit
            there, ended = rise(value, start)
            open_ = np.isnan(far)
            far, far_rise = (np.where(open_ & (there >= 0), new, old) for new, old in ((value, far), (there, far_rise)))
            near, near_rise = (
                np.where(open_ & (there < 0), new, old) for new, old in ((value, near), (there, near_rise))
            )
            start = np.where((open_ & (there < 0))[..., None], ended, start)
            distance *= 1.5
        found = ~np.isnan(far)
        far, far_rise = np.where(found, far, near), np.where(found, far_rise, 1.0)
        kept = np.zeros(batch)  # which end stayed last time: -1 near, 1 far
        middle = near
        for _ in range(40):
            middle = near - near_rise * (far - near) / (far_rise - near_rise)
            there, ended = rise(middle, start)
            beyond = there >= 0
            far_rise = np.where(beyond, there, np.where(kept == 1, far_rise / 2, far_rise))
            near_rise = np.where(beyond, np.where(kept == -1, near_rise / 2, near_rise), there)
            far, near = np.where(beyond, middle, far), np.where(beyond, near, middle)
            start = np.where(beyond[..., None], start, ended)
            kept = np.where(beyond, -1.0, 1.0)
            if np.all((np.abs(there) < 1e-5) | ~found):
                break
        ends = np.where(found, middle, side * np.inf)
        return ends[:, 0], ends[:, 1]

    def _curve(self, theta: np.ndarray) -> "_Curve":
        return _Curve((self.design @ theta[..., None])[..., 0], self.background, self.method)

    def _starts(self) -> np.ndarray:
        """Linear regressions of the logarithms, (3, ..., p): all points alike, by their counts, and the low points
        only."""
        share = (self.replicas + 0.5) / (self.samples + 1.0)
        floor = 0.5 / (self.samples + 1.0)
        copied = np.maximum((share - self.background) / (1 - self.background), floor)
        counts = copied ** (2.0 if self.method == "least_squares" else 1.0)
        weight = self.weight * np.stack([np.ones_like(copied), counts, np.where(copied < 0.5, 1.0, 1e-3)])
        right = np.swapaxes(self.design, -1, -2) @ (weight * np.log(copied))[..., None]
        ridge = 1e-6 * np.eye(self.design.shape[-1])
        return np.linalg.solve(_gram(self.design, weight) + ridge, right)[..., 0]

    def _prior_row(self) -> np.ndarray:
        return np.zeros(self.design.shape[-1]) if self.prior is None else self.prior.row

    def _prior_precision(self) -> float:
        return 0.0 if self.prior is None else self.dispersion / self.prior.sd**2

    def _surprise(self, theta: np.ndarray) -> np.ndarray | float:
        if self.prior is None:
            return 0.0
        return self._prior_precision() * (theta @ self.prior.row - self.prior.mean) ** 2

    def _variance(self, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Variance of a measured share about the expected one, (..., m), and its derivative by the latter."""
        if self.method == "least_squares":
            return np.full(share.shape, 1e-4), np.zeros(share.shape)
        copied, rest = share - self.background, 1 - share
        runs = self.run_sd**2 * copied
        top = CEILING_SD**2 * copied**7
        floor = (BACKGROUND_SD * self.background) ** 2
        variance = share * rest / self.samples + runs * copied * rest + top * copied + floor
        return variance, (rest - share) / self.samples + runs * (2 * rest - copied) + 8 * top

    def _precision(self, curve: "_Curve") -> np.ndarray:
        """One over the variance of each point's share, in deviance units."""
        return self.weight / self._variance(curve.share)[0]

    def _deviance(self, curve: "_Curve") -> np.ndarray:
        return (self.weight * np.where(np.asarray(self.weight) > 0, self._parts(curve), 0.0)).sum(-1)

    def _parts(self, curve: "_Curve") -> np.ndarray:
        """Each point's part of the deviance."""
        measured = self.replicas / self.samples
        if self.method == "least_squares":
            return (100.0 * (measured - curve.share)) ** 2
        # 2 integral of (measured - t) / V(t) dt from the expected to the measured share, by Gauss and Legendre in ln t,
        # in which it is smooth; what lies below e^-16 of the expected share adds nothing.
        top = np.log(curve.share)
        with np.errstate(divide="ignore"):
            span = np.maximum(np.log(measured) - top, -16.0)
        share = np.exp(top + span * _NODES.reshape(-1, *(1,) * top.ndim))
        force = (measured - share) * share / self._variance(share)[0]
        return 2.0 * span * np.tensordot(_NODE_WEIGHTS, force, 1)

    def _descent(self, curve: "_Curve") -> tuple[np.ndarray, np.ndarray]:
        """Half the deviance's slope downhill in eta, and half its curvature there, each (..., m).

        The curvature is the observed one, but at least a tenth of the expected one, so that every step goes downhill.
        """
        variance, growth = self._variance(curve.share)
        miss = self.replicas / self.samples - curve.share
        force = self.weight * miss / variance
        expected = self.weight * curve.slope**2 / variance
        observed = expected * (1 + miss * growth / variance) - force * curve.bend
        return force * curve.slope, np.maximum(observed, 0.1 * expected)

    def _solve(
        self,
        design: np.ndarray,
        offset: np.ndarray,
        start: np.ndarray,
        prior_row: np.ndarray,
        prior_offset: np.ndarray | float,
    ) -> np.ndarray:
        """Minimise over theta where eta = offset + design @ theta: Newton's method, damped as by Levenberg and
        Marquardt.

        design: (..., m, p). offset: (..., m). start: (..., p). prior_row @ theta + prior_offset has the prior.
        """
        points, count = design.shape[-2:]
        shape = np.broadcast_shapes(start.shape[:-1], offset.shape[:-1], design.shape[:-2], self.replicas.shape[:-1])

        def flat(array: np.ndarray | float, *tail: int) -> np.ndarray:
            return np.broadcast_to(array, (*shape, *tail)).reshape(-1, *tail)

        target = 0.0 if self.prior is None else self.prior.mean - prior_offset
        problem = _Problem(
            replace(self, replicas=flat(self.replicas, points), weight=flat(self.weight, points), prior=None),
            flat(design, points, count),
            flat(offset, points),
            flat(prior_row, count),
            flat(target),
            self._prior_precision(),
        )
        result = flat(start, count).copy()
        going = np.arange(len(result))
        theta = result.copy()
        value, curve = problem.value(theta)
        damping = np.full(value.shape, 1e-6)
        for _ in range(_MAX_STEPS):
            step, promised = problem.step(theta, curve, damping)
            trial = theta + step
            trial_value, trial_curve = problem.value(trial)
            slack = _TOLERANCE * (1.0 + np.abs(value))
            better = trial_value <= value + slack
            theta = np.where(better[:, None], trial, theta)
            value = np.where(better, trial_value, value)
            curve = trial_curve.where(better, curve)
            damping = np.where(better, np.maximum(damping * 0.1, 1e-10), damping * 10.0)
            done = (better & (promised <= slack)) | (damping > 1e6)
            if done.any():
                result[going[done]] = theta[done]
                if done.all():
                    return result.reshape(*shape, count)
                on = ~done
                going, theta, value, damping = going[on], theta[on], value[on], damping[on]
                problem, curve = problem.select(on), curve.select(on)
        result[going] = theta
        return result.reshape(*shape, count)


@dataclass(frozen=True)
class _Problem:
    """A batch of minimisations, B of them, each array with B rows: see `ExponentialModel._solve`."""

    model: ExponentialModel
    design: np.ndarray
    offset: np.ndarray
    prior_row: np.ndarray
    prior_target: np.ndarray
    prior_precision: float

    def value(self, theta: np.ndarray) -> tuple[np.ndarray, "_Curve"]:
        """Objective (B,) and the curve there."""
        eta = self.offset + (self.design @ theta[..., None])[..., 0]
        curve = _Curve(eta, self.model.background, self.model.method)
        miss = (self.prior_row * theta).sum(-1) - self.prior_target
        return self.model._deviance(curve) + self.prior_precision * miss**2, curve

    def step(self, theta: np.ndarray, curve: "_Curve", damping: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The damped Newton step (B, p), and the fall of the objective that it promises (B,)."""
        force, curvature = self.model._descent(curve)
        gradient = (np.swapaxes(self.design, -1, -2) @ force[..., None])[..., 0]
        miss = self.prior_target - (self.prior_row * theta).sum(-1)
        gradient = gradient + self.prior_precision * miss[:, None] * self.prior_row
        damped = _gram(self.design, curvature)
        damped = damped + self.prior_precision * self.prior_row[:, :, None] * self.prior_row[:, None, :]
        diagonal = np.arange(theta.shape[1])
        damped[:, diagonal, diagonal] = damped[:, diagonal, diagonal] * (1.0 + damping[:, None]) + 1e-12
        step = np.linalg.solve(damped, gradient[..., None])[..., 0]
        # No step multiplies a share by more than e^3: a far start must not throw the curve out of sight.
        reach = np.abs((self.design @ step[..., None])[..., 0]).max(-1)
        return step * np.minimum(1.0, 3.0 / np.maximum(reach, 1e-300))[:, None], (step * gradient).sum(-1)

    def select(self, rows: np.ndarray) -> "_Problem":
        model = replace(self.model, replicas=self.model.replicas[rows], weight=np.asarray(self.model.weight)[rows])
        return _Problem(
            model,
            self.design[rows],
            self.offset[rows],
            self.prior_row[rows],
            self.prior_target[rows],
            self.prior_precision,
        )


class _Curve:
    """The expected share of replicas at eta, with its first and second derivative."""

    def __init__(self, eta: np.ndarray, background: np.ndarray, method: Method) -> None:
        clear = 1 - background
        if method == "least_squares":
            self.slope = self.bend = clear * np.exp(np.minimum(eta, 30.0))
            self.share = background + self.slope
            return
        scaled = (eta - CEILING) / BEND
        copied = clear * np.exp(CEILING - BEND * np.logaddexp(0.0, -scaled))
        free = expit(-scaled)  # 1 below the ceiling, 0 at it
        self.share = background + copied
        self.slope = copied * free
        self.bend = self.slope * (free - (1 - free) / BEND)

    def where(self, chosen: np.ndarray, other: "_Curve") -> "_Curve":
        """This curve where `chosen` (...,), else the other."""
        mixed = object.__new__(_Curve)
        for name in ("share", "slope", "bend"):
            setattr(mixed, name, np.where(chosen[..., None], getattr(self, name), getattr(other, name)))
        return mixed

    def select(self, rows: np.ndarray) -> "_Curve":
        """The curves of some rows."""
        part = object.__new__(_Curve)
        for name in ("share", "slope", "bend"):
            setattr(part, name, getattr(self, name)[rows])
        return part


def expected_share(eta: np.ndarray, background: np.ndarray, method: Method) -> np.ndarray:
    """Share of replicas where the share of copies is exp(eta), bent to stay below 1 for `binomial`."""
    return _Curve(eta, background, method).share


def _gram(design: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """design' diag(weight) design, (..., p, p)."""
    return np.swapaxes(design * weight[..., None], -1, -2) @ design


def estimate_dispersion(models: Sequence[ExponentialModel]) -> Dispersion:
    """Scatter that several data sets, each with its own parameters, have in common about their laws.

    `binomial`: the smallest run_sd at which Pearson's statistic does not exceed its degrees of freedom, 0 where
    counting explains all, at most 3. Points at the ceiling tell nothing of the law and are left out of both.
    `least_squares`: the residual variance. Without degrees of freedom nothing can be estimated: no scatter beyond
    counting is assumed, or an infinite variance.
    """
    parameters = sum(model.design.shape[1] for model in models)
    if models[0].method == "least_squares":
        degrees = sum(len(model.samples) for model in models) - parameters
        squares = sum(float(model.objective(model.fit())) for model in models)
        return Dispersion(squares / degrees, degrees) if degrees > 0 else Dispersion(np.inf, np.inf)

    def pearson(run_sd: float) -> tuple[float, float]:
        """Pearson's statistic over its degrees of freedom, and these."""
        total, degrees = 0.0, -float(parameters)
        for model in (replace(model, run_sd=run_sd) for model in models):
            theta = model.fit()
            telling = model.telling(theta)
            total += float(
                (telling * (model.replicas / model.samples - model.shares(theta)) ** 2 / model.variance(theta)).sum()
            )
            degrees += float(telling.sum())
        return (total / degrees if degrees > 0.5 else 0.0), degrees

    ratio, degrees = pearson(0.0)
    if degrees <= 0.5:
        return Dispersion(1.0, np.inf)
    if ratio <= 1.0:
        return Dispersion(1.0, degrees)
    low, high = 0.0, 3.0
    while high - low > 1e-3 * high:
        middle = high / 2 if low == 0.0 else (low + high) / 2
        if middle < 1e-3:
            break
        low, high = (middle, high) if pearson(middle)[0] > 1.0 else (low, middle)
    return Dispersion(1.0, max(pearson(high)[1], 1.0), high)


def draw_replicas(
    model: ExponentialModel, theta: np.ndarray, dispersion: Dispersion, draws: int, seed: list[int]
) -> np.ndarray:
    """Parametric bootstrap: counts (draws, m) as the fitted law and its scatter would give them in repetitions.

    `binomial`: what a run copies is drawn about the law, then the samples are counted. `least_squares`: Gaussian about
    the law, so that counts need be neither whole nor positive. A scatter that was estimated is itself drawn (scaled
    inverse chi-square), which gives the results the heavier tails that few degrees of freedom call for.
    """
    random = np.random.default_rng(seed)
    noise = random.standard_normal((draws, len(model.samples)))
    if np.isfinite(dispersion.degrees):
        noise *= np.sqrt(dispersion.degrees / random.chisquare(dispersion.degrees, (draws, 1)))
    if model.method == "least_squares":
        return model.samples * (model.shares(theta) + np.sqrt(dispersion.factor) / 100.0 * noise)
    shares = model.shares(theta)
    copied = shares - model.background
    relative = np.sqrt(dispersion.run_sd**2 * (1 - shares) + (CEILING_SD * copied**3) ** 2)
    copied = _positive(relative, noise) * copied
    background = _positive(BACKGROUND_SD, random.standard_normal(noise.shape)) * model.background
    return random.binomial(model.samples.astype(np.int64), np.minimum(background + copied, 1.0)).astype(float)


def _positive(sd: np.ndarray | float, noise: np.ndarray) -> np.ndarray:
    """Log-normal factors of mean 1 and standard deviation `sd` from standard normal noise."""
    width = np.sqrt(np.log1p(sd**2))
    return np.exp(width * noise - width**2 / 2)
