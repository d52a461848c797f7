"""What one training run says of the law: the likelihood of its count of replicas, scatter between runs included.

The law gives the mean share that training runs copy. They scatter about it: a run's own log-odds are u = m + scatter *
z with standard normal z, m such that the mean is the law's (a logistic-normal binomial model; Williams 1982, Appl.
Stat. 31:144). Rare copies then differ between runs by a coefficient of variation of sqrt(exp(scatter^2) - 1), and runs
that copy nearly everything hardly differ. Of the samples that are no copies, a share `chance * background` counts as
replicas all the same, so that the share of replicas is (Abbott 1925, J. Econ. Entomol. 18:265)

    p = chance background + (1 - chance background) s,    s = 1 / (1 + exp(-u)).

A share of replicas above TOP says only that: no generator makes copies only, and where its ceiling is says nothing of
the decay. `background` is what held-out images do. Samples of a poor generator may stay farther from the training set
than they do, so `chance`, from 0 to 1, is unknown. The likelihood of a count integrates over z on a grid of log-odds,
which makes it a smooth function of m that is tabulated once for each run; every fit only looks it up.
"""

from functools import cache

import numpy as np
from scipy.special import expit, ndtr

STEP = 1 / 12
LOG_ODDS = np.arange(-15.0, 8.0 + STEP / 2, STEP)  # (u,): from shares of 3e-7 to 99.97 %
SCATTER = np.geomspace(0.1, 2.2, 11)  # (k,): coefficients of variation from 0.1 to 11
CHANCE = np.array([0.0, 0.5, 1.0])  # (b,)
TOP = 0.8  # share of replicas beyond which a generator copies nearly all that it can
MOST_INFORMATION = 600.0  # of a count about its log-odds: what is known better than 0.04 is known well enough
_NOTHING = 1e-40  # arithmetic is slow with numbers that are nearly too small for it


@cache
def _smoothing() -> np.ndarray:
    """Probability (k, m, u) that a run's log-odds fall into the cell of u when the law's are m."""
    edges = np.arange(-len(LOG_ODDS), len(LOG_ODDS) + 1) * STEP + STEP / 2
    below = ndtr(edges / SCATTER[:, None])
    at = np.arange(len(LOG_ODDS)) - np.arange(len(LOG_ODDS))[:, None] + len(LOG_ODDS)
    upper, lower = below[:, at], below[:, at - 1]
    lower[:, :, 0], upper[:, :, -1] = 0.0, 1.0  # the ends stand for all that lies beyond
    cells = np.ascontiguousarray(upper - lower)
    cells[cells < _NOTHING] = 0.0
    return cells


@cache
def mean_shares() -> np.ndarray:
    """Mean share over training runs (k, m) at each scatter where the law's log-odds are LOG_ODDS."""
    return _smoothing() @ expit(LOG_ODDS)


def run_tables(replicas: np.ndarray, samples: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Log-likelihoods (m, k, u, b) of the counts of m runs, where the law's log-odds are LOG_ODDS; each up to a
    constant.

    replicas, samples: (m,) counts. background: (m,) shares in [0, 1).
    """
    chance = CHANCE * background[:, None]
    share = chance[:, None, :] + (1 - chance[:, None, :]) * expit(LOG_ODDS)[:, None]
    count, of = np.minimum(replicas, TOP * samples)[:, None, None], samples[:, None, None]
    likelihood = count * np.log(share) + (of - count) * np.log1p(-share)
    likelihood -= likelihood.max(axis=(1, 2), keepdims=True)
    likelihood[(replicas > TOP * samples)[:, None, None] & (share > TOP)] = 0.0
    information = replicas * (1 - replicas / samples)
    likelihood *= np.minimum(1.0, MOST_INFORMATION / np.maximum(information, 1e-9))[:, None, None]
    weight = np.exp(likelihood)
    weight[weight < _NOTHING] = 0.0
    runs, odds, chances = weight.shape
    smooth = _smoothing().reshape(-1, odds) @ np.moveaxis(weight, 0, 1).reshape(odds, -1)
    table = np.log(np.maximum(smooth, 1e-300)).reshape(len(SCATTER), odds, runs, chances)
    return np.ascontiguousarray(table.transpose(2, 0, 1, 3))


def interpolate(tables: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Tables (m, k, u, v) over LOG_ODDS at (m, k, ...), linearly and beyond the ends constant: (m, k, ..., v)."""
    place = np.clip((at - LOG_ODDS[0]) / STEP, 0.0, len(LOG_ODDS) - 1.000001)
    index = place.astype(np.intp)
    part = (place - index)[..., None]
    rows = tables.reshape(-1, tables.shape[-1])
    index += (np.arange(np.prod(tables.shape[:2])) * len(LOG_ODDS)).reshape(*tables.shape[:2], *(1,) * (at.ndim - 2))
    below = rows.take(index, axis=0)
    above = rows.take(index + 1, axis=0)
    above -= below
    above *= part
    above += below
    return above


def log_odds_of(share: np.ndarray) -> np.ndarray:
    """The log-odds m (k, ...) about which runs scatter so that their mean is `share` (...), for each scatter."""
    return np.stack([np.interp(np.log(share), np.log(means), LOG_ODDS) for means in mean_shares()])
