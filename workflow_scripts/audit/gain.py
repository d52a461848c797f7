"""What samples add for rare classes: how well these are recognised with the samples and without them.

The classifier is a linear one of features, by ridge regression with equal weight for every class, which takes seconds
and has no seed. A network that is trained on the images may gain more or less (docs/similarity.md has that study).
"""

from typing import Any

import numpy as np
from scipy import special

from workflow_scripts.core.intervals import LEVEL
from workflow_scripts.data.imbalance import head_middle_tail
from workflow_scripts.metrics.quality import vectors

FEWEST = 20  # held-out images of rare classes
RIDGE = 0.01  # of the mean variance of a feature
MOST = 20_000  # training images, and samples, that it is trained on

Labelled = tuple[np.ndarray, np.ndarray]  # features (n, ...) and their classes (n,), -1: unknown


def rare_gain(
    training: Labelled, held_out: Labelled, samples: Labelled, kept: np.ndarray, names: list[str]
) -> dict[str, Any]:
    """Recall of the rarest third of the classes, on held-out images: without samples, with all, with those `kept`.

    kept: bool, of the samples. Recalls and gains in points; each gain with its 95 % interval for the same images twice
    (Bonett and Price 2012). It is that of the images that were held out, not of other trainings. Where something is
    missing, `reason` says what.
    """
    counts = np.bincount(training[1][training[1] >= 0], minlength=len(names))
    known = samples[1] >= 0
    if len(names) < 2 or counts.min() == 0 or counts.min() == counts.max():
        return {"reason": "no class of the training images is rarer than the others"}
    rare = np.flatnonzero(head_middle_tail(counts) == "tail")
    tested = np.isin(held_out[1], rare)
    if not known.any():
        return {"reason": "the samples have no classes that the training images have"}
    if (count := int(tested.sum())) < FEWEST:
        return {"reason": f"needs {FEWEST} held-out images of rare classes, there are {count}"}
    test, truth = vectors(held_out[0][tested]), held_out[1][tested]

    def right(chosen: np.ndarray) -> np.ndarray:
        features = np.concatenate([vectors(training[0]), vectors(samples[0][chosen])])
        return _recognised(features, np.concatenate([training[1], samples[1][chosen]]), test, len(names)) == truth

    before = right(np.zeros(len(known), dtype=bool))
    after = {"samples": right(known), "released": right(known & kept)}
    return {
        "classes": [names[i] for i in rare],
        "images": count,
        "percentage": 100 * float(before.mean()),
        "with": {name: _gain(before, hits) for name, hits in after.items()},
    }


def _recognised(features: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int) -> np.ndarray:
    """The class (m,) of each row of `test` (m, d), by ridge regression on features (n, d) of known classes (n,)."""
    rows = np.asarray(features[labels >= 0], dtype=np.float64)
    labels = labels[labels >= 0]
    weight = 1 / np.bincount(labels, minlength=classes)[labels] / len(np.unique(labels))
    mean = weight @ rows
    rows -= mean
    weighted = rows * weight[:, None]
    covariance = weighted.T @ rows
    covariance[np.diag_indices_from(covariance)] += RIDGE * np.trace(covariance) / len(covariance) + 1e-12
    targets = np.eye(classes)[labels]
    centre = weight @ targets
    coefficients = np.linalg.solve(covariance, weighted.T @ (targets - centre))
    return np.asarray((test - mean) @ coefficients + centre).argmax(axis=1)


def _gain(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    n = len(before) + 2
    won, lost = (float((part.sum() + 1) / n) for part in (after & ~before, before & ~after))
    half = special.ndtri((1 + LEVEL) / 2) * np.sqrt((won + lost - (won - lost) ** 2) / n)
    return {
        "percentage": 100 * float(after.mean()),
        "gain": 100 * float(after.mean() - before.mean()),
        "low": 100 * max(won - lost - half, -1.0),
        "high": 100 * min(won - lost + half, 1.0),
    }
