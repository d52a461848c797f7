"""Attention maps against explicit loops, finite differences and the grad-cam package."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from workflow_scripts.distillation.attention import (
    attention_maps,
    attention_rollout,
    class_activation,
    grad_cam,
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
        expected = theirs(images, [ClassifierOutputTarget(int(number)) for number in classes])
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
