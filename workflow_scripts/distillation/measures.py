"""What a student took from its teachers, and how good each is: measures of logits and labels.

Logits are floating-point (N, C), labels integers (N,) in 0..C-1; several teachers are (M, N, C). Logarithms are
natural. Intervals are those of `estimates.py`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import log_softmax, logsumexp

from workflow_scripts.core.intervals import newcombe
from workflow_scripts.distillation.estimates import (
    NOTHING,
    Estimate,
    bootstrap_means,
    mean_estimate,
    percentile_estimate,
    proportion,
)


@dataclass(frozen=True)
class Agreement:
    """Share of images to which both give the same label: of all, and of those the teacher gets right and wrong."""

    everywhere: Estimate
    teacher_right: Estimate
    teacher_wrong: Estimate


@dataclass(frozen=True)
class Affinity:
    """Accuracy on augmented images as a share of the accuracy on clean ones, and minus it."""

    ratio: Estimate
    difference: Estimate


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities, float64, of logits (..., C) of any precision."""
    return log_softmax(np.asarray(logits, dtype=np.float64), axis=-1)


def ensemble(teachers: np.ndarray, rule: Literal["probabilities", "logits"] = "probabilities") -> np.ndarray:
    """Log probabilities (N, C) of the mean of the teachers' probabilities, or of their logits, (M, N, C)."""
    if rule == "logits":
        return log_probabilities(np.asarray(teachers, dtype=np.float64).mean(axis=0))
    return logsumexp(log_probabilities(teachers), axis=0) - np.log(len(teachers))


def agreement(student: np.ndarray, teacher: np.ndarray, labels: np.ndarray) -> Agreement:
    """Top-1 agreement of logits (N, C) with Wilson intervals, also apart where the teacher is right and wrong.

    Where the teacher is wrong, agreeing is to make the same mistake. Of an ensemble, give `ensemble(teachers)`.
    """
    chosen = teacher.argmax(axis=1)
    same, right = student.argmax(axis=1) == chosen, chosen == labels
    return Agreement(proportion(same), proportion(same[right]), proportion(same[~right]))


def divergence(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    """KL(teacher || student) of each image in nats, (N,), of logits (N, C). `mean_estimate` gives its mean.

    Guo et al. 2024 multiply it by ten.
    """
    log_p, log_q = log_probabilities(teacher), log_probabilities(student)
    # A probability that underflows to 0 adds nothing, even where the student's logarithm is infinite.
    terms = np.where(log_p == -np.inf, 0.0, np.exp(log_p) * (log_p - log_q))
    return np.maximum(terms.sum(axis=1), 0.0)


def fidelity(student: np.ndarray, teachers: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict[str, Estimate]:
    """Agreement and divergence of a student (N, C) and the mean probabilities of its teachers (M, N, C)."""
    together = ensemble(teachers)
    agreed = agreement(student, together, labels)
    return {
        "agreement": agreed.everywhere,
        "agreement_teacher_right": agreed.teacher_right,
        "agreement_teacher_wrong": agreed.teacher_wrong,
        "kl": mean_estimate(divergence(together, student), seed),
    }


def entropy(logits: np.ndarray) -> np.ndarray:
    """Entropy of each prediction in nats, 0..ln C, (N,), of logits (N, C)."""
    log_p = log_probabilities(logits)
    probabilities = np.exp(log_p)
    return -np.where(probabilities == 0, 0.0, probabilities * log_p).sum(axis=1)


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Minus the log probability of the true label in nats, (N,), of logits (N, C)."""
    return -np.take_along_axis(log_probabilities(logits), np.asarray(labels)[:, None].astype(np.int64), axis=1)[:, 0]


def generalisation_gap(training_hits: np.ndarray, validation_hits: np.ndarray) -> Estimate:
    """Training minus validation accuracy, from right or wrong, bool (n,) and (N,), on the same view; Newcombe's
    interval."""
    if min(len(training_hits), len(validation_hits)) == 0:
        return NOTHING
    counts = (np.count_nonzero(training_hits), len(training_hits), np.count_nonzero(validation_hits))
    low, high = newcombe(*counts, len(validation_hits))
    return Estimate(float(np.mean(training_hits) - np.mean(validation_hits)), float(low), float(high))


def affinity(augmented_hits: np.ndarray, clean_hits: np.ndarray, seed: int = 0) -> Affinity:
    """How little an augmentation moves the data, to a model trained on clean images (Gontijo-Lopes et al. 2021).

    Right or wrong for the same N validation images, augmented and clean: bool (N,), or (N, views), averaged over views.
    They define it as the difference, Guo et al. 2024 as the ratio. Smaller is a stronger augmentation. The interval
    resamples images, both of each at once. The ratio is NaN where no clean image is right.
    """
    shares = [
        np.asarray(hits, dtype=float).reshape(len(hits), -1).mean(axis=1) for hits in (augmented_hits, clean_hits)
    ]
    pair = np.stack(shares, axis=1)
    moved, clean = pair.mean(axis=0)
    resampled = bootstrap_means(pair, seed)
    difference = percentile_estimate(float(moved - clean), resampled[:, 0] - resampled[:, 1])
    if clean == 0:
        return Affinity(NOTHING, difference)
    usable = resampled[resampled[:, 1] > 0]
    return Affinity(percentile_estimate(float(moved / clean), usable[:, 0] / usable[:, 1]), difference)
