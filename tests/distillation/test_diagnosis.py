"""Choosing teachers: planted useful, redundant and harmful ones."""

import numpy as np
import pytest

from workflow_scripts.distillation.diagnosis import choose_subset, describe, diversity
from workflow_scripts.distillation.measures import ensemble, negative_log_likelihood

CLASSES, IMAGES = 5, 3000


def labels_of():
    return np.random.default_rng(0).integers(0, CLASSES, IMAGES)


def teacher(seed, strength=3.0, noise=1.5):
    """Logits that favour the true label, with errors of their own."""
    random = np.random.default_rng([1, seed])
    return strength * np.eye(CLASSES)[labels_of()] + random.normal(0, noise, (IMAGES, CLASSES))


def test_copies_of_a_teacher_add_nothing():
    one, labels = teacher(0), labels_of()
    choice = choose_subset(np.stack([one, one, one]), labels)
    assert choice.chosen.members == (0,)
    assert choice.exhaustive
    assert len(choice.tried) == 7
    assert choice.gain.value == choice.gain.low == choice.gain.high == 0


def test_useful_teachers_are_kept_and_harmful_ones_left_out():
    logits, labels = np.stack([teacher(0), teacher(1), teacher(2, strength=-3.0)]), labels_of()
    choice = choose_subset(logits, labels)
    assert choice.chosen.members == choice.best.members == (0, 1)
    assert choice.gain.low > 0
    together = ensemble(logits[:2])
    assert choice.nll.value == pytest.approx(negative_log_likelihood(together, labels).mean())
    assert choice.accuracy.value == pytest.approx((together.argmax(1) == labels).mean())
    assert choice.accuracy.low < choice.accuracy.value < choice.accuracy.high
    assert choice.tried[0] == choice.best
    nll = [one.nll for one in choice.tried]
    assert nll == sorted(nll)


def test_smaller_within_one_standard_error_is_preferred():
    one = teacher(0)
    nearly = one + np.random.default_rng(5).normal(0, 0.02, one.shape)
    choice = choose_subset(np.stack([one, nearly]), labels_of())
    assert len(choice.chosen.members) == 1
    assert choice.chosen.excess_nll <= choice.chosen.excess_error or choice.chosen == choice.best


def test_many_teachers_grow_one_by_one(monkeypatch):
    logits, labels = np.stack([teacher(one, strength=2 + one / 4) for one in range(5)]), labels_of()
    every = choose_subset(logits, labels)
    monkeypatch.setattr("workflow_scripts.distillation.diagnosis.MOST_FOR_ALL_SUBSETS", 4)
    monkeypatch.setattr("workflow_scripts.distillation.diagnosis.VALUES_AT_A_TIME", 1)
    growing = choose_subset(logits, labels)
    assert not growing.exhaustive
    assert len(growing.tried) == 9  # five single ones, four on the way to all
    assert growing.best.nll <= every.best.nll + 0.005
    by_members = {one.members: one for one in every.tried}
    for one in growing.tried:
        assert one.accuracy == by_members[one.members].accuracy
        assert one.nll == pytest.approx(by_members[one.members].nll)


def iou_of(values):
    matrix = np.eye(3)
    matrix[np.triu_indices(3, 1)] = values
    return np.maximum(matrix, matrix.T)


def test_diversity_names_the_pairs():
    logits = np.stack([teacher(one) for one in range(3)])
    found = diversity(logits, iou_of([0.5, 0.8, 0.2]), iou_of([0.4, 0.7, 0.1]))
    assert (found.iou, found.corrected_iou) == (pytest.approx(0.5), pytest.approx(0.4))
    assert found.most_alike == (0, 2)
    assert found.least_alike == (1, 2)
    chosen = logits.argmax(2)
    pairs = [(chosen[i] != chosen[j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found.disagreement == pytest.approx(np.mean(pairs))
    assert diversity(np.stack([logits[0]] * 2), np.ones((2, 2)), np.ones((2, 2))).disagreement == 0


@pytest.mark.parametrize(
    ("corrected", "words"),
    [(0.8, "much the same"), (0.4, "partly different"), (0.1, "largely different"), (np.nan, "cannot be compared")],
)
def test_description_says_how_alike(corrected, words):
    logits, labels = np.stack([teacher(one) for one in range(3)]), labels_of()
    varied = diversity(logits, iou_of([0.5, 0.8, 0.2]), iou_of([corrected] * 3))
    lines = describe(["a", "b", "c"], varied, choose_subset(logits, labels), ["weak", "strong", "weak"])
    assert words in lines[0]
    assert 3 <= len(lines) <= 8
    text = " ".join(lines)
    assert "Distil from a, b and c" in text
    assert "percentage points of accuracy (+" in text
    assert "augmentation" in lines[-1]
    assert "nan" not in text


def test_description_of_what_is_left_out_and_of_one_teacher():
    labels = labels_of()
    logits = np.stack([teacher(0), teacher(1), teacher(2, strength=-3.0)])
    ious = iou_of([0.5, 0.8, 0.2])
    text = " ".join(describe(["a", "b", "bad"], diversity(logits, ious, ious), choose_subset(logits, labels)))
    assert "Distil from a and b:" in text
    assert "cost more than they add" in text
    assert "augmentation" not in text
    alone = describe(["a"], diversity(logits[:1], np.ones((1, 1)), np.ones((1, 1))), choose_subset(logits[:1], labels))
    assert len(alone) == 3
    assert "there is no other" in alone[-1]
