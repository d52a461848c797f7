"""Subsets of an image set: an order whose every prefix is a subset, so that subsets are nested by construction.

And shards: slices of a set that jobs of their own work on.
"""

from typing import Literal

import numpy as np

from workflow_scripts.core.errors import InputError

Kind = Literal["balanced", "random"]


def draw_order(
    labels: np.ndarray,
    held_out: int,
    seed: int,
    kind: Kind,
    groups: np.ndarray | None = None,
    eligible: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Split the indices of an image set into an order for training and a held-out part, both int64.

    labels: (N,) integers. The subset of size n is the first n entries of the order; no held-out image is in it.
    `random`: both parts are drawn uniformly. `balanced`: in every subset, and in the held-out part, the counts of two
    classes differ by at most one, as long as neither class has run out. groups: (N,) integers; no group is in both
    parts: whole groups are held out, and what the last one has too many is in neither part. eligible: (N,) bool, the
    only images that are held out, and that are never trained on. Raises InputError if nothing is left to train.
    """
    if held_out >= len(labels):
        raise InputError(
            f"held_out: {held_out} images are to be kept out of all subsets, but the set has {len(labels)}; lower it"
        )
    random = np.random.default_rng([seed, len(labels)])
    shuffled = random.permutation(len(labels))

    def arranged(indices: np.ndarray) -> np.ndarray:
        return _interleave_classes(indices, labels[indices], random) if kind == "balanced" else indices

    own = eligible if eligible is not None and eligible.any() else None
    shared = groups if groups is not None and len(np.unique(groups)) < len(groups) else None
    if own is None and shared is None:
        order = arranged(shuffled)
        return order[held_out:], np.sort(order[:held_out])
    if own is not None:
        barred = shuffled[own[shuffled]]
        taken = arranged(barred)[:held_out]
    elif shared is not None:
        order = arranged(shuffled)
        taken = barred = order[_by_first_place(shared[order])][:held_out]
    left = np.ones(len(labels), dtype=bool)
    left[barred] = False
    if groups is not None:
        left &= ~np.isin(groups, groups[barred])
    if not left.any():
        raise InputError(
            f"held_out: no image is left to train on beside {held_out} held-out ones and those of their groups; lower "
            "it, or divide the set into more groups"
        )
    return arranged(shuffled[left[shuffled]]), np.sort(taken)


def first_half(count: int, groups: np.ndarray | None = None, order: np.ndarray | None = None) -> np.ndarray:
    """Whether each of N = `count` images is of the first of two halves, bool (N,), of which no group (N,) is in both.

    Every other group in the order of their first images in `order` (N,), a permutation: of images that are groups of
    their own, as they are without `groups`, every other image.
    """
    groups, order = (np.arange(count) if values is None else values for values in (groups, order))
    _, first, inverse = np.unique(groups[order], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    half = np.empty(count, dtype=bool)
    half[order] = rank[inverse] % 2 == 0
    return half


def shard_of(count: int, shard: int, shards: int, unit: int = 1) -> slice:
    """Rows of shard number `shard`, 0..shards - 1, of `count` rows: whole multiples of `unit`, but for the last."""
    units = -(-count // unit)
    first, last = (min(count, units * i // shards * unit) for i in (shard, shard + 1))
    return slice(first, last)


def _by_first_place(groups: np.ndarray) -> np.ndarray:
    """Places (N,) that bring the entries of each group together, in the order of their first ones."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(first[inverse], kind="stable")


def _interleave_classes(indices: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Reorder shuffled indices of images with these labels: each round has one of each class that has any left."""
    by_class = indices[np.argsort(labels, kind="stable")]
    _, counts = np.unique(labels, return_counts=True)
    rounds = np.concatenate([np.arange(count) for count in counts])
    return by_class[np.lexsort((random.random(len(indices)), rounds))]
