"""When to stop: at which step of its training a generator begins to copy, and how that moves with the training set.

Each run's samples at a few moments of training say between which of them copying began, its onset. Onsets follow

    ln onset = a + b ln size + scatter of runs,

where theory has b = 1 (Bonnaire et al. 2025, Why diffusion models don't memorize). Some onsets are censored: before
the first moment, or after the last. Counts near the limit leave it open where an onset lies, and each place counts by
its likelihood. Everything is summed on grids, so that no fit can fail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, xlogy

Interval = tuple[float, float]

LEAST_SIZES = 3  # at which copying begins within the training
EXPONENTS = np.linspace(-2.0, 4.0, 121)
# Of ln onset, with a prior flat in its square: counts that leave the onset open between several moments make a small
# scatter too likely, and one flat in the scatter itself covers another run's onset in but 88 to 93 % of studies.
SCATTERS = np.linspace(0.05, 0.8, 16)
MIDDLES = 121
BEYOND = 2.0  # how far beyond the moments an onset is looked for, in ln step
CHANCES = np.linspace(0.0, 1.0, 5)
INSIDE = np.exp(-1.92)  # likelihood ratio at the ends of a 95 % interval
DRAWS = 4000
ACCOUNTS = ("unmoved", "proportional", "power", "free")  # of how the onset depends on the size


@dataclass(frozen=True)
class Training:
    """Copies at the moments of a run, all (m,): rising steps, replicas among samples; chance: share that held-out
    images show."""

    size: float
    seed: int
    step: np.ndarray
    replicas: np.ndarray
    samples: np.ndarray
    chance: float


@dataclass(frozen=True)
class Onset:
    """Between which steps copying began. after 0: before the first moment; before infinite: after the last, or never.
    likelihood (m + 1,): of the onset before the first moment, before each later one, and after the last; largest 1."""

    after: float
    before: float
    likelihood: np.ndarray = field(repr=False)

    @property
    def within(self) -> bool:
        """Whether copying most likely began within the training, after the first moment that was looked at."""
        return 0 < int(self.likelihood.argmax()) < len(self.likelihood) - 1


@dataclass(frozen=True)
class OnsetLaw:
    """How the onset of one generator moves with the size.

    exponent: median of b, with its 95 % interval. weights: the posterior probability of each of ACCOUNTS, alike
    before: the onset does not move (b = 0), is proportional to the size (b = 1), follows another power, or is each
    size's own. reason: why there is no law, or empty; then the numbers are NaN.
    """

    exponent: float = np.nan
    interval: Interval = (np.nan, np.nan)
    weights: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    draws: np.ndarray = field(default_factory=lambda: np.empty((3, 0)), repr=False)
    centre: float = 0.0

    def steps(self, size: float) -> tuple[float, float, float]:
        """After how many steps another run on so many images begins to copy: low, median, high of 95 %."""
        middle, exponent, scatter = self.draws
        noise = np.random.default_rng(1).permutation((np.arange(DRAWS) + 0.5) / DRAWS)
        drawn = middle + exponent * (np.log(size) - self.centre) + scatter * ndtri(noise)
        low, median, high = np.exp(np.quantile(drawn, [0.025, 0.5, 0.975]))
        return float(low), float(median), float(high)


def onset_of(run: Training, wanted_percentage: float) -> Onset:
    """Where the share of copies beyond chance passes the wanted percentage, if it never falls again.

    Shares that rise over training are fitted (isotonic regression) and held below the limit before an onset, above it
    after; the places within the likelihood's 95 % are the interval. How much of the generator's other samples counts by
    chance is not known: anything from nothing to what held-out images show.
    """
    shares = rising(run.replicas / run.samples, run.samples)
    moments = len(run.step)
    ln = []
    for chance in run.chance * CHANCES:
        limit = min(chance + (1 - chance) * wanted_percentage / 100, 1.0)
        below, above = (_ln_binomial(run, clipped(shares, limit)) for clipped in (np.minimum, np.maximum))
        ln.append([below[:j].sum() + above[j:].sum() for j in range(moments + 1)])
    total = np.logaddexp.reduce(ln, axis=0)
    likelihood = np.exp(total - total.max())
    places = np.flatnonzero(likelihood >= INSIDE)
    edges = np.concatenate([[0.0], run.step, [np.inf]])
    return Onset(float(edges[places[0]]), float(edges[places[-1] + 1]), likelihood)


def rising(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Isotonic regression: the values (m,) nearest in weighted squares that never fall, by pooling violators."""
    blocks: list[list[float]] = []
    for value, weight in zip(values.astype(float), weights.astype(float), strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            value, weight, count = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + value * weight) / (last[1] + weight)
            last[1] += weight
            last[2] += count
    return np.repeat([block[0] for block in blocks], [int(block[2]) for block in blocks])


def fit_onsets(runs: Sequence[Training], wanted_percentage: float) -> tuple[list[Onset], OnsetLaw]:
    """The onset of each run of one generator on one data set, and their law."""
    onsets = [onset_of(run, wanted_percentage) for run in runs]
    sizes = np.array([run.size for run in runs])
    seen = np.unique(sizes[[onset.within for onset in onsets]])
    if len(seen) < LEAST_SIZES:
        return onsets, OnsetLaw(reason=_what_is_missing(sizes, onsets, seen))
    return onsets, _law(runs, onsets, sizes, float(np.log(seen).mean()))


def _law(runs: Sequence[Training], onsets: Sequence[Onset], sizes: np.ndarray, centre: float) -> OnsetLaw:
    every = np.log(np.concatenate([run.step for run in runs]))
    middles = np.linspace(every.min() - BEYOND, every.max() + BEYOND, MIDDLES)
    # (sizes, scatters, means): the runs of a size share its mean.
    means = np.linspace(middles[0] - 6.0, middles[-1] + 6.0, 4 * MIDDLES)
    distinct = np.unique(sizes)
    ln = np.zeros((len(distinct), len(SCATTERS), len(means)))
    for run, onset in zip(runs, onsets, strict=True):
        edges = np.log(run.step)[:, None, None]
        below = ndtr((edges - means) / SCATTERS[:, None])
        within = np.diff(np.concatenate([np.zeros_like(below[:1]), below, np.ones_like(below[:1])]), axis=0)
        likelihood = np.tensordot(onset.likelihood, within, axes=1)
        ln[np.searchsorted(distinct, run.size)] += np.log(np.maximum(likelihood, 1e-300))
    # (scatters, middles, exponents)
    total = np.zeros((len(SCATTERS), len(middles), len(EXPONENTS)))
    for size, of_size in zip(distinct, ln, strict=True):
        at = middles[:, None] + EXPONENTS * (np.log(size) - centre)
        for row, values in zip(total, of_size, strict=True):
            row += np.interp(at, means, values)
    prior = np.log(SCATTERS)
    total += prior[:, None, None]
    posterior = np.exp(total - total.max())
    exponent = np.cumsum(posterior.sum(axis=(0, 1)))
    low, median, high = np.interp(np.array([0.025, 0.5, 0.975]) * exponent[-1], exponent, EXPONENTS)
    free = np.logaddexp.reduce(ln[:, :, (means >= middles[0]) & (means <= middles[-1])], axis=2)
    free -= np.log(np.count_nonzero((means >= middles[0]) & (means <= middles[-1])))
    of_power = np.log(posterior.mean(axis=(0, 1))) + total.max()
    evidence = np.array(
        [
            of_power[np.abs(EXPONENTS).argmin()],
            of_power[np.abs(EXPONENTS - 1).argmin()],
            np.logaddexp.reduce(of_power) - np.log(len(EXPONENTS)),
            np.logaddexp.reduce(free.sum(axis=0) + prior) - np.log(len(SCATTERS)),
        ]
    )
    share = np.exp(evidence - evidence.max())
    weights = dict(zip(ACCOUNTS, (share / share.sum()).tolist(), strict=True))
    places = np.cumsum(posterior.ravel())
    chosen = np.searchsorted(places, (np.arange(DRAWS) + 0.5) / DRAWS * places[-1])
    scatter, middle, power = np.unravel_index(np.minimum(chosen, posterior.size - 1), posterior.shape)
    draws = np.stack([middles[middle], EXPONENTS[power], SCATTERS[scatter]])
    return OnsetLaw(float(median), (float(low), float(high)), weights, "", draws, centre)


def _ln_binomial(run: Training, share: np.ndarray) -> np.ndarray:
    return xlogy(run.replicas, share) + xlogy(run.samples - run.replicas, 1 - share)


def _what_is_missing(sizes: np.ndarray, onsets: Sequence[Onset], seen: np.ndarray) -> str:
    early = np.unique(sizes[[onset.likelihood.argmax() == 0 for onset in onsets]])
    late = np.unique(sizes[[onset.likelihood[-1] == 1 for onset in onsets]])
    where = f"copying begins within the training at {len(seen)} of {len(np.unique(sizes))} sizes, and a law needs three"
    if len(late) > len(early):
        return f"{where}: train longer, or on sizes below {late.min():,.0f}"
    if len(early):
        return f"{where}: add sizes above {early.max():,.0f}"
    return f"{where}: add sizes"


def read_trainings(tables: Sequence[pd.DataFrame], runs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One table of all moments of all runs: what measure_replication wrote of each, after generator, dataset, size and
    seed."""
    heads = [{key: run[key] for key in ("generator", "dataset", "size", "seed")} for run in runs]
    return pd.concat(
        [table.assign(**head)[[*head, *table.columns]] for head, table in zip(heads, tables, strict=True)],
        ignore_index=True,
    )


def trainings_of(table: pd.DataFrame) -> list[Training]:
    """The runs of one generator on one data set in such a table."""
    return [
        Training(
            float(part["size"].iloc[0]),
            int(part["seed"].iloc[0]),
            part["step"].to_numpy(float),
            part["replicas"].to_numpy(float),
            part["samples"].to_numpy(float),
            float(part["background_percentage"].fillna(0.0).mean()) / 100,
        )
        for (size, seed), part in table.groupby(["size", "seed"])
    ]
