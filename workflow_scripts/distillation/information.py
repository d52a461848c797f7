"""How much the labels of one classifier say about those of another, corrected for what chance adds."""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, gammaln, ndtri

from workflow_scripts.core.intervals import LEVEL
from workflow_scripts.distillation.estimates import NOTHING, Estimate

IMAGES_PER_CELL = 5  # of the contingency table; of fewer, the correction for chance is a rough one


@dataclass(frozen=True)
class Information:
    """Mutual information: `plug_in` in nats, from the table as it is; `adjusted`, 0 by chance, 1 for the same labels.

    sparse: fewer than five images for each cell of the table; then compare only values of as many images.
    """

    plug_in: float
    adjusted: Estimate
    sparse: bool


def mutual_information(first: np.ndarray, second: np.ndarray) -> Information:
    """Mutual information of two labellings of the same images, integers (N,) each, once over the whole set.

    Adjusted (Vinh, Epps and Bailey 2010): (MI - E) / (mean entropy - E), where E is the mean MI of labels in random
    order; NaN where both have one label. The interval is a jackknife over images: what as many other images would
    have given. It holds 0 unless a test rejects independence (the G test, at 2.5 %).
    """
    count = len(first)
    if count == 0:
        return Information(np.nan, NOTHING, True)
    (rows, row), (columns, column) = (np.unique(labels, return_inverse=True) for labels in (first, second))
    table = np.bincount(row * len(columns) + column, minlength=len(rows) * len(columns))
    table = table.reshape(len(rows), len(columns)).astype(float)
    sums = table.sum(axis=1), table.sum(axis=0)
    expected = expected_information(*sums)
    sparse = table.size * IMAGES_PER_CELL > count
    by_row, by_column, by_cell = (_x_log_x(part).sum() for part in (*sums, table))
    plug_in, value = map(float, _adjusted(by_row, by_column, by_cell, count, expected))
    if np.isnan(value):
        return Information(plug_in, NOTHING, sparse)
    # Without one image of a cell, for each cell that has any.
    i, j = np.nonzero(table)
    others = _adjusted(
        by_row + _without_one(sums[0][i]),
        by_column + _without_one(sums[1][j]),
        by_cell + _without_one(table[i, j]),
        count - 1,
        expected,
    )[1]
    weights = table[i, j] / count
    spread = np.sqrt((count - 1) * float(weights @ (others - weights @ others) ** 2))
    half = float(ndtri((1 + LEVEL) / 2)) * spread
    half = half if np.isfinite(half) else 2.0  # of very few images, one may be all that is known
    low, high = max(-1.0, value - half), min(1.0, max(0.0, value + half))
    degrees = (len(rows) - 1) * (len(columns) - 1)
    if chdtrc(degrees, 2 * count * plug_in) > (1 - LEVEL) / 2:
        low = min(low, 0.0)
    return Information(plug_in, Estimate(value, low, max(high, value)), sparse)


def expected_information(rows: np.ndarray, columns: np.ndarray) -> float:
    """Mean mutual information, nats, of labels with these counts, (R,) and (C,), in random order (Vinh et al. 2010)."""
    count = rows.sum()
    (a, times_a), (b, times_b) = (np.unique(counts, return_counts=True) for counts in (rows, columns))
    a, b = a[:, None, None], b[:, None]
    both = np.arange(1, min(rows.max(), columns.max()) + 1)
    possible = (both <= np.minimum(a, b)) & (both >= a + b - count)
    both = np.where(possible, both, np.maximum(1, a + b - count))
    chance = gammaln(a + 1) + gammaln(b + 1) + gammaln(count - a + 1) + gammaln(count - b + 1) - gammaln(count + 1)
    for cell in (both, a - both, b - both, count - a - b + both):
        chance = chance - gammaln(np.maximum(cell, 0) + 1)
    terms = both / count * np.log(count * both / (a * b)) * np.exp(chance)
    return float(times_a @ np.where(possible, terms, 0.0).sum(axis=2) @ times_b)


def _adjusted(
    rows: np.ndarray, columns: np.ndarray, cells: np.ndarray, count: int, expected: float
) -> tuple[np.ndarray, np.ndarray]:
    """Plug-in and adjusted information from sums of c ln c over rows, columns and cells."""
    plug_in = np.maximum(0.0, (cells - rows - columns) / count + np.log(count))
    most = np.log(count) - (rows + columns) / (2 * count)
    adjustable = most > expected
    return plug_in, np.where(adjustable, (plug_in - expected) / np.where(adjustable, most - expected, 1.0), np.nan)


def _without_one(counts: np.ndarray) -> np.ndarray:
    """How c ln c changes if one of c goes."""
    return _x_log_x(counts - 1) - _x_log_x(counts)


def _x_log_x(counts: np.ndarray) -> np.ndarray:
    """c ln c, 0 for c = 0."""
    return counts * np.log(np.maximum(counts, 1))
