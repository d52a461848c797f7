"""SSIM of pairs against scikit-image, and the measure of class similarity on data of known similarity."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_msssim import ssim as peer_ssim
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.sprites import draw_factors, render
from workflow_scripts.metrics.ssim import prepare, ssim_pairs
from workflow_scripts.similarity.class_similarity import measure_similarity
from workflow_scripts.similarity.ordering import class_groups, cluster_order

DEFINITION = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}


def every_pair(images, channels="luminance"):
    prepared = prepare(images, channels)
    i, j = torch.triu_indices(len(images), len(images))
    return i, j, ssim_pairs(prepared, i, j).numpy()


@settings(max_examples=25)
@given(side=st.integers(11, 40), colours=st.sampled_from([1, 3]), seed=st.integers(0, 1000))
def test_pairs_are_scikit_images(side, colours, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (6, side, side, colours), dtype=np.uint8)
    images[2:4], images[4], images[5] = 77, 255, np.linspace(0, 255, side)[:, None].astype(np.uint8)
    i, j, values = every_pair(images, "mean")
    expected = [
        structural_similarity(images[a], images[b], channel_axis=-1, **DEFINITION) for a, b in zip(i, j, strict=True)
    ]
    np.testing.assert_allclose(values, expected, atol=1e-5)


def test_luminance_is_scikit_images_grey():
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), dtype=np.uint8)
    i, j, values = every_pair(images)
    grey = [rgb2gray(image) * 255 for image in images]
    expected = [structural_similarity(grey[a], grey[b], **DEFINITION) for a, b in zip(i, j, strict=True)]
    np.testing.assert_allclose(values, expected, atol=1e-5)


def test_pairs_are_those_of_pytorch_msssim():
    images = np.random.default_rng(1).integers(0, 256, (5, 24, 24, 1), dtype=np.uint8)
    i, j, values = every_pair(images)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    peer = peer_ssim(x[i], x[j], data_range=255, size_average=False)
    np.testing.assert_allclose(values, peer.numpy(), atol=1e-5)


def test_images_that_are_too_small_are_bad_input():
    with pytest.raises(InputError, match="at least 11 px"):
        prepare(np.zeros((2, 10, 10, 1), dtype=np.uint8))


def noisy(bases, labels, share, seed=0):
    """Images (N, 16, 16, 1): a share of the pattern of their class, the rest noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (len(labels), 16, 16, 1))
    return (share * bases[labels] + (1 - share) * noise).astype(np.uint8)


PATTERNS = np.random.default_rng(5).integers(0, 2, (4, 4, 4, 1)).repeat(4, 1).repeat(4, 2) * 255


def test_the_measure_is_the_mean_over_pairs_of_classes_however_rare_they_are():
    labels = np.repeat([0, 1, 2], [20, 5, 3])
    images = noisy(PATTERNS, labels, 0.5)
    i, j, every = every_pair(images)
    means = [every[(labels[i] == c) & (labels[j] == d)].mean() for c, d in ((0, 1), (0, 2), (1, 2))]
    within = [every[(labels[i] == c) & (labels[j] == c) & (i != j).numpy()].mean() for c in range(3)]
    similarity = measure_similarity(images, labels, "abc")
    assert similarity.exact
    assert similarity.overall["between_sub"].value == pytest.approx(np.mean(means), rel=1e-5)
    assert similarity.overall["within"].value == pytest.approx(np.mean(within), rel=1e-5)
    assert similarity.overall["contrast"].value == pytest.approx(np.mean(means) - np.mean(within), rel=1e-5)
    assert similarity.overall["between_super"] is None
    assert similarity.matrix[2, 0] == pytest.approx(means[1], rel=1e-5)


def test_two_classes_of_the_same_images_have_contrast_zero():
    labels = np.tile([0, 1], 60)
    images = noisy(PATTERNS[:1].repeat(2, 0), labels, 0.4)
    contrast = measure_similarity(images, labels, "ab").overall["contrast"]
    assert contrast.low < 0 < contrast.high
    assert contrast.value == pytest.approx(0, abs=0.01)


def test_superclasses_are_measured_each_and_against_each_other():
    labels = np.tile(np.arange(4), 12)
    bases = PATTERNS[[0, 0, 1, 2]]
    supers = {"same": ["a", "b"], "other": ["c", "d"]}
    similarity = measure_similarity(noisy(bases, labels, 0.6), labels, "abcd", supers)
    same, other = (similarity.by_superclass[name]["between_sub"].value for name in supers)
    assert same > other
    assert similarity.overall["between_sub"].value == pytest.approx((same + other) / 2)
    assert similarity.overall["between_super"].value == pytest.approx(similarity.matrix[:2, 2:].mean())


def test_a_sample_agrees_with_all_pairs_and_says_how_exact_it_is():
    labels = np.tile(np.arange(3), 80)
    images = noisy(PATTERNS, labels, 0.4)
    exact = measure_similarity(images, labels, "abc")
    errors = []
    for seed in range(8):
        sample = measure_similarity(images, labels, "abc", standard_error=0.004, exact_pairs=100, seed=seed)
        assert not sample.exact
        assert sample.pairs < exact.pairs
        assert sample.sampling_se <= 0.004
        errors.append((sample.overall["between_sub"].value - exact.overall["between_sub"].value) / sample.sampling_se)
    assert np.abs(errors).max() < 3.5
    all_of_it = measure_similarity(images, labels, "abc", standard_error=1e-9, exact_pairs=100)
    assert all_of_it.pairs == exact.pairs
    assert all_of_it.overall["within"].value == pytest.approx(exact.overall["within"].value, rel=1e-6)


@pytest.mark.parametrize("exact_pairs", [10**6, 100])
def test_intervals_hold_the_truth_over_new_images(exact_pairs):
    """The value of a large set of the same kind lies in 95 of 100 intervals of small ones; here at least 33 of 40."""
    labels = np.tile(np.arange(2), 400)
    strength = np.random.default_rng(9).uniform(0.1, 0.8, (20_000, 1, 1, 1))  # images differ in how clear they are

    def draw(seed, count):
        share = np.random.default_rng(seed).permutation(strength)[:count]
        return noisy(PATTERNS, labels[:count], share, seed)

    truth = measure_similarity(draw(1, 800), labels, "ab").overall["between_sub"].value
    inside = 0
    for seed in range(40):
        estimate = measure_similarity(
            draw(100 + seed, 60), labels[:60], "ab", standard_error=0.02, exact_pairs=exact_pairs, seed=seed
        ).overall["between_sub"]
        inside += estimate.low <= truth <= estimate.high
    assert inside >= 33


def test_sprites_come_out_in_the_order_of_what_sets_them_apart():
    """The more factors move the shapes, the less alike they are."""
    labels, contrasts = np.arange(240) % 2, []
    for factors in (1, 3, 5):
        images = render(draw_factors(240, factors, 0), labels, 24, 1)
        contrasts.append(measure_similarity(images, labels, ["ellipse", "rectangle"]).overall["between_sub"].value)
    assert contrasts == sorted(contrasts, reverse=True)


def test_classes_without_and_with_one_image_are_noted():
    labels = np.array([0, 0, 0, 2, -1])
    similarity = measure_similarity(noisy(PATTERNS, labels.clip(0), 0.5), labels, ["a", "b", "c"])
    assert similarity.classes == ("a", "c")
    assert any("'b' has no images" in note for note in similarity.notes)
    assert any("'c' has one image" in note for note in similarity.notes)
    assert np.isnan(similarity.matrix[1, 1])
    assert similarity.overall["within"] is None
    assert similarity.overall["between_sub"] is not None


def test_clusters_stand_together():
    matrix = np.full((6, 6), 0.1)
    for block in ([0, 3, 5], [1, 2, 4]):
        matrix[np.ix_(block, block)] = 0.8
    order = cluster_order(matrix)
    assert {*order[:3]} in ({0, 3, 5}, {1, 2, 4})
    assert sorted(order) == list(range(6))
    assert list(cluster_order(matrix[:2, :2])) == [0, 1]


@pytest.mark.parametrize("classes", [12, 60])
def test_groups_are_the_most_and_the_least_alike(classes):
    rng = np.random.default_rng(0)
    matrix = rng.uniform(0, 1, (classes, classes))
    matrix = (matrix + matrix.T) / 2

    def similarity(group):
        return np.mean([matrix[a, b] for a in group for b in group if a < b])

    alike, unlike, random = (class_groups(matrix, 3, 3, kind, 0) for kind in ("alike", "unlike", "random"))
    for groups in (alike, unlike, random):
        assert len({*groups}) == 3
        assert all(len({*group}) == 3 for group in groups)
    assert min(map(similarity, alike)) > max(map(similarity, unlike))
    assert similarity(alike[0]) >= max(map(similarity, random))
    assert class_groups(matrix, 3, 3, "random", 0) == random
