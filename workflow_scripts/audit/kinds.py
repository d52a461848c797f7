"""Whether held-out images are of the same kind as the training images: told apart without any sample.

Every measure of an audit takes held-out images for what training images would be had the generator not seen them. If
they come from another camera, or have other classes, they lie farther from the samples for that reason alone, and the
audit shows copying and membership of a generator that learned nothing by heart. Whoever sees no sample must not be able
to tell them.
"""

from typing import Any

import numpy as np

from workflow_scripts.data.subsets import first_half
from workflow_scripts.metrics.groups import Grouped
from workflow_scripts.metrics.membership import Membership, membership
from workflow_scripts.metrics.quality import vectors

RIDGE = 0.1  # of the mean variance of a feature


def told_apart(training: np.ndarray, held_out: np.ndarray, groups: tuple[np.ndarray, np.ndarray]) -> Membership:
    """Membership without samples: a linear classifier of one half of both sets, asked for the other half.

    training (n, ...), held_out (h, ...): images or features; groups: of each, none of which is in both halves. An area
    of 0.5 means that the sets are of one kind, as far as such a classifier sees.
    """
    rows = [np.asarray(vectors(part), dtype=np.float64) for part in (training, held_out)]
    halves = [
        first_half(len(part), group, np.random.default_rng(len(part)).permutation(len(part)))
        for part, group in zip(rows, groups, strict=True)
    ]
    learned = [part[half] for part, half in zip(rows, halves, strict=True)]
    direction = _between(*learned) if min(map(len, learned)) else np.zeros(rows[0].shape[1])
    ours, theirs = (
        Grouped(part[~half] @ direction, group[~half]) for part, half, group in zip(rows, halves, groups, strict=True)
    )
    return membership(ours, theirs, min(ours.values.min(initial=0.0), theirs.values.min(initial=0.0)))


def _between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The direction (d,) from the first of two sets, (n, d) and (m, d), to the second: ridge regression.

    Both have equal weight. Of more features than rows the system of the rows is solved, which is the same.
    """
    apart = second.mean(axis=0) - first.mean(axis=0)
    parts = [(part - part.mean(axis=0)) / np.sqrt(2 * len(part)) for part in (first, second)]
    rows = np.concatenate(parts)
    penalty = RIDGE * (rows**2).sum() / rows.shape[1] + 1e-12
    if rows.shape[1] <= len(rows):
        return np.linalg.solve(rows.T @ rows + penalty * np.eye(rows.shape[1]), apart)
    inner = np.linalg.solve(rows @ rows.T + penalty * np.eye(len(rows)), rows @ apart)
    return (apart - rows.T @ inner) / penalty


def note(control: dict[str, Any], space: str) -> str:
    """What a reader must know where the sets can be told apart; empty where they cannot."""
    if control["auc"] is None or control["auc_low"] <= 0.5:
        return ""
    return (
        f"Training and held-out images are not of one kind: without any sample they can be told apart (AUC "
        f"{control['auc']:.2f}, {control['auc_low']:.2f} to {control['auc_high']:.2f}; by chance 0.5, in {space}). "
        "Membership, and copies beyond chance, may be that difference in part."
    )
