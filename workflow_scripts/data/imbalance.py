"""Long-tailed training sets: how many images each class keeps, which, and how many it lacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workflow_scripts.core.errors import InputError

GROUPS = ("head", "middle", "tail")


@dataclass(frozen=True)
class Exponential:
    """Counts that fall geometrically: class i of C, from the head, keeps largest * ratio^(-i / (C - 1)) images.

    ratio: of the largest to the smallest class, at least 1 (the profile of Cui et al., CVPR 2019). order: names from
    head to tail; drawn by the seed if empty.
    """

    largest: int
    ratio: float
    order: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """Counts of two heights: a share of the classes, at the tail, keeps largest / ratio images.

    small_share: of the classes, 0..1, rounded to whole ones. order: as for `Exponential`.
    """

    largest: int
    ratio: float
    small_share: float = 0.5
    order: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """A count for every class by name."""

    counts: Mapping[str, int]


Profile = Exponential | Step | Given


def class_counts(profile: Profile, classes: Sequence[str], seed: int) -> np.ndarray:
    """Images to keep of each class, int64 (C,), in the order of `classes`, rounded to the nearest whole number.

    Raises InputError if names do not match the classes, or a class would be left without an image.
    """
    if isinstance(profile, Given):
        _same_names(tuple(profile.counts), classes, "counts")
        counts = np.array([profile.counts[name] for name in classes], dtype=np.int64)
    else:
        from_head = np.argsort(_head_to_tail(profile.order, classes, seed))  # place of each class, 0 at the head
        if isinstance(profile, Exponential):
            fall = from_head / max(len(classes) - 1, 1)
        else:
            small = round(profile.small_share * len(classes))
            fall = (from_head >= len(classes) - small).astype(float)
        counts = np.rint(profile.largest * profile.ratio**-fall).astype(np.int64)
    if counts.min() < 1:
        name = classes[int(counts.argmin())]
        raise InputError(
            f"imbalance: class {name!r} would keep no image; raise the largest class's count or lower the ratio"
        )
    return counts


def imbalanced_subset(labels: np.ndarray, classes: Sequence[str], profile: Profile | None, seed: int) -> np.ndarray:
    """Indices, int64, ascending, of the images that a profile keeps; None, of a set that is long-tailed by nature: all.

    labels: (N,) indices into `classes`; what is -1 (unlabelled, or held out by the caller) is never kept. Each class
    has one seeded order of its own, of which a subset takes the first: a subset with smaller counts of the same seed
    is part of one with larger counts. Raises InputError, naming the class, where it has too few images.
    """
    there = np.bincount(labels[labels >= 0], minlength=len(classes))
    if profile is None:
        if not there.all():
            raise InputError(
                f"imbalance: no image of class {classes[int(there.argmin())]!r} is left to train on; hold out fewer "
                "images, or leave the class out of the data set"
            )
        return np.flatnonzero(labels >= 0)
    counts = class_counts(profile, classes, seed)
    lacking = np.flatnonzero(there < counts)
    if len(lacking):
        worst = lacking[np.argmax(counts[lacking] - there[lacking])]
        raise InputError(
            f"imbalance: class {classes[worst]!r} is to keep {counts[worst]} images, but only {there[worst]} are there "
            f"({len(lacking)} of {len(classes)} classes have too few); "
            + ("lower its count" if isinstance(profile, Given) else "lower the count of the largest class")
            + " or hold out fewer images"
        )
    kept = [
        np.random.default_rng([seed, index]).permutation(np.flatnonzero(labels == index))[:count]
        for index, count in enumerate(counts)
    ]
    return np.sort(np.concatenate(kept)).astype(np.int64)


def head_middle_tail(counts: np.ndarray) -> np.ndarray:
    """Group of each class, an array (C,) of the names in GROUPS, by its count of training images.

    The classes, ranked by count, are cut into three parts of equal size; classes of equal count share the group of
    their mean rank, so that a step profile has no middle, and a balanced set is all middle.
    """
    counts = np.asarray(counts)
    larger = (counts[None, :] > counts[:, None]).sum(axis=1)
    equal = (counts[None, :] == counts[:, None]).sum(axis=1)
    middle_of_rank = larger + equal / 2
    return np.array(GROUPS)[(3 * middle_of_rank / len(counts)).astype(int).clip(0, 2)]


def lacking_counts(counts: np.ndarray, target: int | None = None) -> np.ndarray:
    """Images that each class lacks, int64 (C,), to be as large as the largest (balanced), or as `target`."""
    goal = int(np.max(counts)) if target is None else target
    return np.maximum(goal - np.asarray(counts, dtype=np.int64), 0)


def _head_to_tail(order: tuple[str, ...], classes: Sequence[str], seed: int) -> np.ndarray:
    """Indices of the classes from head to tail."""
    if not order:
        return np.random.default_rng([seed, len(classes)]).permutation(len(classes))
    _same_names(order, classes, "order")
    return np.array([list(classes).index(name) for name in order])


def _same_names(names: tuple[str, ...], classes: Sequence[str], key: str) -> None:
    wrong = sorted(set(names) ^ set(classes))
    if wrong or len(names) != len(classes):
        what = f"; unknown or missing: {', '.join(map(repr, wrong))}" if wrong else ""
        raise InputError(f"imbalance: {key}: expected each of the {len(classes)} classes exactly once{what}")
