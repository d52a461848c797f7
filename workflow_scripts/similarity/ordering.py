"""Orders of classes, and groups of classes of controlled similarity, from the matrix of their mean SSIM."""

from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

MOST_GROUPS = 200_000  # that are all looked at; of more, so many random ones

Kind = Literal["alike", "unlike", "random"]


def cluster_order(matrix: np.ndarray) -> np.ndarray:
    """Indices (C,) that put similar classes side by side: average linkage, leaves in the best order.

    matrix: (C, C), symmetric; NaN counts as the mean.
    """
    count = len(matrix)
    if count < 3:
        return np.arange(count)
    filled = np.where(np.isfinite(matrix), matrix, np.nanmean(matrix))
    distance = filled.max() - filled
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform((distance + distance.T) / 2), "average", optimal_ordering=True))


def class_groups(matrix: np.ndarray, size: int, count: int, kind: Kind, seed: int = 0) -> list[tuple[int, ...]]:
    """Up to `count` different groups of `size` classes: the most alike, the least alike, or random ones.

    A group's similarity is the mean of the matrix over its pairs of classes. Of alike and unlike groups the second and
    later ones share at most half of their classes with each one before, as far as there are such groups.
    """
    classes, random = len(matrix), np.random.default_rng([seed, size])
    if comb(classes, size) <= MOST_GROUPS:
        groups = np.array(list(combinations(range(classes), size)))
    else:
        drawn = random.permuted(np.tile(np.arange(classes), (MOST_GROUPS, 1)), axis=1)[:, :size]
        groups = np.unique(np.sort(drawn, axis=1), axis=0)
    if kind == "random":
        order = random.permutation(len(groups))
        return [tuple(map(int, groups[one])) for one in order[:count]]
    i, j = np.triu_indices(size, 1)
    similarity = matrix[groups[:, i], groups[:, j]].mean(axis=1)
    order = np.argsort(-similarity if kind == "alike" else similarity, kind="stable")
    chosen: list[tuple[int, ...]] = []
    for shared in (size // 2, size - 1):
        for one in groups[order]:
            if len(chosen) == count:
                return chosen
            group = tuple(map(int, one))
            if group not in chosen and all(len({*group} & {*other}) <= shared for other in chosen):
                chosen.append(group)
    return chosen
