"""Values with their 95 % intervals over images: what other images would have given, not what another training would."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from workflow_scripts.core.files import plain
from workflow_scripts.core.intervals import LEVEL, wilson

RESAMPLES = 1000
VALUES_AT_A_TIME = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; all NaN where there is nothing to measure."""

    value: float
    low: float
    high: float


NOTHING = Estimate(np.nan, np.nan, np.nan)


def mean_estimate(values: np.ndarray, seed: int = 0) -> Estimate:
    """Mean of values (N,) with its bootstrap interval; undefined values, NaN, are left out."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if len(known) == 0:
        return NOTHING
    return percentile_estimate(float(known.mean()), bootstrap_means(known[:, None], seed)[:, 0])


def percentile_estimate(value: float, resampled: np.ndarray) -> Estimate:
    """A value with the percentile interval of what the resamples give, (resamples,)."""
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def proportion(hits: np.ndarray) -> Estimate:
    """Share of the true among hits, bool (N,), with Wilson's interval."""
    if len(hits) == 0:
        return NOTHING
    count = np.count_nonzero(hits)
    low, high = wilson(count, len(hits))
    return Estimate(count / len(hits), float(low), float(high))


def bootstrap_means(values: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Means over images of values (N, k) in each of the resamples drawn with replacement, (resamples, k)."""
    # Whole counts, divided last: rounding must not move the mean of equal values.
    return np.concatenate([times @ values for times in _times_drawn(len(values), seed, resamples)]) / len(values)


def _times_drawn(count: int, seed: int, resamples: int) -> Iterable[np.ndarray]:
    """How often each image is in each resample, (rows, count): all resamples, a bounded number at a time."""
    return (_kept if count * resamples <= VALUES_AT_A_TIME else _drawn)(count, seed, resamples)


@lru_cache(maxsize=4)
def _kept(count: int, seed: int, resamples: int) -> tuple[np.ndarray, ...]:
    """Draws that every measure of the same images has in common."""
    return tuple(_drawn(count, seed, resamples))


def _drawn(count: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    random, step = np.random.default_rng([5, seed, count]), max(1, VALUES_AT_A_TIME // count)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = random.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(float)


def mean_of(estimates: list[Estimate]) -> Estimate:
    """Mean of values, and of the ends of their intervals."""
    return Estimate(*np.mean([(part.value, part.low, part.high) for part in estimates], axis=0).tolist())


def flatten(estimates: dict[str, Estimate]) -> dict[str, float | None]:
    """Estimates as keys `x`, `x_low`, `x_high` of plain numbers, None for NaN: fit for JSON and for tables."""
    flat: dict[str, float | None] = {}
    for name, part in estimates.items():
        flat |= {name: plain(part.value), f"{name}_low": plain(part.low), f"{name}_high": plain(part.high)}
    return flat
