"""Quality measures against plain reference implementations of their definitions."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.spatial.distance import cdist
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from workflow_scripts.core.errors import InputError
from workflow_scripts.metrics.quality import (
    MEASURES,
    compare,
    compare_halves,
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)


def features(count, columns, seed, shift=0.0, rank=None):
    rng = np.random.default_rng([seed, columns])
    spread = np.random.default_rng(columns).standard_normal((rank or columns, columns)) * 0.3
    return (rng.standard_normal((count, rank or columns)) @ spread + shift).astype(np.float32)


def frechet_by_square_root(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    with warnings.catch_warnings(action="ignore", category=scipy.linalg.LinAlgWarning):
        root = scipy.linalg.sqrtm(first @ second)
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * np.real(root))


@pytest.mark.parametrize(("first", "second"), [(400, 300), (400, 40), (30, 50)], ids=["full", "one thin", "both thin"])
def test_frechet_distance_is_the_one_by_the_matrix_square_root(first, second):
    a, b = features(first, 64, 1), features(second, 64, 2, shift=0.1)
    assert frechet_distance(a, b) == pytest.approx(frechet_by_square_root(a, b), rel=1e-4)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-7)


def test_frechet_distance_of_dependent_and_constant_features():
    a, b = features(500, 64, 1, rank=20), features(400, 64, 2, rank=20)
    a[:, 5], b[:, 5] = 1, 3
    expected = frechet_distance(np.delete(a, 5, axis=1), np.delete(b, 5, axis=1)) + 4
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_by_square_root(a, b), rel=1e-3)


def test_frechet_distance_of_known_normals():
    rng = np.random.default_rng(0)
    standard = rng.standard_normal((200_000, 3))
    value = frechet_distance(standard[:100_000], 3 * standard[100_000:] + 2)
    assert value == pytest.approx(3 * 4 + 3 * (3 - 1) ** 2, rel=0.02)
    assert frechet_distance(standard, standard) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("first", "second"), [(400, 300), (400, 40), (30, 50)], ids=["full", "one thin", "both thin"])
def test_frechet_distance_by_eigenvalues_equals_that_by_singular_values(monkeypatch, first, second):
    a, b = features(first, 64, 1), features(second, 64, 2, shift=0.1)
    values = []
    for tolerance in (1e9, 0):
        monkeypatch.setattr("workflow_scripts.metrics.quality.FRECHET_TOLERANCE", tolerance)
        values.append(frechet_distance(a, b))
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_frechet_distance_of_constant_sets():
    assert frechet_distance(np.ones((5, 3)), np.zeros((5, 3))) == 3


def test_frechet_distance_in_parts(monkeypatch):
    a, b = features(300, 50, 1), features(300, 50, 2, shift=0.1)
    whole = frechet_distance(a, b)
    monkeypatch.setattr("workflow_scripts.metrics.quality.ROWS_AT_A_TIME", 64)
    assert frechet_distance(a, b) == pytest.approx(whole, rel=1e-12)


def kernel_distance_of(x, y):
    total = 0.0
    for a, b, sign in ((x, x, 1), (y, y, 1), (x, y, -2)):
        kernel = [[(np.dot(p, q) / len(p) + 1) ** 3 for q in b] for p in a]
        kernel = np.array(kernel)
        if sign == 1:
            total += (kernel.sum() - np.trace(kernel)) / (len(a) * (len(a) - 1))
        else:
            total += sign * kernel.mean()
    return total


def test_kernel_distance_is_its_definition_on_the_subsets():
    a, b = features(50, 8, 1).astype(float), features(60, 8, 2, shift=0.2).astype(float)
    distance = kernel_distance(a, b, subsets=6, subset_size=12, seed=3)
    random = np.random.default_rng([3, 12])
    expected = [kernel_distance_of(a[random.permutation(50)[:12]], b[random.permutation(60)[:12]]) for _ in range(6)]
    assert distance == pytest.approx(np.mean(expected), rel=1e-10)


def test_kernel_distance_is_unbiased():
    chance = [kernel_distance(features(400, 8, 2 * i), features(400, 8, 2 * i + 1), subsets=10) for i in range(40)]
    assert abs(np.mean(chance)) < 3 * np.std(chance) / np.sqrt(40)
    assert kernel_distance(features(400, 8, 1), features(400, 8, 2, shift=1)) > 10 * np.std(chance)


def manifolds(real, fake, k):
    """Precision, recall, density, coverage from the full matrices of distances."""

    def radii(x):
        return np.sort(cdist(x, x), axis=1)[:, k]

    inside = cdist(fake, real) <= radii(real)[None]
    backward = cdist(real, fake) <= radii(fake)[None]
    return inside.any(1).mean(), backward.any(1).mean(), inside.sum(1).mean() / k, inside.any(0).mean()


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_manifold_measures_are_their_definitions(k, kind):
    real, fake = features(300, 6, 1).astype(kind), features(200, 6, 2, shift=0.3).astype(kind)
    expected = manifolds(real, fake, k)
    assert min(expected) > 0.15
    assert (*precision_recall(real, fake, k), *density_coverage(real, fake, k)) == pytest.approx(expected, abs=1e-12)


def test_manifold_measures_of_copies_count_the_surface():
    """Every sample is a real image, so that many lie exactly on the surface of a ball."""
    real = np.random.default_rng(0).integers(0, 3, (150, 4)).astype(np.float32)
    fake = real[:80]
    assert precision_recall(real, fake, 3)[0] == 1
    assert density_coverage(real, fake, 3) == pytest.approx(manifolds(real, fake, 3)[2:], abs=1e-12)


def test_samples_far_away_and_samples_all_alike():
    real = features(200, 6, 1)
    assert (*precision_recall(real, real + 100), *density_coverage(real, real + 100)) == (0, 0, 0, 0)
    collapsed = np.repeat(real[:1], 50, axis=0)
    precision, recall = precision_recall(real, collapsed)
    assert (precision, recall) == (1, 1 / 200)


def test_too_few_rows_are_named():
    with pytest.raises(InputError, match="two rows"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))
    with pytest.raises(InputError, match="four rows"):
        kernel_distance(np.zeros((3, 3)), np.zeros((5, 3)))
    with pytest.raises(InputError, match="3 wanted of 2"):
        precision_recall(np.zeros((3, 3)), np.zeros((5, 3)))


class Given(torch.nn.Module):
    """An "Inception network" for torchmetrics that gives back the features it is given as images."""

    def __init__(self, columns):
        super().__init__()
        self.num_features = columns

    def forward(self, images):
        return images


def test_frechet_and_kernel_distance_are_those_of_torchmetrics():
    a, b = features(600, 32, 1), features(500, 32, 2, shift=0.1)
    fid = FrechetInceptionDistance(feature=Given(32), normalize=True)
    # torchmetrics scales images given as 0..1 to bytes unless the network is its own; here they pass unchanged.
    for points, real in ((a, True), (b, False)):
        fid.update(torch.from_numpy(points), real=real)
    assert frechet_distance(a, b) == pytest.approx(float(fid.compute()), rel=1e-4)
    # One subset, the same rows for both.
    random = np.random.default_rng([3, 250])
    rows = [random.permutation(len(points))[:250] for points in (a, b)]
    expected = poly_mmd(
        *(torch.from_numpy(points[chosen]).double() for points, chosen in zip((a, b), rows, strict=True))
    )
    assert kernel_distance(a, b, subsets=1, subset_size=250, seed=3) == pytest.approx(float(expected), rel=1e-4)


def test_all_measures_at_once_leave_out_what_small_sets_cannot_give():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)
    same = compare(images, images)
    assert set(same) == set(MEASURES)
    assert same["frechet"] == pytest.approx(0, abs=1e-6)
    assert same["precision"] == same["recall"] == same["coverage"] == 1
    few = compare(images, images[:4])
    assert few["density"] is None
    assert few["precision"] == 1
    assert few["kernel"] is not None
    assert compare(images, images[:1]) == compare(images, images[:0]) == dict.fromkeys(MEASURES)


def test_halves_of_one_set_differ_by_chance_alone():
    control = compare_halves(features(800, 16, 1))
    shifted = compare(features(800, 16, 1), features(800, 16, 2, shift=0.5))
    assert control["frechet"] < shifted["frechet"] / 5
    assert abs(control["kernel"]) < shifted["kernel"] / 5
    assert control["precision"] > 0.8
