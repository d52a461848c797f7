"""Augmentation: exact where nothing changes, what each operation is known to do where it does, differentiable twice."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from workflow_scripts.core.errors import InputError
from workflow_scripts.generators import augmentation
from workflow_scripts.generators.augmentation import (
    SYM6,
    Augmenter,
    diff_augment,
    mirrored,
    random_colour,
    random_geometry,
    supersampling,
)

CPU = torch.device("cpu")


def ada(resolution: int = 12, probability: float = 1.0) -> Augmenter:
    augmenter = Augmenter("ada", resolution, 0.6, 500, CPU)
    augmenter.probability.fill_(probability)
    return augmenter


def fixed_geometry(monkeypatch: pytest.MonkeyPatch, matrix: Tensor) -> None:
    monkeypatch.setattr(augmentation, "random_geometry", lambda count, *_: matrix.expand(count, 3, 3))
    monkeypatch.setattr(
        augmentation,
        "random_colour",
        lambda count, _, channels: torch.eye(channels, channels + 1).expand(count, -1, -1),
    )


def test_sym6_is_orthogonal_to_its_even_shifts() -> None:
    taps = torch.tensor(SYM6, dtype=torch.float64)
    products = torch.nn.functional.conv1d(taps[None, None], taps[None, None], padding=10)[0, 0, ::2]
    torch.testing.assert_close(products, torch.tensor([0.0] * 5 + [1.0] + [0.0] * 5, dtype=torch.float64))
    assert taps.sum() == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("resolution", [8, 17])
def test_halving_undoes_doubling_and_both_keep_constants(resolution: int) -> None:
    double, halve = supersampling(resolution)
    torch.testing.assert_close(halve @ double, torch.eye(resolution), rtol=0, atol=1e-6)
    torch.testing.assert_close(double.sum(1), torch.ones(len(double)))
    torch.testing.assert_close(halve.sum(1), torch.ones(resolution))


def test_mirrored_is_symmetric_padding() -> None:
    assert mirrored(torch.arange(-4, 8), 3).tolist() == [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]


@pytest.mark.parametrize("channels", [1, 3])
def test_adaptive_augmentation_starts_as_the_identity(channels: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(4, channels, 12, 12)
    torch.testing.assert_close(ada(probability=0.0)(images), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]], lambda x: x.flip(3)),
        ([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], lambda x: torch.rot90(x, 1, (2, 3))),
        ([[1.0, 0, 0.5], [0, 1, 0], [0, 0, 1]], lambda x: (x + x.roll(-1, 3)) / 2),
    ],
    ids=["flip", "quarter turn", "half a pixel"],
)
def test_geometry_moves_smooth_images_to_where_it_should(monkeypatch, matrix, expected) -> None:
    fixed_geometry(monkeypatch, torch.tensor(matrix))
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
    smooth = (torch.sin(2 * columns) + rows**2)[None, None]
    inside = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(ada(16)(smooth)[inside], expected(smooth)[inside], rtol=0, atol=0.02)


def test_whole_translations_move_the_image_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 16, 16)
    fixed_geometry(monkeypatch, torch.tensor([[1.0, 0, 2], [0, 1, -1], [0, 0, 1]]))
    moved = ada(16)(images)
    expected = images.roll((1, -2), (2, 3))
    torch.testing.assert_close(moved[..., 6:-6, 6:-6], expected[..., 6:-6, 6:-6], rtol=0, atol=1e-5)


def test_geometry_keeps_constants() -> None:
    torch.manual_seed(0)
    augmenter = ada()
    u, v = 40 * torch.randn(2, 3, 5, 5)
    samples = torch.ones(3, len(augmenter.double), len(augmenter.double), 2)
    torch.testing.assert_close(augmentation.resample(samples, u, v, 24, 5), torch.ones(3, 5, 5, 2))


def test_resample_is_bilinear() -> None:
    torch.manual_seed(0)
    samples = torch.randn(1, 8, 8, 3)
    u, v = torch.rand(2, 1, 4, 4) * 5 - 1  # the row starts at -1 with a margin of 1
    got = augmentation.resample(samples, u, v, 6, 1)
    grid = torch.stack([u + 1, v + 1], -1) / 3.5 - 1
    expected = torch.nn.functional.grid_sample(samples.permute(0, 3, 1, 2), grid, align_corners=True)
    torch.testing.assert_close(got, expected.permute(0, 2, 3, 1))


def test_geometry_is_drawn_with_the_given_probability() -> None:
    torch.manual_seed(0)
    half = random_geometry(4000, torch.tensor(0.1), 16)
    unchanged = (half - torch.eye(3)).abs().amax((1, 2)).lt(1e-6).double().mean()
    # Eight gates; the two rotations count once; flips do nothing half of the time, quarter turns a quarter of it.
    assert unchanged == pytest.approx(0.95 * 0.925 * 0.9**5, abs=0.05)
    assert torch.equal(random_geometry(3, torch.tensor(0.0), 16), torch.eye(3).expand(3, 3, 3))
    # Areas change only by isotropic scaling, which is log-normal.
    areas = torch.linalg.det(random_geometry(4000, torch.tensor(1.0), 16)).abs().log2()
    assert areas.std() == pytest.approx(0.4, abs=0.03)


def test_colour_turns_grey_into_grey_and_keeps_chroma_perpendicular() -> None:
    torch.manual_seed(0)
    maps = random_colour(500, torch.tensor(1.0), 3)
    assert maps.shape == (500, 3, 4)
    grey = maps[:, :, :3] @ torch.ones(3) + maps[:, :, 3]
    torch.testing.assert_close(grey, grey[:, :1].expand(-1, 3), rtol=1e-4, atol=1e-4)
    chroma = maps[:, :, :3] @ torch.tensor([1.0, -1.0, 0.0])
    torch.testing.assert_close(chroma.sum(1), torch.zeros(500), rtol=0, atol=1e-4)
    assert random_colour(5, torch.tensor(1.0), 1).shape == (5, 1, 2)
    assert torch.equal(random_colour(5, torch.tensor(0.0), 1), torch.tensor([1.0, 0.0]).expand(5, 1, 2))


def test_diff_augment_moves_cuts_and_shifts() -> None:
    torch.manual_seed(0)
    images = torch.full((200, 3, 16, 16), 0.25)
    images[:, 0] = 0.75
    out = diff_augment(images)
    assert out.shape == images.shape
    cut = (out == 0).all(1).double().mean((1, 2))
    # The square has a quarter of the area, of which at least a quarter lies inside; translation by up to 2 adds to it.
    assert 1 / 16 <= cut.min() < 1 / 8
    assert 1 / 4 < cut.max() <= 1 / 4 + 1 - (14 / 16) ** 2
    kept = out.flatten(2).abs().amax(2)  # the one colour that is left in every image
    assert kept.std(0).min() > 0.05
    assert torch.equal(images[:, 1], torch.full((200, 16, 16), 0.25))


@pytest.fixture
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("method", ["ada", "diffaugment"])
def test_gradients_of_first_and_second_order_are_right(method: str, double_precision: None) -> None:
    torch.manual_seed(0)
    augmenter = Augmenter(method, 6, 0.6, 500, CPU)
    augmenter.probability.fill_(0.8)
    if method == "ada":
        augmenter.double, augmenter.halve = augmenter.double.double(), augmenter.halve.double()
    images = torch.randn(1, 3, 6, 6, requires_grad=True)

    def cubed(x: Tensor) -> Tensor:
        torch.manual_seed(1)
        return augmenter(x).pow(3).sum((1, 2, 3))

    assert torch.autograd.gradcheck(cubed, images)
    assert torch.autograd.gradgradcheck(cubed, images)


def test_the_same_seed_gives_the_same_augmentation() -> None:
    images = torch.randn(3, 1, 12, 12)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(ada()(images))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_the_probability_follows_the_sign_of_the_logits_and_survives_a_restart() -> None:
    augmenter = Augmenter("ada", 8, 0.6, 1000, CPU)
    for _ in range(8):
        augmenter.observe(torch.tensor(0.9), 10, augmenter.is_due())
    assert augmenter.probability == pytest.approx(0.08)
    augmenter.observe(torch.tensor(0.1), 10, augmenter.is_due())
    other = Augmenter("ada", 8, 0.6, 1000, CPU)
    other.load_state(augmenter.state())
    for _ in range(3):
        other.observe(torch.tensor(0.1), 10, other.is_due())
    assert other.probability == pytest.approx(0.04)
    for _ in range(8):
        other.observe(torch.tensor(0.1), 10, other.is_due())
    assert other.probability == 0  # never below


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(InputError, match="diffaugment"):
        Augmenter("flip", 8, 0.6, 1000, CPU)
