"""Values of images that come in groups, such as all images of one person: alike, they tell less than as many strangers.

Every test and interval here takes groups as wholes; of images that are groups of their own it is the usual one.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

FEWEST_GROUPS = 8  # that show how alike the images of a group are
_WORST = 2  # groups, by the weight of which a design effect is drawn to the worst case


@dataclass(frozen=True)
class Grouped:
    """Values (n,), numbers or bool, and the group (n,) of each image; without, each is its own."""

    values: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def group(self) -> np.ndarray:
        """Number of each image's group, from 0 on."""
        return np.arange(len(self)) if self.groups is None else np.unique(self.groups, return_inverse=True)[1]

    @property
    def count(self) -> int:
        """Number of groups."""
        return int(self.group.max(initial=-1)) + 1

    @property
    def together(self) -> float:
        """Mean number of images in a group."""
        return len(self) / max(self.count, 1)

    def select(self, chosen: np.ndarray) -> "Grouped":
        """The images where `chosen` (n,) is true."""
        return Grouped(self.values[chosen], None if self.groups is None else self.groups[chosen])

    def within(self, limit: float) -> "Grouped":
        """Whether each value is at most `limit`."""
        return Grouped(self.values <= limit, self.groups)

    def first(self) -> np.ndarray:
        """Values of one image of each group, which are independent."""
        return self.values[np.unique(self.group, return_index=True)[1]]

    def variance(self, placements: np.ndarray) -> float:
        """Of the mean of placements (n,), whose groups scatter as wholes (Obuchowski 1997)."""
        of_groups = np.bincount(self.group, placements - placements.mean())
        return float((of_groups**2).sum() / len(placements) ** 2 * self.count / (self.count - 1))

    @cached_property
    def design_effect(self) -> float:
        """How many times the variance of the share of true values is that of as many independent ones (Kish 1965).

        At least 1; at most where groups are true or false as wholes, which is taken of fewer than FEWEST_GROUPS groups,
        and to which few groups with any true value, or any false one, are drawn.
        """
        sizes = np.bincount(self.group)
        if self.count == len(self):
            return 1.0
        largest = float((sizes**2).sum() / len(self))
        hits = np.bincount(self.group, self.values)
        mixed = min(np.count_nonzero(hits), np.count_nonzero(hits < sizes))
        if self.count < FEWEST_GROUPS or not mixed:
            return largest
        share = hits.sum() / len(self)
        seen = self.variance(self.values.astype(float)) * len(self) / (share * (1 - share))
        return float(np.clip((mixed * seen + _WORST * largest) / (mixed + _WORST), 1.0, largest))


def as_grouped(values: np.ndarray | Grouped) -> Grouped:
    """Values as they are, or, without groups, each a group of its own."""
    return values if isinstance(values, Grouped) else Grouped(values)


@dataclass(frozen=True)
class Ranks:
    """Two samples by their ranks. area: probability that a value of the first is smaller, equal ones counting half.

    variance: of the area, of what was seen (DeLong et al. 1988; of groups Obuchowski 1997). z: Mann and Whitney's
    statistic, standardised with the correction for ties, below 0 where the first tends to be smaller; of groups as
    likely as Student's t of that variance.
    """

    area: float
    variance: float
    z: float


def compare_ranks(first: Grouped, second: Grouped) -> Ranks:
    """Compare samples (m,) and (n,) of at least two groups each."""
    m, n = len(first), len(second)
    beaten = share_above(np.sort(second.values), first.values)  # of each of the first: the second's that are larger
    beating = 1 - share_above(np.sort(first.values), second.values)
    area = float(beaten.mean())
    variances = first.variance(beaten), second.variance(beating)
    ties = np.unique(np.concatenate([first.values, second.values]), return_counts=True)[1].astype(float)
    null = ((m + n + 1) - (ties**3 - ties).sum() / ((m + n) * (m + n - 1))) / (12 * m * n)
    if first.count == m and second.count == n:
        return Ranks(area, sum(variances), (0.5 - area) / float(np.sqrt(null)) if null > 0 else 0.0)
    if not (spread := max(null, sum(variances))):
        return Ranks(area, 0.0, 0.0)
    tail = special.stdtr(_freedom(variances, (first.count - 1, second.count - 1)), -abs(area - 0.5) / np.sqrt(spread))
    return Ranks(area, sum(variances), float(np.sign(area - 0.5) * special.ndtri(max(tail, 1e-300))))


def share_above(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of `ordered` (m,), rising, above each value; equal ones count half."""
    below, upto = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return 1 - (below + upto) / (2 * len(ordered))


def _freedom(variances: tuple[float, float], freedoms: tuple[int, int]) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances."""
    parts = sum(variance**2 / freedom for variance, freedom in zip(variances, freedoms, strict=True))
    return sum(variances) ** 2 / parts if parts else float(sum(freedoms))
