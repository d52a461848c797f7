"""Overlaps of known masks: sets, chance, and what shrinking masks do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from workflow_scripts.distillation.overlap import count_overlaps, overlap_estimates, pairwise_means


def as_masks(*models):
    """Maps that attention_maps leaves as they are: a mask and where it is."""
    return [np.asarray(model, dtype=np.float32) for model in models]


def masks_of(models, images, shares, seed=0, side=32):
    random = np.random.default_rng(seed)
    maps = (random.random((models, images, side, side)) < np.array(shares)[:, None, None, None]).astype(np.float32)
    return list(maps)


@given(arrays(bool, (3, 5, 2, 3)))
@settings(max_examples=60)
def test_overlaps_are_those_of_sets(masks):
    overlaps = count_overlaps(as_masks(*masks), (2, 3))
    # A mask that is full is a constant map, which shows no place.
    masks = masks & ~masks.all((2, 3), keepdims=True)
    for n in range(5):
        sets = [set(np.flatnonzero(mask[n])) for mask in masks]
        for i, a in enumerate(sets):
            assert overlaps.area[i, n] == len(a) / 6
            for j, b in enumerate(sets):
                iou = len(a & b) / len(a | b) if a | b else 1
                assert overlaps.iou[i, j, n] == pytest.approx(iou)
                p, q = len(a) / 6, len(b) / 6
                if p + q == 0:
                    assert np.isnan(overlaps.chance[i, j, n])
                    assert np.isnan(overlaps.corrected[i, j, n])
                else:
                    chance = p * q / (p + q - p * q)
                    assert overlaps.chance[i, j, n] == pytest.approx(chance)
                    assert overlaps.corrected[i, j, n] == pytest.approx((iou - chance) / (1 - chance))
                other = set(np.flatnonzero(masks[j][(n - 2) % 5]))
                assert overlaps.shuffled[i, j, n] == pytest.approx(len(a & other) / len(a | other) if a | other else 1)
        assert overlaps.common[n] == len(set.intersection(*sets))
        assert overlaps.either[n] == len(set.union(*sets))
    expected = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            batches = [(masks[i][s] & masks[j][s], masks[i][s] | masks[j][s]) for s in (slice(0, 2), slice(2, 4), [4])]
            expected[i, j] = np.mean([both.sum() / any_.sum() if any_.sum() else 1 for both, any_ in batches])
    np.testing.assert_allclose(overlaps.pooled(2), expected)


def test_a_model_overlaps_with_itself_fully():
    raw = np.random.default_rng(0).normal(size=(50, 4, 4)).astype(np.float32)
    overlaps = overlap_estimates(count_overlaps([raw, raw], (16, 16)))
    for name in ("iou", "iou_corrected", "iou_pooled", "iou_all"):
        assert overlaps[name].value == pytest.approx(1)
    assert overlaps["iou"].low == overlaps["iou"].high == 1
    assert overlaps["iou_shuffled"].value < 0.6
    assert 0.2 < overlaps["area"].value < 0.8


def test_random_masks_overlap_by_chance():
    counts = count_overlaps(masks_of(3, 400, (0.3, 0.6, 0.45)), (32, 32))
    overlaps = overlap_estimates(counts, [(0, 1)])
    expected = 0.18 / 0.72
    assert overlaps["iou"].value == pytest.approx(expected, abs=0.003)
    assert overlaps["iou_pooled"].value == pytest.approx(expected, abs=0.003)
    assert overlaps["iou_chance"].value == pytest.approx(expected, abs=0.003)
    assert overlaps["iou_shuffled"].value == pytest.approx(expected, abs=0.003)
    assert overlaps["iou_corrected"].low <= 0.001
    assert overlaps["iou_corrected"].high >= -0.001
    assert overlaps["area"].value == pytest.approx(0.45, abs=0.003)
    everyone = overlap_estimates(counts)
    assert everyone["iou_all"].value == pytest.approx(0.3 * 0.6 * 0.45 / (1 - 0.7 * 0.4 * 0.55), abs=0.003)
    pairs = counts.iou[[0, 0, 1], [1, 2, 2]].mean()
    assert everyone["iou"].value == pytest.approx(pairs)
    np.testing.assert_allclose(pairwise_means(counts.iou)[0, 1], counts.iou[0, 1].mean())


def test_shrinking_masks_lower_the_iou_but_not_the_corrected_one():
    """The same share of the first mask is hit at every size: what the correction is for."""
    random = np.random.default_rng(1)
    corrected, plain = [], []
    for share in (0.5, 0.1):
        first = random.random((200, 32, 32)) < share
        copied = random.random((200, 32, 32)) < 0.5
        second = np.where(copied, first, random.random((200, 32, 32)) < share)
        overlaps = overlap_estimates(count_overlaps(as_masks(first, second), (32, 32)))
        corrected.append(overlaps["iou_corrected"].value)
        plain.append(overlaps["iou"].value)
    assert plain[0] - plain[1] > 0.2
    assert abs(corrected[0] - corrected[1]) < 0.15


def test_chunks_change_nothing_but_which_images_are_shuffled(monkeypatch):
    raw = [np.random.default_rng(seed).normal(size=(23, 3 + seed, 4)).astype(np.float32) for seed in range(2)]
    whole = count_overlaps(raw, (12, 12))
    monkeypatch.setattr("workflow_scripts.distillation.overlap.VALUES_AT_A_TIME", 1)
    parts = count_overlaps(raw, (12, 12))
    for name in ("intersection", "common", "either"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    # Every image meets another one: of its own mask with itself, only that gives less than 1.
    assert (parts.shuffled[0, 0] < 1).all()


def test_no_pair_one_image_and_different_images():
    raw = np.random.default_rng(0).normal(size=(1, 4, 4)).astype(np.float32)
    alone = count_overlaps([raw], (8, 8))
    assert np.isnan(alone.shuffled).all()
    assert np.isnan(overlap_estimates(alone)["iou"].value)
    with pytest.raises(ValueError, match="same images"):
        count_overlaps([raw, np.repeat(raw, 2, axis=0)], (8, 8))
