"""Both protocols of distillation: teachers in the loop, and what they said of stored views."""

import numpy as np
import pytest
import torch

from workflow_scripts.classifiers.augmentation import draw_view
from workflow_scripts.classifiers.presets import ClassifierSettings
from workflow_scripts.classifiers.training import build_classifier, predict, train_classifier
from workflow_scripts.distillation.targets import fresh_target, look_at_views, stored_target
from workflow_scripts.training.checkpoints import Checkpoints

CPU = torch.device("cpu")
DESIGN = {"alpha": 0.3, "temperature": 4.0, "combination": "losses", "crops": "own"}
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1), dtype=np.uint8))
LABELS = torch.arange(40) % 3


def teacher(rung, seed=0):
    settings = ClassifierSettings(steps=4, batch=8, width=4, augmentation=rung)
    return build_classifier(settings, IMAGES, 3, seed, CPU).eval()


def batch(seed=1):
    random = torch.Generator().manual_seed(seed)
    indices = torch.randperm(40, generator=random)[:8]
    return torch.randn(8, 3, generator=random), LABELS[indices], indices


def test_without_augmentation_both_protocols_are_one():
    teachers = [teacher("none", seed) for seed in range(2)]
    stored = np.stack([look_at_views(model, IMAGES, 3, 0) for model in teachers])
    logits, labels, indices = batch()
    fresh = fresh_target(teachers, IMAGES, DESIGN)(logits, labels, indices, draw_view("weak", 8, 0.5))
    kept = stored_target(torch.from_numpy(stored), DESIGN)(logits, labels, indices, draw_view("weak", 8, 0.5))
    torch.testing.assert_close(fresh, kept)


def test_stored_views_are_the_seeds_and_differ_where_the_teacher_is_augmented():
    model = teacher("strong")
    views = look_at_views(model, IMAGES, 3, 5)
    assert views.shape == (3, 40, 3)
    np.testing.assert_array_equal(views, look_at_views(model, IMAGES, 3, 5))
    assert not np.allclose(views[0], views[1])
    assert not np.allclose(views, look_at_views(model, IMAGES, 3, 6))
    still = look_at_views(teacher("none"), IMAGES, 2, 5)
    np.testing.assert_allclose(still[0], predict(teacher("none"), IMAGES).numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(still[0], still[1])


def test_each_image_is_held_against_its_own_stored_logits():
    # Teachers that are sure of a class that depends on the image alone: only the right rows give a small loss.
    sure = 30.0 * torch.nn.functional.one_hot(torch.arange(40) % 3, 3).float()
    stored = sure.expand(2, 4, 40, 3).clone()
    _, labels, indices = batch()
    design = DESIGN | {"alpha": 0.0, "temperature": 1.0}
    assert float(stored_target(stored, design)(sure[indices], labels, indices, None)) < 1e-6
    assert float(stored_target(stored, design)(sure[(indices + 1) % 40], labels, indices, None)) > 20


def test_every_stored_view_is_drawn():
    # The first view agrees with the student, the second does not: both must come up.
    agree = torch.zeros(40, 3)
    stored = torch.stack([agree, 30.0 * torch.nn.functional.one_hot(LABELS, 3).float()])[None]
    _, labels, indices = batch()
    torch.manual_seed(0)
    loss = stored_target(stored, DESIGN | {"alpha": 0.0, "temperature": 1.0})
    losses = torch.stack([loss(torch.zeros(8, 3), labels, indices, None) for _ in range(200)])
    assert float(losses.mean()) == pytest.approx(np.log(3) / 2, rel=0.1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_teacher_in_the_loop_computes_in_its_own_precision(precision):
    settings = ClassifierSettings(steps=4, batch=8, width=4, augmentation="none", precision=precision)
    model = build_classifier(settings, IMAGES, 3, 0, CPU).eval()
    formats = []
    model.head.register_forward_hook(lambda layer, inputs, output: formats.append(output.dtype))
    logits, labels, indices = batch()
    loss = fresh_target([model], IMAGES, DESIGN)(logits, labels, indices, draw_view("none", 8, 1.0))
    assert formats == [getattr(torch, precision)]
    assert loss.dtype == torch.float32  # the student's logits and the loss stay so


def test_shared_crops_show_the_teacher_what_the_student_sees():
    model = teacher("weak")
    logits, labels, indices = batch()
    torch.manual_seed(0)
    view = draw_view("weak", 8, 0.3)
    shared = fresh_target([model], IMAGES, DESIGN | {"crops": "shared"})
    assert torch.equal(*(shared(logits, labels, indices, view) for _ in range(2)))  # rung weak: the crop is all
    own = fresh_target([model], IMAGES, DESIGN)
    assert not torch.equal(*(own(logits, labels, indices, view) for _ in range(2)))


@pytest.mark.parametrize("protocol", ["fresh", "stored"])
def test_a_student_of_alpha_one_is_plain_training_to_the_bit(protocol, tmp_path):
    teachers, design = [teacher("weak")], DESIGN | {"alpha": 1.0}
    if protocol == "fresh":
        loss = fresh_target(teachers, IMAGES, design)
    else:
        loss = stored_target(torch.from_numpy(look_at_views(teachers[0], IMAGES, 2, 0))[None], design)
    settings = ClassifierSettings(steps=6, batch=8, width=4, augmentation="strong")
    trained = []
    for number, model in enumerate((None, loss)):
        student = build_classifier(settings, IMAGES, 3, 7, CPU)
        train_classifier(student, IMAGES, LABELS, 7, Checkpoints(tmp_path / str(number)), loss=model)
        trained.append(student.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
