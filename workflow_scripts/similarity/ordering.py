"""Orders of classes, and groups of classes of controlled similarity, from the matrix of their mean SSIM."""

from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

MOST_GROUPS = 200_000  # that are all looked at; of more, those found greedily, and some random ones
RANDOM_GROUPS = 10_000
PARTNERS = 10  # of each class, the best ones, with which greedy groups begin

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
    later ones share at most half of their classes with each one before, as far as there are such groups. Of more than
    MOST_GROUPS possible groups, the best of those grown class by class from similar pairs are given.
    """
    classes, random = len(matrix), np.random.default_rng([seed, size])
    if comb(classes, size) <= MOST_GROUPS:
        groups = np.array(list(combinations(range(classes), size)), dtype=np.int64).reshape(-1, size)
    else:
        groups = np.argsort(random.random((RANDOM_GROUPS, classes)), axis=1)[:, :size]
        if kind != "random":
            groups = np.concatenate([groups, _grown_groups(matrix if kind == "alike" else -matrix, size)])
        groups = np.unique(np.sort(groups, axis=1), axis=0)
    if kind == "random":
        order = random.permutation(len(groups))
        return [tuple(map(int, group)) for group in groups[order[:count]]]
    i, j = np.triu_indices(size, 1)
    similarity = matrix[groups[:, i], groups[:, j]].mean(axis=1)
    order = np.argsort(-similarity if kind == "alike" else similarity, kind="stable")
    chosen: list[tuple[int, ...]] = []
    for shared in (size // 2, size - 1):
        for indices in groups[order]:
            if len(chosen) == count:
                return chosen
            group = tuple(map(int, indices))
            if group not in chosen and all(len({*group} & {*other}) <= shared for other in chosen):
                chosen.append(group)
    return chosen


def _grown_groups(score: np.ndarray, size: int) -> np.ndarray:
    """Groups (G, size) of high mean score over pairs: pairs, to which the best class is added again and again."""
    score = np.where(np.eye(len(score), dtype=bool), -np.inf, score)
    partners = np.argsort(-score, axis=1, kind="stable")[:, :PARTNERS]
    groups = np.stack([np.repeat(np.arange(len(score)), partners.shape[1]), partners.reshape(-1)], axis=1)[:, :size]
    # A class of the group has an infinitely low score with itself.
    sums = score[groups].sum(axis=1)
    while groups.shape[1] < size:
        best = sums.argmax(axis=1)
        groups = np.concatenate([groups, best[:, None]], axis=1)
        sums += score[best]
    return groups
