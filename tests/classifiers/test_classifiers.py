"""Classifiers: networks of one shape, augmentation in batches, losses against explicit forms, resumable training."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot
from torchvision.transforms.v2 import functional as reference

from workflow_scripts.classifiers.augmentation import OPERATIONS, View, apply_view, augment, draw_view
from workflow_scripts.classifiers.losses import balanced_softmax, class_weights, distillation_loss
from workflow_scripts.classifiers.networks import Classifier, load_classifier, save_classifier
from workflow_scripts.classifiers.presets import LADDER, WITHOUT_CLASS_MAPS, ClassifierSettings
from workflow_scripts.classifiers.training import build_classifier, predict, rate_at, train_classifier
from workflow_scripts.core.errors import InputError
from workflow_scripts.data.sources import open_source
from workflow_scripts.distillation.attention import grad_cam
from workflow_scripts.training.checkpoints import Checkpoints

CPU = torch.device("cpu")
TINY = ClassifierSettings(steps=12, batch=8, width=4, augmentation="strong")


def random_images(count=6, side=16, channels=3, seed=0):
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rung", LADDER)
@pytest.mark.parametrize("channels", [1, 3])
def test_views_keep_shape_and_range_and_are_the_seeds(rung, channels):
    images = random_images(channels=channels)
    shown = []
    for _ in range(2):
        torch.manual_seed(3)
        shown.append(augment(images, rung, 0.3))
    assert shown[0].shape == images.shape
    assert shown[0].min() >= 0
    assert shown[0].max() <= 1
    assert torch.equal(*shown)
    if rung == "none":
        assert torch.equal(shown[0], images)
    else:  # each image goes its own way
        same = images[:1].expand(6, -1, -1, -1)
        assert len(torch.unique(augment(same, rung, 0.3).flatten(1), dim=0)) == 6


@pytest.mark.parametrize("rung", LADDER)
def test_a_kept_view_shows_the_same_again_also_in_part(rung):
    images, view = random_images(), draw_view(rung, 6, 0.3)
    whole = apply_view(images, view)
    rows = torch.tensor([4, 1])
    torch.testing.assert_close(apply_view(images[rows], view.at(rows)), whole[rows])


def test_the_ladder_moves_images_further_from_rung_to_rung():
    images = random_images(400, seed=1)
    torch.manual_seed(0)
    moved = [float((augment(images, rung, 0.5) - images).square().mean()) for rung in LADDER]
    assert moved[0] == 0
    assert moved[1] > 0
    assert moved[3] > moved[2]


def test_crops_of_others_can_be_shared():
    strong, weak = draw_view("strong", 6, 0.3), draw_view("weak", 6, 0.3)
    assert torch.equal(strong.with_crop_of(weak).affine, weak.affine)


def view_of(affine):
    none = torch.zeros(1, 0)
    return View(torch.tensor([affine]), none.long(), none, torch.zeros(1, 3))


def test_the_affine_part_is_torchvisions():
    image = random_images(1)
    flipped = apply_view(image, view_of([[-1.0, 0, 0], [0, 1, 0]]))
    torch.testing.assert_close(flipped, reference.horizontal_flip(image))
    quarter = apply_view(image, view_of([[0.5, 0, -0.5], [0, 0.5, 0.5]]))  # the lower left quarter
    expected = reference.resize(image[..., 8:, :8], [16, 16], antialias=False)
    torch.testing.assert_close(quarter[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-5, rtol=0)


def test_the_cut_out_square_has_its_size_and_place():
    none = torch.zeros(1, 0)
    view = View(torch.eye(2, 3)[None], none.long(), none, torch.tensor([[-0.5, 0.5, 0.25]]))
    shown = apply_view(torch.zeros(1, 1, 16, 16), view)
    assert shown.sum() == 0.5 * 16
    assert (shown[0, 0, 10:14, 2:6] == 0.5).all()


def operated(images, names, magnitude):
    """Each image of the batch after the operation of its name."""
    operation = torch.tensor([[OPERATIONS.index(name)] for name in names])
    nothing_else = torch.eye(2, 3).repeat(len(images), 1, 1), torch.zeros(len(images), 3)
    return apply_view(
        images, View(nothing_else[0], operation, torch.full((len(images), 1), magnitude), nothing_else[1])
    )


@pytest.mark.parametrize(
    ("name", "other", "magnitude"),
    [
        ("brightness", lambda x: reference.adjust_brightness(x, 1.4), 0.4),
        ("contrast", lambda x: reference.adjust_contrast(x, 1.4), 0.4),
        ("colour", lambda x: reference.adjust_saturation(x, 0.5), -0.5),
        ("stretch", reference.autocontrast, 0.3),
        ("solarise", lambda x: reference.solarize(x, 0.7), 0.3),
        ("posterise", lambda x: (x * 64).floor().clamp(max=63) / 63, 0.4),
        ("invert", reference.invert, 0.8),
        ("invert", lambda x: x, 0.2),
        ("shift_x", lambda x: reference.affine(reference.pad(x, [8] * 4, padding_mode="symmetric"), 0, [-4, 0], 1, [0])[
            ..., 8:-8, 8:-8], 0.5 / 0.6),
    ],
)  # fmt: skip
def test_operations_are_torchvisions(name, other, magnitude):
    images = random_images()
    if name in ("colour", "contrast"):  # torchvision weighs the channels; without colour both agree
        images = images[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(operated(images, [name] * 6, magnitude), other(images), atol=2e-4, rtol=0)


def test_images_of_one_batch_go_through_different_operations_each_by_itself():
    images = random_images(len(OPERATIONS))
    together = operated(images, OPERATIONS, 0.7)
    for place, name in enumerate(OPERATIONS):
        torch.testing.assert_close(together[place : place + 1], operated(images[place : place + 1], [name], 0.7))


def test_equalised_values_are_evenly_spread():
    shown = operated(random_images(2, 16, 1) ** 4, ["equalise"] * 2, 0.0)
    torch.testing.assert_close(shown.flatten(1).sort().values, torch.linspace(0, 1, 256).expand(2, -1))


@pytest.mark.parametrize("architecture", ["resnet8", "resnet14", "vit", "resnet18"])
@pytest.mark.parametrize(("resolution", "channels"), [(16, 1), (32, 3)])
def test_every_network_is_a_linear_head_on_its_mean_feature_map(architecture, resolution, channels, tmp_path):
    settings = ClassifierSettings(steps=1, batch=2, width=4, architecture=architecture)
    network = Classifier(settings, resolution, channels, 5).eval()
    x = random_images(2, resolution, channels)
    features = network.features(x)
    assert features.shape[2] >= 2
    torch.testing.assert_close(network(x), network.head(features.mean((2, 3))))
    if architecture == "resnet18":  # torchvision's own path gives the same
        torch.testing.assert_close(network(x), network.body.network(((x - 0.5) / 0.25).expand(-1, 3, -1, -1)))
    files = tmp_path / "weights.safetensors", tmp_path / "network.json"
    save_classifier(*files, network)
    torch.testing.assert_close(load_classifier(*files, CPU)(x), network(x))
    if architecture == "vit":
        weights = network.attention(x)
        assert weights.shape[:3] == (4, 2, 4)
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    else:
        with pytest.raises(InputError, match="roll-out"):
            network.attention(x)


@pytest.mark.parametrize(
    ("architecture", "resolution"),
    [
        ("alexnet", 64), ("convnext_tiny", 32), ("densenet121", 32), ("efficientnet_b0", 32), ("googlenet", 32),
        ("mobilenet_v2", 32), ("mobilenet_v3_small", 32), ("shufflenet_v2_x0_5", 32), ("squeezenet1_1", 32),
        ("swin_t", 32), ("vit_b_16", 48),
    ],
)  # fmt: skip
def test_torchvisions_families_have_feature_maps_and_class_maps_where_linear(architecture, resolution):
    torch.manual_seed(0)
    network = Classifier(ClassifierSettings(steps=1, batch=2, architecture=architecture), resolution, 1, 5).eval()
    x = random_images(2, resolution, 1)
    logits, features = network(x), network.features(x)
    torch.testing.assert_close(logits, network.body.network(((x - 0.5) / 0.25).expand(-1, 3, -1, -1)))
    assert features.ndim == 4
    if architecture.startswith(WITHOUT_CLASS_MAPS):
        with pytest.raises(InputError, match=f"{architecture}.*grad_cam"):
            _ = network.head
    else:
        torch.testing.assert_close(network.head(features.mean((2, 3))), logits, rtol=1e-3, atol=1e-4)
    shown = grad_cam(network, network.last_layer, x, torch.tensor([1, 3]))
    assert shown.shape == (2, *features.shape[2:])
    assert shown.isfinite().all()
    names = [name for name, _ in network.named_parameters()]
    assert all(name.startswith("body.network.") for name in names)


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        ("resnet1", "expected resnet8"),
        ("mlp", "expected resnet8"),
        ("maxvit_t", "images of 32 px"),
        ("vit_b_32", "40 px"),
    ],
)
def test_networks_that_are_unknown_or_take_no_such_images_are_refused(architecture, words):
    resolution = 40 if "40" in words else 32
    with pytest.raises(InputError, match=f"architecture.*{architecture}.*{words}"):
        Classifier(ClassifierSettings(steps=1, batch=2, architecture=architecture), resolution, 3, 5)


@pytest.mark.parametrize(("stem", "places"), [("auto", 4), ("full", 1), ("small", 4)])
def test_the_stem_of_a_residual_network_keeps_the_resolution_of_small_images_or_not(stem, places):
    network = Classifier(ClassifierSettings(steps=1, batch=2, architecture="resnet18", stem=stem), 32, 3, 5).eval()
    assert network.features(random_images(1, 32)).shape[2:] == (places, places)


def test_class_weights_and_balanced_softmax_are_their_definitions():
    counts = torch.tensor([60, 30, 10])
    torch.testing.assert_close(class_weights(counts), 100 / (3 * counts.float()))
    assert class_weights(torch.tensor([5, 0]))[1] == 0
    logits, labels = torch.randn(7, 3), torch.arange(7) % 3
    explicit = counts * logits.exp()
    explicit = -(explicit / explicit.sum(1, keepdim=True))[torch.arange(7), labels].log().mean()
    torch.testing.assert_close(cross_entropy(balanced_softmax(logits, counts), labels), explicit)


@pytest.mark.parametrize("combination", ["losses", "logits", "probabilities"])
def test_the_distillation_loss_is_its_definition(combination):
    torch.manual_seed(0)
    logits, labels, teachers = torch.randn(5, 4), torch.arange(5) % 4, torch.randn(3, 5, 4)
    student = (logits / 3).softmax(-1)

    def divergence(target):
        return (target * (target.log() - student.log())).sum(-1).mean()

    soft = {
        "losses": torch.stack([divergence((teacher / 3).softmax(-1)) for teacher in teachers]).mean(),
        "logits": divergence((teachers.mean(0) / 3).softmax(-1)),
        "probabilities": divergence((teachers / 3).softmax(-1).mean(0)),
    }[combination]
    hard = -(one_hot(labels, 4) * logits.log_softmax(-1)).sum(-1).mean()
    loss = distillation_loss(logits, labels, teachers, 0.6, 3.0, combination)
    torch.testing.assert_close(loss, 0.6 * hard + 0.4 * 9 * soft)


@pytest.fixture(scope="module")
def clothing():
    rng = np.random.default_rng(0)
    labels = torch.arange(40) % 4
    images = torch.from_numpy(rng.integers(0, 60, (40, 8, 8, 1), dtype=np.uint8))
    for label in range(4):  # a bright corner for each class
        rows = labels == label
        images[rows, 4 * (label // 2) : 4 * (label // 2) + 4, 4 * (label % 2) : 4 * (label % 2) + 4] += 150
    return images, labels


def trained(clothing, folder, on_step=None, settings=TINY, **options):
    images, labels = clothing
    network = build_classifier(settings, images, 4, 1, CPU)
    options |= {"validation": (images, labels), "on_step": on_step}
    return network, train_classifier(network, images, labels, 1, Checkpoints(folder, 0.0), **options)


def test_resumed_training_gives_the_same_bytes(clothing, tmp_path):
    expected, record = trained(clothing, tmp_path / "whole")

    def kill(done):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(clothing, tmp_path / "cut", kill)
    resumed, again = trained(clothing, tmp_path / "cut")
    for name, value in expected.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert again.curve == record.curve
    assert all(torch.equal(*pair) for pair in zip(again.predictions, record.predictions, strict=True))


def test_a_distillation_with_alpha_one_is_plain_training_to_the_bit(clothing, tmp_path):
    teachers = torch.randn(2, 40, 4)

    def loss(logits, labels, indices, view):
        return distillation_loss(logits, labels, teachers[:, indices], 1.0, 3.0)

    (plain, _), (distilled, _) = trained(clothing, tmp_path / "a"), trained(clothing, tmp_path / "b", loss=loss)
    for name, value in plain.state_dict().items():
        assert torch.equal(distilled.state_dict()[name], value), name


def test_it_learns_and_predicts_what_its_record_says(clothing, tmp_path):
    settings = ClassifierSettings(steps=40, batch=16, width=4, augmentation="none", learning_rate=0.2)
    network, record = trained(clothing, tmp_path, settings=settings)
    assert record.curve[-1][3] == 1
    assert (predict(network, clothing[0]).argmax(1) == clothing[1]).all()
    assert torch.equal(record.predictions[-1], clothing[1])
    assert len(record.predictions) == 2


def test_repetition_shows_every_class_equally_often(tmp_path):
    images = torch.zeros(22, 8, 8, 1, dtype=torch.uint8)
    labels = torch.tensor([0] * 19 + [1] * 3)
    seen = []

    def loss(logits, targets, indices, view):
        seen.append(targets)
        return cross_entropy(logits, targets)

    settings = ClassifierSettings(steps=19, batch=2, width=2, augmentation="none")
    network = build_classifier(settings, images, 2, 0, CPU)
    train_classifier(network, images, labels, 0, Checkpoints(tmp_path), remedy="repetition", loss=loss)
    assert torch.cat(seen).bincount().tolist() == [19, 19]


def test_a_diverged_training_stops_and_says_what_to_change(clothing, tmp_path):
    with pytest.raises(InputError, match=r"diverged.*learning_rate"):
        trained(clothing, tmp_path, loss=lambda logits, *_: logits.sum() * torch.nan)


def test_learning_rates_follow_their_schedules():
    steps = ClassifierSettings(steps=100, batch=1, schedule="steps", milestones=(0.3, 0.6), warm_up=0.1)
    assert [rate_at(steps, step) for step in (0, 9, 20, 30, 60, 99)] == pytest.approx([0.1, 1, 1, 0.1, 0.01, 0.01])
    cosine = ClassifierSettings(steps=100, batch=1, warm_up=0.0)
    assert [rate_at(cosine, step) for step in (0, 50)] == pytest.approx([1, 0.5])
    assert rate_at(cosine, 99) < 0.001


def test_real_clothing_is_told_apart(tmp_path):
    """Ten classes at 16 px after 60 small steps: far above the 10 % of chance."""
    images, labels = open_source({"source": "shipped", "name": "fashion-mnist-test"}).block(0, 1500)
    images, labels = torch.from_numpy(images[:, 6:22, 6:22].copy()), torch.from_numpy(labels).long()
    settings = ClassifierSettings(steps=60, batch=64, width=8, smallest_crop=0.7)
    network = build_classifier(settings, images, 10, 0, CPU)
    record = train_classifier(
        network, images[:1000], labels[:1000], 0, Checkpoints(tmp_path), (images[1000:], labels[1000:])
    )
    assert record.curve[-1][3] > 0.4


@pytest.mark.parametrize("width", [2, 4, 6, 8, 12, 16])
def test_the_gradients_of_narrow_networks_are_those_of_double_precision(width: int) -> None:
    """In channels-last memory, as in training: oneDNN's own strided 1 x 1 convolution gets these wrong, or crashes."""
    torch.manual_seed(0)
    settings = ClassifierSettings(steps=1, batch=1, width=width)
    network = Classifier(settings, 8, 1, 3).to(memory_format=torch.channels_last)
    exact = deepcopy(network).double().to(memory_format=torch.contiguous_format)
    images, labels = torch.rand(16, 1, 8, 8), torch.arange(16) % 3
    for model, pixels in ((network, images.to(memory_format=torch.channels_last)), (exact, images.double())):
        cross_entropy(model(pixels), labels).backward()
    for (name, parameter), true in zip(network.named_parameters(), exact.parameters(), strict=True):
        assert parameter.grad is not None
        scale = float(true.grad.abs().max()) + 1e-6
        torch.testing.assert_close(parameter.grad.double(), true.grad, rtol=0, atol=1e-4 * scale, msg=name)
