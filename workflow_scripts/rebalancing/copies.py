"""Copies of training images among synthetic ones, class by class and in all."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from workflow_scripts.metrics.groups import Grouped
from workflow_scripts.replication.measures import Rate, rate, replication

SHARE = 0.01  # of the test images would count as copies at the threshold
FEWEST_GROUPS = 20  # of test images: of 8 the interval of all synthetic images covers 86 %


def threshold_is_known(chance: Grouped) -> bool:
    """Whether the test images are enough to set the distance of copies: 1 / SHARE of them, of FEWEST_GROUPS groups."""
    return len(chance) >= 1 / SHARE and chance.count >= FEWEST_GROUPS


def copies_by_class(
    distances: np.ndarray, intended: np.ndarray, classes: int, chance: Grouped
) -> tuple[Sequence[Rate], Rate]:
    """Copies among the synthetic images of each class, and among all, at the distance that 1 % of test images reach.

    distances (m,): to the nearest training image; intended (m,): class of each, 0..classes-1; chance: the distances of
    the test images, with their groups. The intervals carry the threshold's own error, as those of `replication` do.
    Where `threshold_is_known` is false, all are of nothing.
    """

    def copied(chosen: np.ndarray) -> Rate:
        if not threshold_is_known(chance):
            return rate(np.empty(0))
        nowhere = np.zeros(np.count_nonzero(chosen), dtype=int)
        counted = replication(distances[chosen], nowhere, chance, np.empty(0), {"calibrated": SHARE})
        return replace(counted.replicas, low=counted.low, high=counted.high)

    return [copied(intended == label) for label in range(classes)], copied(np.full(len(distances), True))
