"""Attention maps against explicit loops, finite differences and the grad-cam package; overlaps of known masks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from workflow_scripts.distillation.attention import (
    attention_maps,
    attention_rollout,
    class_activation,
    count_overlaps,
    grad_cam,
    overlap_estimates,
    pairwise_means,
    rollout_maps,
)


class ToyNet(nn.Module):
    """Convolutions whose last feature map is followed by an activation, pooling and a hidden layer."""

    def __init__(self):
        super().__init__()
        self.in_place = False
        self.stem = nn.Conv2d(3, 6, 3, padding=1, stride=2)
        self.last = nn.Conv2d(6, 8, 3, padding=1, stride=2)
        self.hidden = nn.Linear(8, 16)
        self.head = nn.Linear(16, 5)

    def tail(self, features):
        return self.head(torch.tanh(self.hidden(nn.functional.relu(features, inplace=self.in_place).mean((2, 3)))))

    def forward(self, images):
        return self.tail(self.last(torch.tanh(self.stem(images))))


@pytest.fixture
def toy():
    generator = torch.Generator().manual_seed(3)
    net = ToyNet().eval()
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 2
    return net, torch.randn(4, 3, 16, 16, generator=generator)


def test_class_activation_is_the_head_at_every_place():
    generator = torch.Generator().manual_seed(0)
    features, weight = torch.randn(2, 4, 3, 3, generator=generator), torch.randn(5, 4, generator=generator)
    classes = torch.tensor([1, 4])
    summed, single = class_activation(features, weight), class_activation(features, weight, classes)
    for image in range(2):
        for row in range(3):
            for column in range(3):
                at_place = [sum(weight[c, d] * features[image, d, row, column] for d in range(4)) for c in range(5)]
                assert summed[image, row, column] == pytest.approx(float(sum(at_place)), abs=1e-5)
                assert single[image, row, column] == pytest.approx(float(at_place[classes[image]]), abs=1e-5)
    convolved = nn.functional.conv2d(features, weight[:, :, None, None]).sum(1)
    torch.testing.assert_close(summed, convolved)


def test_grad_cam_agrees_with_the_grad_cam_package(toy):
    net, images = toy
    classes = torch.tensor([0, 3, 1, 4])
    with GradCAM(net, [net.last]) as theirs:
        expected = theirs(images, [ClassifierOutputTarget(int(one)) for one in classes])
    ours = attention_maps(grad_cam(net, net.last, images, classes), (16, 16))
    assert expected.max() > 0.9
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-5)
    with GradCAM(net, [net.last]) as theirs:
        expected = theirs(images, None)
    np.testing.assert_allclose(attention_maps(grad_cam(net, net.last, images), (16, 16)).numpy(), expected, atol=1e-5)


def test_grad_cam_weights_are_the_derivatives_of_the_logit(toy):
    net, images = toy
    net, images = net.double(), images.double()
    classes = torch.tensor([2, 0, 4, 1])
    with torch.no_grad():
        features, step = net.last(torch.tanh(net.stem(images))), 1e-6
        expected = torch.zeros(4, 4, 4, dtype=torch.float64)
        for channel in range(8):
            slope = torch.zeros(4, dtype=torch.float64)
            for row in range(4):
                for column in range(4):
                    moved = torch.zeros_like(features)
                    moved[:, channel, row, column] = step
                    difference = (net.tail(features + moved) - net.tail(features - moved)) / (2 * step)
                    slope += difference[torch.arange(4), classes]
            expected += slope[:, None, None] / 16 * features[:, channel]
        expected = expected.relu()
    assert expected.max() > 0
    torch.testing.assert_close(grad_cam(net, net.last, images, classes), expected.float(), rtol=1e-4, atol=1e-5)


def test_grad_cam_of_pooling_and_a_linear_head_is_the_class_activation_above_zero():
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)).eval()
    images = torch.randn(3, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        chosen = net(images).argmax(1)
        expected = class_activation(net[0](images), net[3].weight, chosen).relu() / 64
    torch.testing.assert_close(grad_cam(net, net[0], images), expected)


def test_grad_cam_leaves_no_trace_and_refuses_layers_without_a_map(toy):
    net, images = toy
    expected = grad_cam(net, net.last, images)
    net.requires_grad_(False)
    net.in_place = True
    with torch.no_grad():
        torch.testing.assert_close(grad_cam(net, net.last, images), expected, rtol=0, atol=0)
    assert not net.last._forward_hooks
    assert all(parameter.grad is None for parameter in net.parameters())
    with pytest.raises(ValueError, match="feature map"):
        grad_cam(net, net.hidden, images)
    assert not net.hidden._forward_hooks
    with pytest.raises(ValueError, match="feature map"):
        grad_cam(net, nn.Conv2d(1, 1, 1), images)


def test_rollout_follows_the_explicit_recursion():
    attention = torch.randn(3, 2, 4, 7, 7, generator=torch.Generator().manual_seed(2)).softmax(-1)
    joint = attention_rollout(attention)
    for image in range(2):
        expected = np.eye(7)
        for layer in attention[:, image].double().numpy():
            mixed = 0.5 * sum(layer) / 4 + 0.5 * np.eye(7)
            expected = (mixed / mixed.sum(1, keepdims=True)) @ expected
        np.testing.assert_allclose(joint[image].numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(joint.sum(-1).numpy(), 1, atol=1e-5)
    torch.testing.assert_close(rollout_maps(attention, (2, 3)), joint[:, 0, 1:].reshape(2, 2, 3))
    torch.testing.assert_close(rollout_maps(list(attention), (1, 7))[:, 0], joint.mean(1))
    with pytest.raises(ValueError, match="7 tokens"):
        rollout_maps(attention, (2, 2))
    with pytest.raises(ValueError, match="at least one layer"):
        attention_rollout([])


def test_maps_span_zero_to_one_and_constant_ones_are_empty():
    raw = torch.randn(5, 4, 4, generator=torch.Generator().manual_seed(4))
    raw[2], raw[3] = 1 / 3, 0
    maps = attention_maps(raw, (13, 9))
    assert maps.shape == (5, 13, 9)
    varied = [0, 1, 4]
    assert (maps[varied].amin((1, 2)) == 0).all()
    assert (maps[varied].amax((1, 2)) == 1).all()
    assert (maps[2:4] == 0).all()
    torch.testing.assert_close(maps, attention_maps(7 * raw - 2, (13, 9)), rtol=0, atol=1e-5)
    torch.testing.assert_close(maps, attention_maps(maps, (13, 9)), rtol=0, atol=0)


def as_masks(*models):
    """Maps that attention_maps leaves as they are: a mask and where it is."""
    return [np.asarray(one, dtype=np.float32) for one in models]


def masks_of(models, images, shares, seed=0, side=32):
    random = np.random.default_rng(seed)
    maps = (random.random((models, images, side, side)) < np.array(shares)[:, None, None, None]).astype(np.float32)
    return list(maps)


@given(arrays(bool, (3, 5, 2, 3)))
@settings(max_examples=60, deadline=None)
def test_overlaps_are_those_of_sets(masks):
    found = count_overlaps(as_masks(*masks), (2, 3))
    # A mask that is full is a constant map, which shows no place.
    masks = masks & ~masks.all((2, 3), keepdims=True)
    for n in range(5):
        sets = [set(np.flatnonzero(mask[n])) for mask in masks]
        for i, a in enumerate(sets):
            assert found.area[i, n] == len(a) / 6
            for j, b in enumerate(sets):
                iou = len(a & b) / len(a | b) if a | b else 1
                assert found.iou[i, j, n] == pytest.approx(iou)
                p, q = len(a) / 6, len(b) / 6
                if p + q == 0:
                    assert np.isnan(found.chance[i, j, n])
                    assert np.isnan(found.corrected[i, j, n])
                else:
                    chance = p * q / (p + q - p * q)
                    assert found.chance[i, j, n] == pytest.approx(chance)
                    assert found.corrected[i, j, n] == pytest.approx((iou - chance) / (1 - chance))
                other = set(np.flatnonzero(masks[j][(n - 2) % 5]))
                assert found.shuffled[i, j, n] == pytest.approx(len(a & other) / len(a | other) if a | other else 1)
        assert found.common[n] == len(set.intersection(*sets))
        assert found.either[n] == len(set.union(*sets))
    expected = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            batches = [(masks[i][s] & masks[j][s], masks[i][s] | masks[j][s]) for s in (slice(0, 2), slice(2, 4), [4])]
            expected[i, j] = np.mean([both.sum() / any_.sum() if any_.sum() else 1 for both, any_ in batches])
    np.testing.assert_allclose(found.pooled(2), expected)


def test_a_model_overlaps_with_itself_fully():
    raw = np.random.default_rng(0).normal(size=(50, 4, 4)).astype(np.float32)
    found = overlap_estimates(count_overlaps([raw, raw], (16, 16)))
    for name in ("iou", "iou_corrected", "iou_pooled", "iou_all"):
        assert found[name].value == pytest.approx(1)
    assert found["iou"].low == found["iou"].high == 1
    assert found["iou_shuffled"].value < 0.6
    assert 0.2 < found["area"].value < 0.8


def test_random_masks_overlap_by_chance():
    counts = count_overlaps(masks_of(3, 400, (0.3, 0.6, 0.45)), (32, 32))
    found = overlap_estimates(counts, [(0, 1)])
    expected = 0.18 / 0.72
    assert found["iou"].value == pytest.approx(expected, abs=0.003)
    assert found["iou_pooled"].value == pytest.approx(expected, abs=0.003)
    assert found["iou_chance"].value == pytest.approx(expected, abs=0.003)
    assert found["iou_shuffled"].value == pytest.approx(expected, abs=0.003)
    assert found["iou_corrected"].low <= 0.001
    assert found["iou_corrected"].high >= -0.001
    assert found["area"].value == pytest.approx(0.45, abs=0.003)
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
        found = overlap_estimates(count_overlaps(as_masks(first, second), (32, 32)))
        corrected.append(found["iou_corrected"].value)
        plain.append(found["iou"].value)
    assert plain[0] - plain[1] > 0.2
    assert abs(corrected[0] - corrected[1]) < 0.15


def test_chunks_change_nothing_but_which_images_are_shuffled(monkeypatch):
    raw = [np.random.default_rng(one).normal(size=(23, 3 + one, 4)).astype(np.float32) for one in range(2)]
    whole = count_overlaps(raw, (12, 12))
    monkeypatch.setattr("workflow_scripts.distillation.attention.VALUES_AT_A_TIME", 1)
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
