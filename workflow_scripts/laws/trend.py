"""Whether copying falls with the size of the training set: a permutation test, whatever the form of the law.

If size did not matter, each of a generator's measurements could as well have been made at any of its sizes. The
statistic is the sum over pairs of generator and data set of sqrt(m - 1) times Spearman's rank correlation of copies
beyond chance with size; measurements are exchanged among the m runs of each pair, so that pairs may differ at will.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from workflow_scripts.laws.decay import Points

PERMUTATIONS = 9999
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Trend:
    """correlation: mean rank correlation of copies with size, -1..1, NaN where there is none. p_value: one-sided, that
    copying falls by chance alone; NaN where no arrangement of the runs could give less than SIGNIFICANT."""

    correlation: float
    p_value: float
    runs: int
    sizes: int

    @property
    def falls(self) -> bool:
        return self.p_value <= SIGNIFICANT

    def sentence(self, process: str = "copying") -> str:
        """What the test says. process: what may fall."""
        measured = f"{self.runs} run{'s' * (self.runs != 1)} at {self.sizes} size{'s' * (self.sizes != 1)}"
        if np.isnan(self.p_value):
            needed = "measure 4 sizes, or 3 with 2 seeds" if self.runs < 4 else "add sizes, or a seed at each"
            return f"{measured}: too few to show whether {process} falls: {needed}"
        shown = f"permutation test, p = {self.p_value:.2g}" if self.p_value >= 0.001 else "permutation test, p < 0.001"
        if self.falls:
            return f"{process} falls as the training set grows ({measured}; {shown})"
        return f"{measured} do not show that {process} falls ({shown}); more seeds or larger sizes may"


def trend(pairs: Sequence[Points]) -> Trend:
    """Test one pair, or several together."""
    observed, drawn, smallest = 0.0, np.zeros(PERMUTATIONS), 1.0
    correlations = []
    for number, points in enumerate(pairs):
        excess = _standard_ranks(points.percentage - 100 * points.background)
        size = _standard_ranks(points.size)
        if excess is None or size is None:
            continue
        scale = np.sqrt(len(size) - 1)
        correlations.append(float(size @ excess))
        observed += scale * correlations[-1]
        random = np.random.default_rng([len(size), number])
        drawn += scale * (random.permuted(np.tile(excess, (PERMUTATIONS, 1)), axis=1) @ size)
        smallest *= _most_extreme(size, excess)
    runs = sum(len(points.size) for points in pairs)
    sizes = len(np.unique(np.concatenate([points.size for points in pairs]))) if pairs else 0
    if not correlations:
        return Trend(np.nan, np.nan, runs, sizes)
    p_value = (1 + int((drawn <= observed + 1e-9).sum())) / (PERMUTATIONS + 1)
    possible = smallest <= SIGNIFICANT
    return Trend(float(np.mean(correlations)), p_value if possible else np.nan, runs, sizes)


def _most_extreme(size: np.ndarray, excess: np.ndarray) -> float:
    """Probability of the arrangement in which excess (m,) falls most with size (m,): of all that are as extreme.

    They have the larger excess at the smaller size; what is tied may change places.
    """
    places = [np.unique(values, return_inverse=True)[1] for values in (np.sort(size), -np.sort(-excess))]
    table = np.zeros([place.max() + 1 for place in places])
    np.add.at(table, tuple(places), 1)
    ties = [gammaln(table.sum(axis=axis) + 1).sum() for axis in (0, 1)]
    return float(np.exp(sum(ties) - gammaln(table + 1).sum() - gammaln(len(size) + 1)))


def _standard_ranks(values: np.ndarray) -> np.ndarray | None:
    """Ranks (m,), ties at their mean, of mean 0 and length 1; None where all are equal."""
    unique, place, count = np.unique(values, return_inverse=True, return_counts=True)
    if len(unique) < 2:
        return None
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    ranks = ranks - ranks.mean()
    return ranks / np.sqrt(ranks @ ranks)
