"""All measures of one student or teacher, as plain numbers."""

import logging
from typing import Any

import numpy as np

from workflow_scripts.core.files import plain
from workflow_scripts.data.imbalance import GROUPS, head_middle_tail
from workflow_scripts.distillation.calibration import calibration
from workflow_scripts.distillation.cka import linear_cka
from workflow_scripts.distillation.estimates import flatten, mean_estimate, mean_of, proportion
from workflow_scripts.distillation.information import mutual_information
from workflow_scripts.distillation.measures import (
    agreement,
    divergence,
    ensemble,
    entropy,
    fidelity,
    generalisation_gap,
    negative_log_likelihood,
)

logger = logging.getLogger(__name__)


def class_groups(training_counts: np.ndarray) -> dict[str, np.ndarray]:
    """Classes of `head`, `middle` and `tail` by their number of training images (C,), see `head_middle_tail`.

    Empty for fewer than three classes and where all classes are alike: such a set has no tail.
    """
    counts = np.asarray(training_counts)
    if len(counts) < len(GROUPS) or counts.min() == counts.max():
        return {}
    group = head_middle_tail(counts)
    return {name: np.flatnonzero(group == name) for name in GROUPS if name in group}


def summary(
    student: np.ndarray,
    labels: np.ndarray,
    teachers: np.ndarray | None = None,
    training_hits: np.ndarray | None = None,
    student_features: np.ndarray | None = None,
    teacher_features: list[np.ndarray] | None = None,
    training_counts: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """All measures of one student (or teacher) on one view of the validation images, ready for JSON.

    student (N, C), teachers (M, N, C) logits; training_hits (n,) right or wrong on training images of the same view;
    features (N, D) of the student and of each teacher; training_counts (C,) images of each class. What is not given is
    not measured. Returns flat keys `x`, `x_low`, `x_high`, None where undefined, and under "classes" (a list by class)
    and "groups" (head, middle, tail; only for long-tailed counts) the same for accuracy, agreement and kl there.

    Keys: accuracy, nll, entropy, ece_weighted, ece_unweighted, gap; of the teachers' mean probabilities
    ensemble_accuracy, ensemble_nll, ensemble_entropy, agreement, agreement_teacher_right, agreement_teacher_wrong, kl,
    mutual_information (adjusted: 0 by chance, 1 for the same labels); of the mean of their logits logits_agreement,
    logits_kl; as the mean over single teachers single_agreement, single_kl, single_mutual_information (interval: mean
    of the teachers' ends); cka and cka_biased likewise. Keys in _plug_in are not corrected and have no interval.
    """
    labels = np.asarray(labels)
    chosen = student.argmax(axis=1)
    hits = chosen == labels
    errors = calibration(student, labels, seed=seed)
    measures = {
        "accuracy": proportion(hits),
        "nll": mean_estimate(negative_log_likelihood(student, labels), seed),
        "entropy": mean_estimate(entropy(student), seed),
        "ece_weighted": errors.weighted.corrected,
        "ece_unweighted": errors.unweighted.corrected,
    }
    uncorrected = {f"ece_{name}_plug_in": plain(error.plug_in) for name, error in vars(errors).items()}
    if training_hits is not None:
        measures["gap"] = generalisation_gap(training_hits, hits)
    same = kl = None
    if teachers is not None:
        together, averaged = ensemble(teachers), ensemble(teachers, "logits")
        answers, each = together.argmax(axis=1), teachers.argmax(axis=2)
        same, kl = chosen == answers, divergence(together, student)
        information = mutual_information(chosen, answers)
        uncorrected["mutual_information_plug_in"] = plain(information.plug_in)
        if information.sparse:
            logger.warning("mutual information: %d images are few for %d classes", len(labels), student.shape[1])
        measures |= {
            "ensemble_accuracy": proportion(answers == labels),
            "ensemble_nll": mean_estimate(negative_log_likelihood(together, labels), seed),
            "ensemble_entropy": mean_estimate(entropy(together), seed),
            **fidelity(student, teachers, labels, seed),
            "logits_agreement": agreement(student, averaged, labels).everywhere,
            "logits_kl": mean_estimate(divergence(averaged, student), seed),
            "mutual_information": information.adjusted,
            "single_agreement": mean_estimate((chosen == each).mean(axis=0), seed),
            "single_kl": mean_estimate(np.mean([divergence(teacher, student) for teacher in teachers], axis=0), seed),
            "single_mutual_information": mean_of([mutual_information(chosen, other).adjusted for other in each]),
        }
    if student_features is not None and teacher_features:
        for name, debiased in (("cka", True), ("cka_biased", False)):
            measures[name] = mean_of(
                [linear_cka(student_features, features, debiased) for features in teacher_features]
            )

    def among(members: np.ndarray) -> dict[str, float | None]:
        part = {"accuracy": proportion(hits[members])}
        if same is not None and kl is not None:
            part |= {"agreement": proportion(same[members]), "kl": mean_estimate(kl[members], seed)}
        return {"images": float(np.count_nonzero(members))} | flatten(part)

    groups = {} if training_counts is None else class_groups(training_counts)
    parts = {
        "classes": [among(labels == number) for number in range(student.shape[1])],
        "groups": {name: among(np.isin(labels, classes)) for name, classes in groups.items()},
    }
    return flatten(measures) | uncorrected | parts
