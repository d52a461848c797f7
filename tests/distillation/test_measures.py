"""Measures of distillation against closed forms, other packages and planted truth."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score
from torchmetrics.functional.classification import multiclass_calibration_error

from workflow_scripts.distillation.calibration import calibration
from workflow_scripts.distillation.cka import BLOCKS, linear_cka
from workflow_scripts.distillation.estimates import bootstrap_means, mean_estimate
from workflow_scripts.distillation.information import expected_information, mutual_information
from workflow_scripts.distillation.measures import (
    affinity,
    agreement,
    divergence,
    ensemble,
    entropy,
    generalisation_gap,
    log_probabilities,
    negative_log_likelihood,
)
from workflow_scripts.distillation.summary import class_groups, summary


def logits_of(seed, images=400, classes=10, scale=2.0):
    return np.random.default_rng([3, seed]).normal(0, scale, (images, classes))


def labels_of(images=400, classes=10):
    return np.random.default_rng(4).integers(0, classes, images)


def test_a_model_against_itself():
    logits, labels = logits_of(0), labels_of()
    same = agreement(logits, logits, labels)
    assert same.everywhere.value == same.teacher_right.value == same.teacher_wrong.value == 1
    np.testing.assert_array_equal(divergence(logits, logits), 0)
    chosen = logits.argmax(1)
    shares = np.bincount(chosen) / len(chosen)
    assert mutual_information(chosen, chosen).plug_in == pytest.approx(stats.entropy(shares))
    for debiased in (True, False):
        assert linear_cka(logits, logits, debiased).value == pytest.approx(1)
    np.testing.assert_allclose(ensemble(logits[None]), log_probabilities(logits), atol=1e-12)
    np.testing.assert_allclose(ensemble(np.stack([logits] * 3)), log_probabilities(logits), atol=1e-12)


def test_independent_models_give_chance():
    labels, first, second = labels_of(20_000), logits_of(1, 20_000), logits_of(2, 20_000)
    measured = agreement(first, second, labels)
    for part in (measured.everywhere, measured.teacher_right, measured.teacher_wrong):
        assert part.low < 0.1 < part.high
    information = mutual_information(first.argmax(1), second.argmax(1))
    assert information.plug_in == pytest.approx(81 / 40_000, rel=0.5)  # its bias: (10 - 1)^2 / 2 N
    assert abs(information.adjusted.value) < 0.001
    assert information.adjusted.low <= 0 <= information.adjusted.high
    assert abs(linear_cka(first, second).value) < 0.001
    random = np.random.default_rng(5)
    unrelated = [linear_cka(*random.normal(size=(2, 400, 8))) for _ in range(60)]
    assert abs(np.mean([part.value for part in unrelated])) < 0.002
    assert sum(part.low < 0 < part.high for part in unrelated) >= 55


def test_agreement_splits_by_the_teacher():
    teacher = np.eye(3)[[0, 1, 2, 0]]
    student = np.eye(3)[[0, 2, 2, 1]]
    measured = agreement(student, teacher, np.array([0, 1, 0, 2]))
    assert [measured.everywhere.value, measured.teacher_right.value, measured.teacher_wrong.value] == [0.5, 0.5, 0.5]
    assert np.isnan(agreement(student, teacher, np.array([0, 1, 2, 0])).teacher_wrong.value)


def test_divergence_is_that_of_torch_and_scipy():
    teacher, student = logits_of(3), logits_of(4)
    expected = torch.nn.functional.kl_div(
        torch.tensor(student).log_softmax(1), torch.tensor(teacher).log_softmax(1), reduction="none", log_target=True
    ).sum(1)
    np.testing.assert_allclose(divergence(teacher, student), expected.numpy(), atol=1e-10)
    p, q = (np.exp(log_probabilities(logits)) for logits in (teacher, student))
    np.testing.assert_allclose(divergence(teacher, student), stats.entropy(p, q, axis=1), atol=1e-10)
    np.testing.assert_allclose(entropy(teacher), stats.entropy(p, axis=1), atol=1e-10)
    labels = labels_of()
    np.testing.assert_allclose(
        negative_log_likelihood(teacher, labels).mean(),
        float(torch.nn.functional.cross_entropy(torch.tensor(teacher), torch.tensor(labels))),
    )


def test_saturated_predictions_stay_finite():
    sure = np.array([[2000.0, 0.0, 0.0]])
    assert entropy(sure)[0] == 0
    assert divergence(sure, np.zeros((1, 3)))[0] == pytest.approx(np.log(3))
    assert divergence(sure.astype(np.float16), sure)[0] == 0


def test_ensembles_are_means_of_probabilities_and_of_logits():
    teachers = np.stack([logits_of(5), logits_of(6), logits_of(7)])
    mean = torch.tensor(teachers).softmax(-1).mean(0)
    np.testing.assert_allclose(np.exp(ensemble(teachers)), mean.numpy(), atol=1e-12)
    np.testing.assert_allclose(
        ensemble(teachers, "logits"), torch.tensor(teachers.mean(0)).log_softmax(-1).numpy(), atol=1e-12
    )


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 6))
@settings(max_examples=40)
def test_mutual_information_is_that_of_sklearn(seed, count, classes):
    random = np.random.default_rng(seed)
    first, second = random.integers(0, classes, (2, count))
    measured = mutual_information(first, second)
    assert measured.plug_in == pytest.approx(mutual_info_score(first, second), abs=1e-10)
    if not np.isnan(measured.adjusted.value):
        assert measured.adjusted.value == pytest.approx(adjusted_mutual_info_score(first, second), abs=1e-6)
        assert measured.adjusted.low <= measured.adjusted.value <= measured.adjusted.high


def test_the_expected_information_is_the_mean_over_random_orders():
    random = np.random.default_rng(11)
    first, second = random.integers(0, 20, 200), random.integers(0, 12, 200)
    shuffled = [mutual_information(first, random.permutation(second)).plug_in for _ in range(200)]
    counts = np.bincount(first).astype(float), np.bincount(second).astype(float)
    assert expected_information(*counts) == pytest.approx(np.mean(shuffled), abs=4 * np.std(shuffled) / np.sqrt(200))


def test_few_images_for_many_classes_are_said_to_be_few():
    random = np.random.default_rng(12)
    assert mutual_information(*random.integers(0, 100, (2, 2000))).sparse
    assert not mutual_information(*random.integers(0, 10, (2, 2000))).sparse


def test_calibration_error_is_that_of_torchmetrics():
    logits, labels = logits_of(8, 3000), labels_of(3000)
    measured = calibration(logits, labels)
    expected = multiclass_calibration_error(torch.tensor(logits).softmax(-1), torch.tensor(labels), 10, n_bins=10)
    assert measured.weighted.plug_in == pytest.approx(float(expected), abs=1e-6)
    assert measured.weighted.corrected.low < measured.weighted.plug_in < measured.weighted.corrected.high
    confidence = np.exp(log_probabilities(logits)).max(1)
    right = logits.argmax(1) == labels
    bins = [np.flatnonzero((confidence >= b / 10) & (confidence < (b + 1) / 10)) for b in range(10)]
    errors = [abs(right[rows].mean() - confidence[rows].mean()) for rows in bins if len(rows)]
    assert measured.unweighted.plug_in == pytest.approx(np.mean(errors))


def test_a_calibrated_predictor_has_little_calibration_error():
    logits = logits_of(9, 20_000)
    random = np.random.default_rng(10)
    cumulative = np.exp(log_probabilities(logits)).cumsum(1)
    labels = (random.random((20_000, 1)) > cumulative).sum(1).clip(max=9)
    few, many = calibration(logits[:500], labels[:500]).weighted, calibration(logits, labels).weighted
    assert few.plug_in > 0.03
    assert few.corrected.value < 0.6 * few.plug_in
    assert few.corrected.low == many.corrected.low == 0
    over = calibration(3 * logits, labels).weighted
    assert over.corrected.low > 0.1
    assert over.corrected.value == pytest.approx(over.plug_in, abs=0.002)


def hsic(k, m, debiased):
    """Song et al. 2012, of kernel matrices, by its formula."""
    n = len(k)
    if not debiased:
        centre = np.eye(n) - 1 / n
        return np.trace(k @ centre @ m @ centre)
    k, m = (kernel - np.diag(np.diag(kernel)) for kernel in (k, m))
    ones = np.ones(n)
    return (
        np.trace(k @ m)
        + (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (ones @ k @ m @ ones)
    )


@pytest.mark.parametrize("debiased", [True, False])
def test_cka_is_the_explicit_ratio_of_hsic(debiased):
    random = np.random.default_rng(12)
    x = random.normal(3, 1, (90, 7))
    y = x[:, :5] ** 2 + random.normal(-1, 1, (90, 5))

    def explicit(rows):
        k, m = x[rows] @ x[rows].T, y[rows] @ y[rows].T
        return hsic(k, m, debiased) / np.sqrt(hsic(k, k, debiased) * hsic(m, m, debiased))

    measured = linear_cka(x, y, debiased)
    assert measured.value == pytest.approx(explicit(np.arange(90)))
    without = np.array([explicit(np.arange(90) % BLOCKS != block) for block in range(BLOCKS)])
    half = stats.t.ppf(0.975, BLOCKS - 1) * np.sqrt((BLOCKS - 1) / BLOCKS * ((without - without.mean()) ** 2).sum())
    assert measured.low == pytest.approx(measured.value - half)


def test_cka_knows_rotations_and_refuses_what_does_not_vary():
    random = np.random.default_rng(13)
    x = random.normal(size=(100, 6))
    rotation = np.linalg.qr(random.normal(size=(6, 6)))[0]
    assert linear_cka(x, 5 * x @ rotation + 2).value == pytest.approx(1)
    assert np.isnan(linear_cka(x, np.ones((100, 3))).value)
    assert np.isnan(linear_cka(x[:30], x[:30]).value)
    wide = random.normal(size=(2, 100, 400))
    assert linear_cka(*wide, debiased=False).value > 0.7
    assert abs(linear_cka(*wide).value) < 0.2


def test_the_interval_of_cka_holds_the_truth():
    random = np.random.default_rng(14)
    mix = random.normal(size=(4, 6))
    big = random.normal(size=(200_000, 4))
    truth = linear_cka(big, big @ mix + random.normal(size=(200_000, 6))).value
    held = 0
    for _ in range(100):
        x = random.normal(size=(300, 4))
        measured = linear_cka(x, x @ mix + random.normal(size=(300, 6)))
        held += measured.low <= truth <= measured.high
    assert held >= 88


def test_bootstrap_of_a_mean_has_its_standard_error():
    values = np.random.default_rng(15).normal(2, 3, (500, 2))
    means = bootstrap_means(values, resamples=4000)
    np.testing.assert_allclose(means.std(0), values.std(0) / np.sqrt(500), rtol=0.06)
    np.testing.assert_allclose(means.mean(0), values.mean(0), atol=0.02)
    np.testing.assert_array_equal(means, bootstrap_means(values, resamples=4000))
    measured = mean_estimate(np.append(values[:, 0], np.nan))
    assert measured.low < measured.value == pytest.approx(values[:, 0].mean())
    assert np.isnan(mean_estimate(np.array([np.nan])).value)


def test_gap_and_affinity():
    training, validation = np.arange(1000) < 900, np.arange(500) < 400
    gap = generalisation_gap(training, validation)
    assert gap.value == pytest.approx(0.1)
    assert 0.05 < gap.low < 0.1 < gap.high < 0.15
    measured = affinity(np.arange(500) < 300, validation)
    assert measured.ratio.value == pytest.approx(0.75)
    assert measured.difference.value == pytest.approx(-0.2)
    assert measured.ratio.low < 0.75 < measured.ratio.high < 1
    unmoved = affinity(validation, validation)
    assert unmoved.ratio == type(unmoved.ratio)(1, 1, 1)
    views = np.stack([np.arange(500) < 300, np.arange(500) < 200], axis=1)
    assert affinity(views, validation).difference.value == pytest.approx(-0.3)
    assert np.isnan(affinity(validation, np.zeros(500, bool)).ratio.value)


def test_groups_are_thirds_by_count():
    groups = class_groups(np.array([5, 100, 50, 1, 20, 80]))
    assert {name: sorted(classes.tolist()) for name, classes in groups.items()} == {
        "head": [1, 5],
        "middle": [2, 4],
        "tail": [0, 3],
    }
    assert class_groups(np.full(10, 7)) == {}


def test_summary_is_plain_and_says_what_the_measures_say():
    student, teachers, labels = logits_of(20), np.stack([logits_of(21), logits_of(22)]), labels_of()
    features = [np.random.default_rng(seed).normal(size=(400, 6)) for seed in range(3)]
    measured = summary(
        student,
        labels,
        teachers,
        training_hits=np.arange(100) < 90,
        student_features=features[0],
        teacher_features=features[1:],
        training_counts=np.arange(10) + 1,
    )
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured
    assert measured["accuracy"] == pytest.approx((student.argmax(1) == labels).mean())
    assert measured["agreement"] == pytest.approx((student.argmax(1) == ensemble(teachers).argmax(1)).mean())
    assert measured["single_kl"] == pytest.approx(np.mean([divergence(teacher, student) for teacher in teachers]))
    assert measured["gap"] == pytest.approx(0.9 - measured["accuracy"])
    assert measured["cka"] == pytest.approx(np.mean([linear_cka(features[0], other).value for other in features[1:]]))
    assert sum(part["images"] for part in measured["classes"]) == 400
    assert set(measured["groups"]) == {"head", "middle", "tail"}
    by_class = sum(part["images"] * part["kl"] for part in measured["classes"]) / 400
    assert by_class == pytest.approx(measured["kl"])
    alone = summary(student, labels)
    assert "kl" not in alone
    assert alone["groups"] == {}
    itself = summary(student, labels, student[None])
    assert itself["agreement"] == 1
    assert itself["kl"] == pytest.approx(0, abs=1e-9)
