"""Choice of synthetic images: as they come, or only those that a classifier recognises as their class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Selection:
    """Chosen candidates.

    indices: int64, ascending, into the candidates. report: a row for each class: class, wanted, found, looked_at
    (candidates gone through until the class was full, or all that were allowed), filled.
    """

    indices: np.ndarray
    report: pd.DataFrame


def select_random(
    labels: np.ndarray, wanted: np.ndarray, classes: Sequence[str], budget: int | None = None
) -> Selection:
    """The first candidates of each class; generated images come in random order.

    labels: (N,) intended classes, indices into `classes`. wanted: (C,) images. budget: candidates that a class may use
    up; all if None. A class that lacks candidates is reported, never padded.
    """
    return _fill(labels, np.ones(len(labels), dtype=bool), wanted, classes, budget)


def select_by_classifier(
    labels: np.ndarray,
    probabilities: np.ndarray,
    threshold: float,
    wanted: np.ndarray,
    classes: Sequence[str],
    budget: int | None = None,
) -> Selection:
    """Of each class, in order, the first candidates whose intended class is more probable than the threshold.

    probabilities: (N,) of the intended class, 0..1. Others as for `select_random`. Each step of the published
    procedure calls this with the same candidates and the probabilities of the classifier that was trained on the
    previous step's choice.
    """
    return _fill(labels, np.asarray(probabilities) > threshold, wanted, classes, budget)


def _fill(
    labels: np.ndarray, accepted: np.ndarray, wanted: np.ndarray, classes: Sequence[str], budget: int | None
) -> Selection:
    wanted = np.asarray(wanted, dtype=np.int64)
    order = np.argsort(labels, kind="stable")
    available = np.bincount(labels, minlength=len(classes))
    first = np.cumsum(available) - available  # where each class begins in the sorted order
    sorted_labels, sorted_accepted = np.asarray(labels)[order], accepted[order]
    place = np.arange(len(order)) - first[sorted_labels]  # among the candidates of its class
    allowed = sorted_accepted & (place < (len(order) if budget is None else budget))
    before = np.concatenate([[0], np.cumsum(allowed)])
    rank = before[1:] - before[first[sorted_labels]]  # from 1: which of the accepted ones of its class
    chosen = allowed & (rank <= wanted[sorted_labels])
    kept = np.bincount(sorted_labels[chosen], minlength=len(classes))
    limit = available if budget is None else np.minimum(available, budget)
    last = np.zeros(len(classes), dtype=np.int64)
    np.maximum.at(last, sorted_labels[chosen], place[chosen] + 1)
    filled = kept == wanted
    report = pd.DataFrame(
        {
            "class": list(classes),
            "wanted": wanted,
            "found": kept,
            "looked_at": np.where(filled, last, limit),
            "filled": filled,
        }
    )
    return Selection(np.sort(order[chosen]).astype(np.int64), report)
