"""Choosing teachers and students: planted useful, redundant and harmful ones, and luck."""

import numpy as np
import pytest

from workflow_scripts.distillation.answers import choice_sentence, student_in_words
from workflow_scripts.distillation.choice import choose_students, crossed_mean
from workflow_scripts.distillation.diagnosis import choose_subset, describe, diversity
from workflow_scripts.distillation.measures import ensemble

CLASSES, IMAGES = 5, 3000


def labels_of():
    return np.random.default_rng(0).integers(0, CLASSES, IMAGES)


def teacher(seed, strength=3.0, noise=1.5):
    """Logits that favour the true label, with errors of their own."""
    random = np.random.default_rng([1, seed])
    return strength * np.eye(CLASSES)[labels_of()] + random.normal(0, noise, (IMAGES, CLASSES))


def test_copies_of_a_teacher_add_nothing():
    choice = choose_subset(np.stack([teacher(0)] * 3), labels_of())
    assert choice.members == (0,)
    assert choice.exhaustive
    assert choice.gain.value == choice.gain.low == choice.gain.high == 0


def test_useful_teachers_are_kept_and_harmful_ones_left_out():
    logits, labels = np.stack([teacher(0), teacher(1), teacher(2, strength=-3.0)]), labels_of()
    choice = choose_subset(logits, labels)
    assert choice.members == (0, 1)
    assert choice.gain.low > 0
    judging = slice(1, None, 2)
    together = ensemble(logits[:2, judging])
    assert choice.accuracy.value == pytest.approx((together.argmax(1) == labels[judging]).mean())
    assert choice.accuracy.low < choice.accuracy.value < choice.accuracy.high


def test_images_that_choose_do_not_judge():
    """Teachers that know the choosing images by heart are worth what they are on the others."""
    logits, labels = np.stack([teacher(0), teacher(1, strength=0.0)]), labels_of()
    logits[1, ::2] = 20 * np.eye(CLASSES)[labels[::2]]
    choice = choose_subset(logits, labels)
    assert choice.members == (1,)
    assert choice.accuracy.high < 0.25


def test_smaller_within_one_standard_error_is_preferred():
    nearly = teacher(0) + np.random.default_rng(5).normal(0, 0.02, (IMAGES, CLASSES))
    assert len(choose_subset(np.stack([teacher(0), nearly]), labels_of()).members) == 1


def test_many_teachers_grow_one_by_one(monkeypatch):
    logits, labels = np.stack([teacher(seed, strength=2 + seed / 4) for seed in range(5)]), labels_of()
    every = choose_subset(logits, labels)
    monkeypatch.setattr("workflow_scripts.distillation.diagnosis.MOST_FOR_ALL_SUBSETS", 4)
    monkeypatch.setattr("workflow_scripts.distillation.diagnosis.VALUES_AT_A_TIME", 1)
    growing = choose_subset(logits, labels)
    assert not growing.exhaustive
    assert growing.nll.value == pytest.approx(every.nll.value, abs=0.01)
    assert growing.everyone == every.everyone


def iou_of(values):
    matrix = np.eye(3)
    matrix[np.triu_indices(3, 1)] = values
    return np.maximum(matrix, matrix.T)


def test_diversity_names_the_pairs():
    logits = np.stack([teacher(seed) for seed in range(3)])
    varied = diversity(logits, iou_of([0.5, 0.8, 0.2]), iou_of([0.4, 0.7, 0.1]))
    assert (varied.iou, varied.corrected_iou) == (pytest.approx(0.5), pytest.approx(0.4))
    assert varied.most_alike == (0, 2)
    assert varied.least_alike == (1, 2)
    chosen = logits.argmax(2)
    pairs = [(chosen[i] != chosen[j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert varied.disagreement == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize(
    ("corrected", "words"),
    [(0.8, "much the same"), (0.4, "partly different"), (0.1, "largely different"), (np.nan, "cannot be compared")],
)
def test_description_says_how_alike(corrected, words):
    logits = np.stack([teacher(seed) for seed in range(3)])
    varied = diversity(logits, iou_of([0.5, 0.8, 0.2]), iou_of([corrected] * 3))
    lines = describe(["a", "b", "c"], varied, choose_subset(logits, labels_of()))
    assert words in lines[0]
    text = " ".join(lines)
    assert "a, b and c are the fewest that predict as well as any together" in text
    assert "only students can say" in lines[-1]
    assert "nan" not in text


def test_one_teacher_is_described_without_a_choice():
    ones = np.ones((1, 1))
    lines = describe(["a"], diversity(teacher(0)[None], ones, ones), choose_subset(teacher(0)[None], labels_of()))
    assert len(lines) == 2
    assert lines[-1].startswith("a labels")


def students(gains, seeds=4, images=2000, scatter=0.01, random=0):
    """Right or wrong of kinds of students with these gains of accuracy over the first two kinds, which have none."""
    draw = np.random.default_rng([3, random])
    accuracy = 0.7 + np.array([0.0, 0.0, *gains])[:, None] + scatter * draw.normal(size=(len(gains) + 2, seeds))
    difficulty = draw.random(images)
    hits = difficulty + 0.2 * draw.normal(size=(len(gains) + 2, seeds, images)) < accuracy[:, :, None]
    return hits[2:], hits[:2]


def test_an_ensemble_that_makes_better_students_is_chosen_and_its_gain_is_measured():
    choice = choose_students(*students([0.0, 0.1, 0.02]))
    assert choice.taught == 1
    assert choice.steady
    assert 0 < choice.gain.low < 0.1 < choice.gain.high + 0.03
    assert choice_sentence(choice, "two teachers", "plain training", 4).startswith("Distil from two teachers: against")


def test_the_luckiest_of_many_useless_ensembles_is_not_shown_to_beat_no_teacher():
    claimed = sum(choose_students(*students([0.0] * 8, 3, 600, random=repeat)).gain.low > 0 for repeat in range(60))
    assert claimed <= 5
    sentence = choice_sentence(choose_students(*students([0.0] * 8)), "two teachers", "plain training", 4)
    assert "No ensemble is shown to beat no teacher" in sentence
    worse = choice_sentence(choose_students(*students([-0.2])), "two teachers", "plain training", 4)
    assert worse.startswith("Train without teachers (plain training)")


def test_two_seeds_choose_but_promise_nothing():
    choice = choose_students(*students([0.1], seeds=2))
    assert np.isnan(choice.gain.value)
    assert "at least 3 seeds (`distillation.seeds`), there are 2" in choice_sentence(choice, "a", "b", 2)


def test_a_crossed_mean_counts_rows_and_columns_as_samples():
    draw, covered = np.random.default_rng(4), 0
    for _ in range(200):
        values = draw.normal(size=(5, 1)) + draw.normal(size=(1, 30)) + draw.normal(size=(5, 30))
        estimate = crossed_mean(values)
        covered += estimate.low <= 0 <= estimate.high
    assert 180 <= covered <= 199
    assert crossed_mean(np.ones((3, 4))).high == 1


def test_students_are_named_in_words():
    ensembles = {"weak+weak": ["weak-1", "weak-2"], "mine": ["mine-1"]}
    assert student_in_words("weak+weak.strong", ensembles) == (
        "two teachers trained with weak augmentation, the student with strong augmentation"
    )
    assert student_in_words("mine.none", ensembles) == "the teacher mine, the student without augmentation"
    assert student_in_words("smoothed.weak", ensembles) == "label smoothing, the student with weak augmentation"
