"""Why maps summed over classes show how the head started: no loss moves the sum of the head's class weights."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from workflow_scripts.classifiers.losses import balanced_softmax, class_weights, distillation_loss
from workflow_scripts.classifiers.presets import ClassifierSettings
from workflow_scripts.classifiers.training import build_classifier, train_classifier
from workflow_scripts.distillation.looking import look, with_another_start
from workflow_scripts.training.checkpoints import Checkpoints

CPU = torch.device("cpu")
COUNTS = torch.tensor([30, 9, 4, 1, 0])
LOSSES = {
    "cross-entropy": lambda logits, labels, _: cross_entropy(logits, labels),
    "label smoothing": lambda logits, labels, _: cross_entropy(logits, labels, label_smoothing=0.1),
    "class weights": lambda logits, labels, _: cross_entropy(logits, labels, class_weights(COUNTS)),
    "balanced softmax": lambda logits, labels, _: cross_entropy(balanced_softmax(logits, COUNTS), labels),
} | {
    f"distillation, {combination}, alpha {alpha}": lambda logits, labels, teachers, kind=combination, share=alpha: (
        distillation_loss(logits, labels, teachers, share, 3.0, kind, 0.1)
    )
    for combination in ("losses", "logits", "probabilities")
    for alpha in (0.0, 0.6, 1.0)
}


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_has_a_gradient_for_the_sum_of_the_class_weights(name):
    random = torch.Generator().manual_seed(0)
    features, weight, labels, teachers = (
        torch.randn(16, 7, generator=random).double(), torch.randn(5, 7, generator=random).double().requires_grad_(),
        torch.randint(0, 4, (16,), generator=random), torch.randn(2, 16, 5, generator=random).double(),
    )  # fmt: skip
    logits = features @ weight.T
    loss = LOSSES[name](logits.float() if name == "class weights" else logits, labels, teachers)
    (gradient,) = torch.autograd.grad(loss, weight)
    assert gradient.abs().max() > 1e-4
    assert gradient.sum(0).abs().max() < 1e-6 * gradient.abs().max() * len(gradient)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1), dtype=np.uint8))
    settings = ClassifierSettings(steps=20, batch=16, width=4, weight_decay=5e-3)
    network = build_classifier(settings, images, 4, 1, CPU)
    start = network.head.weight.detach().clone()
    train_classifier(network, images, torch.arange(40) % 4, 1, Checkpoints(tmp_path_factory.mktemp("checkpoints")))
    return network.eval(), start, images.permute(0, 3, 1, 2).float() / 255


def test_training_keeps_the_direction_of_the_sum_and_changes_everything_else(trained):
    network, start, _ = trained
    weight = network.head.weight.detach()
    assert torch.cosine_similarity(weight.sum(0), start.sum(0), 0) == pytest.approx(1, abs=1e-4)
    assert torch.cosine_similarity((weight - weight.mean(0)).flatten(), (start - start.mean(0)).flatten(), 0) < 0.97


def test_another_start_changes_the_summed_map_and_no_prediction(trained):
    network, _, images = trained
    other = with_another_start(network, 5)
    (logits, before, _), (moved, after, _) = look(network, images, "class_sum"), look(other, images, "class_sum")
    torch.testing.assert_close(moved.softmax(1), logits.softmax(1), rtol=1e-3, atol=1e-5)
    assert not torch.allclose(before, after, rtol=0.1)
    lengths = [float(each.head.weight.detach().mean(0).norm()) for each in (network, other)]
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-3)
