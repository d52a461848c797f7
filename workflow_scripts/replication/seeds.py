"""A rate over seeds: what another run of the same generator would give on average, with an interval that covers.

Runs differ far beyond counting. A cell is one generator on one size, with a run for each seed; the logit of its rate is
normal about the cell's own centre, and the scatter is pooled over the cells of a study, since two or three seeds say
little of it. What each run counted (and, at a calibrated threshold, what its threshold may be off by) is its
likelihood. Everything is summed on grids: no fit can fail, and zeros need no special treatment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import special

GRID = np.linspace(-14.0, 14.0, 561)  # logits
SCATTERS = np.geomspace(0.2, 3.0, 11)  # standard deviations of a run's logit: no generator's runs differ by less
PULL = 0.25  # power of p (1 - p) in the prior of a centre: Jeffreys' 0.5 draws two runs' interval too far up
# Standard deviation of ln scatter of a cell about that of the study: runs that copy no more than chance hardly scatter
# on the logit scale, others do (with 0.35, five seeds cover 87 % where two of four sizes lie at chance).
CELLS_DIFFER = 1.0
LEAST_DEGREES = 2  # runs beyond the first of their cells, over the study: fewer say nothing of scatter


@dataclass(frozen=True)
class Counted:
    """What one run counted: counts at equally probable thresholds (k,), rising, or one (1,) where it is known; among
    `of`.

    Neither needs to be whole: an area under a curve counts like so many tosses of a coin.
    """

    counts: np.ndarray
    of: float


@dataclass(frozen=True)
class OverSeeds:
    """Mean percentage over seeds with its 95 % interval; without one, `reason` says what is missing.

    lowest and highest: of the runs. scatter: posterior median of the runs' standard deviation, on the logit scale.
    """

    seeds: int
    percentage: float
    lowest: float
    highest: float
    low: float | None
    high: float | None
    scatter: float | None
    reason: str = ""


def over_seeds(cells: Sequence[Sequence[Counted]], percentages: Sequence[Sequence[float]]) -> list[OverSeeds]:
    """Summarise each cell over its runs; scatter is pooled over all cells.

    cells: of each cell its runs; percentages: of each run, to be averaged. All runs have one k, or one count. The
    interval is of the expected percentage of a run, central 95 % of its posterior, or up to 97.5 % of it, the more of
    its width the threshold makes: copies that lie just below the true threshold are missed by every lower one, and
    found once by all higher ones. The prior of the centre lies between a flat one on the logit scale and Jeffreys',
    that of the scatter is flat in its logarithm from 0.2 to 3; docs/coverage.md shows what they cover. One run per cell
    says nothing of scatter: no interval then.
    """
    heads: list[dict[str, Any]] = [
        {"seeds": len(runs), "percentage": float(np.mean(runs)), "lowest": min(runs), "highest": max(runs)}
        for runs in percentages
    ]
    degrees = sum(len(runs) - 1 for runs in cells)
    nothing: dict[str, Any] = {"low": None, "high": None, "scatter": None}
    if degrees < LEAST_DEGREES:
        return [OverSeeds(**head, **nothing, reason=_missing(head["seeds"], degrees)) for head in heads]
    posterior, scatters, doubts = _posteriors(cells)
    kernel_means = _expected().ravel()
    order = np.argsort(kernel_means)
    summaries = []
    for head, weights, scatter, doubt, runs in zip(heads, posterior, scatters, doubts, cells, strict=True):
        cumulative = np.cumsum(weights.ravel()[order])
        tail = 0.025 * max(1 - doubt, 0.5)
        low, high = 100 * kernel_means[order[np.searchsorted(cumulative / cumulative[-1], [tail, 1 - tail])]]
        low = 0.0 if all(not run.counts.any() for run in runs) else low
        high = 100.0 if all((run.counts == run.of).all() for run in runs) else high
        median = float(SCATTERS[np.searchsorted(np.cumsum(scatter), 0.5)])
        summaries.append(OverSeeds(**head, low=float(low), high=float(high), scatter=median))
    return summaries


def _missing(seeds: int, degrees: int) -> str:
    if seeds == 1:
        return "one seed does not show how far runs differ; a second seed would give an interval"
    return f"{degrees + 1} runs of one size do not show how far runs differ; a third seed or a second size would"


@cache
def _kernels() -> np.ndarray:
    """Weights (scatters, logits, centres) of a run's logit about its cell's centre."""
    distance = GRID[:, None] - GRID[None, :]
    weights = np.exp(-0.5 * (distance / SCATTERS[:, None, None]) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


@cache
def _expected() -> np.ndarray:
    """Expected rate (scatters, centres) of a run."""
    return np.einsum("e,sem->sm", special.expit(GRID), _kernels())


def _posteriors(cells: Sequence[Sequence[Counted]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posterior of scatter and centre (cells, scatters, centres), of the scatter alone (cells, scatters), and the share
    of the variance of the expected rate that the thresholds make (cells,)."""
    runs = [run for cell in cells for run in cell]
    levels = max(len(run.counts) for run in runs)
    counted = np.stack([[np.broadcast_to(run.counts, levels), np.full(levels, run.of)] for run in runs], axis=-1)
    distinct, place = np.unique(counted.reshape(2, -1), axis=1, return_inverse=True)
    by_count = np.log(np.maximum(_likelihood(*distinct) @ _kernels(), 1e-300))  # (scatters, distinct, centres)
    thresholds, times = np.unique(place.reshape(levels, len(runs)), axis=0, return_counts=True)
    starts = np.cumsum([0, *(len(cell) for cell in cells[:-1])])
    posterior, moments = np.zeros((len(cells), len(SCATTERS), len(GRID))), np.zeros((3, len(cells)))
    for chosen, weight in zip(thresholds, times / levels, strict=True):
        at_threshold = _posterior(by_count[:, chosen], starts)
        means, squares = (np.tensordot(at_threshold, _expected() ** power, axes=2) for power in (1, 2))
        posterior += weight * at_threshold
        moments += weight * np.stack([means, means**2, squares])
    mean, between, squares = moments
    return posterior, posterior.sum(axis=2), (between - mean**2) / (squares - mean**2)


def _posterior(by_run: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Posterior of scatter and centre (cells, scatters, centres) at one threshold.

    by_run: log likelihood (scatters, runs, centres); starts: the first run of each cell.
    """
    by_cell = np.add.reduceat(by_run, starts, axis=1)
    by_cell += PULL * (special.log_expit(GRID) + special.log_expit(-GRID))
    joint = np.exp(by_cell - by_cell.max(axis=(0, 2), keepdims=True)).swapaxes(0, 1)  # (cells, scatters, centres)
    spread = np.log(SCATTERS)[:, None] - np.log(SCATTERS)[None, :]
    prior = np.exp(-0.5 * (spread / CELLS_DIFFER) ** 2)
    prior /= prior.sum(axis=1, keepdims=True)  # of a cell's scatter (columns) given the study's (rows)
    evidence = joint.sum(axis=2) @ prior.T  # (cells, the study's scatter)
    studied = np.log(evidence).sum(axis=0)
    studied = np.exp(studied - studied.max())
    of_cell = (studied / evidence) @ prior  # prior of each cell's scatter, from all others
    posterior = joint * of_cell[:, :, None]
    return posterior / posterior.sum(axis=(1, 2), keepdims=True)


def _likelihood(count: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Of a run's logit on the grid, (n, logits), for counts (n,) among so many (n,); largest 1."""
    logs = count[:, None] * special.log_expit(GRID) + (of - count)[:, None] * special.log_expit(-GRID)
    return np.exp(logs - logs.max(axis=1, keepdims=True))
