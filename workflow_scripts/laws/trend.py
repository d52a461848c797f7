"""Whether copying falls with the size of the training set: a permutation test, whatever the form of the law.

If size did not matter, each of a generator's measurements could as well have been made at any of its sizes. The
statistic is the sum over pairs of generator and data set of sqrt(m - 1) times Spearman's rank correlation of copies
beyond chance with size; measurements are exchanged among the m runs of each pair, so that pairs may differ at will.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
            return f"{measured}: too few to show whether {process} falls: measure 4 sizes, or 3 with 2 seeds"
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
        # The most extreme arrangement has the measurements in the order of the sizes.
        best = float(np.sort(size) @ -np.sort(-excess))
        smallest *= float(np.mean(random.permuted(np.tile(excess, (999, 1)), axis=1) @ size <= best + 1e-9)) or 1e-3
    runs = sum(len(points.size) for points in pairs)
    sizes = len(np.unique(np.concatenate([points.size for points in pairs]))) if pairs else 0
    if not correlations:
        return Trend(np.nan, np.nan, runs, sizes)
    p_value = (1 + int((drawn <= observed + 1e-9).sum())) / (PERMUTATIONS + 1)
    possible = smallest <= SIGNIFICANT
    return Trend(float(np.mean(correlations)), p_value if possible else np.nan, runs, sizes)


def _standard_ranks(values: np.ndarray) -> np.ndarray | None:
    """Ranks (m,), ties at their mean, of mean 0 and length 1; None where all are equal."""
    unique, place, count = np.unique(values, return_inverse=True, return_counts=True)
    if len(unique) < 2:
        return None
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    ranks = ranks - ranks.mean()
    return ranks / np.sqrt(ranks @ ranks)
