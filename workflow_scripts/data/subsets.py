"""Subsets of an image set: an order whose every prefix is a subset, so that subsets are nested by construction.

And shards: slices of a set that jobs of their own work on.
"""

from typing import Literal

import numpy as np

from workflow_scripts.core.errors import InputError

Kind = Literal["balanced", "random"]


def draw_order(labels: np.ndarray, held_out: int, seed: int, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Split the indices of an image set into an order for training and a held-out part, both int64.

    labels: (N,) integers. The subset of size n is the first n entries of the order; no held-out image is in it.
    `random`: both parts are drawn uniformly. `balanced`: in every subset, and in the held-out part, the counts of two
    classes differ by at most one, as long as neither class has run out. Raises InputError if nothing is left to train.
    """
    if held_out >= len(labels):
        raise InputError(
            f"held_out: {held_out} images are to be kept out of all subsets, but the set has {len(labels)}; lower it"
        )
    random = np.random.default_rng([seed, len(labels)])
    shuffled = random.permutation(len(labels))
    if kind == "balanced":
        shuffled = _interleave_classes(shuffled, labels, random)
    return shuffled[held_out:], np.sort(shuffled[:held_out])


def shard_of(count: int, shard: int, shards: int, unit: int = 1) -> slice:
    """Rows of shard number `shard`, 0..shards - 1, of `count` rows: whole multiples of `unit`, but for the last."""
    units = -(-count // unit)
    first, last = (min(count, units * i // shards * unit) for i in (shard, shard + 1))
    return slice(first, last)


def _interleave_classes(indices: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Reorder shuffled indices in rounds; every round holds one image of each class that has any left, shuffled."""
    by_class = indices[np.argsort(labels[indices], kind="stable")]
    _, counts = np.unique(labels, return_counts=True)
    rounds = np.concatenate([np.arange(count) for count in counts])
    return by_class[np.lexsort((random.random(len(indices)), rounds))]
