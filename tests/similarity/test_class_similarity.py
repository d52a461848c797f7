"""Sampled pairs of classes: complete, evenly spread, as exact as they say, and bounded in memory and in number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.similarity import class_similarity as module
from workflow_scripts.similarity.class_similarity import measure_similarity

BASE = np.random.default_rng(0).integers(0, 2, (4, 4, 1)).repeat(4, 0).repeat(4, 1) * 255


def varied(count, seed=0):
    """Images (count, 16, 16, 1) of one pattern that differ much in how clear they are."""
    rng = np.random.default_rng(seed)
    clear = rng.uniform(0.05, 0.9, (count, 1, 1, 1))
    return (clear * BASE + (1 - clear) * rng.integers(0, 256, (count, 16, 16, 1))).astype(np.uint8)


def names(count):
    return [f"class-{i}" for i in range(count)]


@settings(max_examples=20)
@given(counts=st.lists(st.integers(0, 9), min_size=2, max_size=5).filter(lambda counts: sum(counts) > 3))
def test_a_sample_of_everything_is_everything(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    images = varied(len(labels))
    exact = measure_similarity(images, labels, names(len(counts)))
    sample = measure_similarity(images, labels, names(len(counts)), standard_error=1e-12, exact_pairs=1)
    np.testing.assert_allclose(sample.matrix, exact.matrix, rtol=1e-5)
    assert sample.exact is True
    assert sample.pairs == exact.pairs
    assert sample.sampling_se == 0


def test_rare_classes_do_not_make_a_sample_endless():
    """All their few pairs are soon in the sample; what they leave uncertain is not the sample's doing."""
    labels = np.repeat([0, 1, 2], [700, 4, 4])
    similarity = measure_similarity(varied(708), labels, "abc", exact_pairs=1000)
    assert similarity.sampling_se <= 0.002
    assert similarity.pairs < 20_000


@pytest.mark.parametrize("per_class", [30, 150])
def test_the_sampling_error_is_no_larger_than_it_says(per_class):
    """With many classes, an image stands in the pairs of many cells: their errors need not be independent."""
    labels = np.tile(np.arange(10), per_class)
    images = varied(len(labels))
    truth = measure_similarity(images, labels, names(10), exact_pairs=10**7).overall["between_sub"].value
    samples = [
        measure_similarity(images, labels, names(10), exact_pairs=10, standard_error=1, seed=seed) for seed in range(12)
    ]
    errors = np.array([sample.overall["between_sub"].value for sample in samples]) - truth
    assert np.sqrt(np.mean(errors**2)) < 1.3 * samples[0].sampling_se


def test_many_classes_still_give_a_sampling_error():
    labels = np.tile(np.arange(100), 4)
    similarity = measure_similarity(varied(400), labels, names(100), exact_pairs=10, standard_error=1)
    assert similarity.sampling_se > 0
    assert np.isfinite(similarity.matrix_se).all()


def test_equal_sets_of_images_differ_only_by_their_pairs_of_equals():
    """Of n by n pairs between two equal sets, n are of an image with itself: between = (1 + (n - 1) within) / n."""
    images, n = varied(15), 15
    similarity = measure_similarity(np.concatenate([images, images]), np.repeat([0, 1], n), "ab").overall
    assert similarity["between_sub"].value == pytest.approx((1 + (n - 1) * similarity["within"].value) / n, rel=1e-5)


def test_errors_of_the_matrix_are_those_of_its_pairs_of_classes():
    labels = np.repeat([0, 1, 2], [20, 10, 1])
    images = varied(31)
    similarity = measure_similarity(images, labels, "abc")
    two = measure_similarity(images[:30], labels[:30], "ab")
    assert similarity.matrix_se[0, 1] == pytest.approx(two.overall["between_sub"].se, rel=1e-6)
    assert np.isnan(similarity.matrix_se[2]).all()  # what another image of the third class would be like, nobody knows
    assert np.isfinite(similarity.matrix[2, :2]).all()


def test_a_rare_class_that_looks_calm_is_not_taken_to_be_known_well():
    images = varied(34)
    images[31:] = images[30] // 2 + images[31:] // 2  # four images that hardly differ
    value = measure_similarity(images, np.repeat([0, 1], [30, 4]), "ab").overall["between_sub"]
    # Student's t of the 3.85 degrees of freedom that 30 and 4 images have if all scatter alike; of 29 it would be 2.05.
    assert (value.high - value.low) / 2 / value.se >= 2.8


@pytest.mark.parametrize("exact_pairs", [10**6, 10])
def test_memory_bounds_do_not_change_the_result(monkeypatch, exact_pairs):
    labels = np.tile([0, 1], 30)
    images = varied(60)
    whole = measure_similarity(images, labels, "ab", exact_pairs=exact_pairs)
    monkeypatch.setattr(module, "PREPARED_BYTES", 2 * 4 * 4 * 16 * 16 * 7)
    parts = measure_similarity(images, labels, "ab", exact_pairs=exact_pairs)
    np.testing.assert_allclose(parts.matrix, whole.matrix, rtol=1e-5)
    of_parts, of_whole = parts.overall["contrast"], whole.overall["contrast"]
    np.testing.assert_allclose([of_parts.low, of_parts.high], [of_whole.low, of_whole.high], atol=1e-5)


def test_the_same_seed_gives_the_same_sample():
    labels = np.tile([0, 1, 2], 50)
    first, again, third = (
        measure_similarity(varied(150), labels, "abc", exact_pairs=10, standard_error=0.02, seed=seed)
        for seed in (3, 3, 4)
    )
    assert first.overall == again.overall
    assert first.overall != third.overall
