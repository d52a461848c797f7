"""Near-duplicates across a split: found where they are planted, in sets of any scale, and nowhere else."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from tests.conftest import ROOT
from workflow_scripts.data.arrays import shipped_set
from workflow_scripts.data.resolution import shrink
from workflow_scripts.metrics.duplicates import SEEN, count_near_duplicates, gap_p_values, near_duplicates, pairs_of
from workflow_scripts.metrics.neighbours import Neighbours, nearest_neighbours
from workflow_scripts.replication.measures import calibrated_threshold

TRAINING, HELD_OUT, PLANTED = 1500, 500, 50


def neighbourhoods(random: np.random.Generator, count: int, dimensions: np.ndarray | float) -> np.ndarray:
    """Distances to the nearest points of an even density, of any dimension and scale."""
    volumes = np.cumsum(random.exponential(size=(count, SEEN)), axis=1)
    scale = np.exp(random.normal(size=(count, 1)))
    return scale * volumes ** (1 / np.broadcast_to(dimensions, count)[:, None])


@pytest.mark.parametrize("dimension", [1.0, 4.0, 25.0])
def test_gaps_between_neighbours_of_an_even_density_have_uniform_p_values(dimension: float) -> None:
    p_values = gap_p_values(neighbourhoods(np.random.default_rng(0), 4000, dimension), 4)
    for column in p_values.T:
        assert stats.kstest(column, "uniform").pvalue > 0.001


def test_a_clean_split_has_no_near_duplicates_whatever_its_dimensions() -> None:
    """Also where simple images, of two dimensions, lie among others of thirty."""
    random = np.random.default_rng(1)
    dimensions = np.where(random.random(400) < 0.2, 2.0, 30.0)
    alarms = [bool(count_near_duplicates(neighbourhoods(random, 400, dimensions)).any()) for _ in range(200)]
    assert np.mean(alarms) <= 0.06


@pytest.fixture(scope="module")
def clothes() -> np.ndarray:
    """Images of clothing in an order of their own, uint8 (2000, 28, 28)."""
    source = shipped_set(ROOT / "resources/fashion-mnist-test")
    assert source.block is not None
    order = np.random.default_rng(0).permutation(source.count)[: TRAINING + HELD_OUT]
    return source.block(0, source.count)[0][order][..., 0]


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


COPIES = {
    "equal": lambda image: image,
    "compressed": lambda image: compressed(image, 75),
    "brighter": lambda image: np.minimum(image * 1.05, 255).astype(np.uint8),
    "noisy": lambda image: np.clip(image + np.random.default_rng(2).normal(0, 8, image.shape), 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("resolution", [16, 28])
def test_planted_near_duplicates_are_found_and_do_not_move_a_threshold(
    clothes: np.ndarray, kind: str, resolution: int
) -> None:
    training, clean = (shrink(part[..., None], resolution) for part in (clothes[:TRAINING], clothes[TRAINING:]))
    planted = shrink(np.stack([COPIES[kind](image) for image in clothes[:PLANTED]])[..., None], resolution)
    queries = np.concatenate([clean[PLANTED:], planted])
    pairs = near_duplicates(queries, training)
    expected = np.arange(PLANTED)
    twins = pairs.queries >= HELD_OUT - PLANTED
    assert np.isin(expected, pairs.references[twins]).mean() >= 0.95
    assert len(np.unique(pairs.queries[~twins])) <= 2  # the set has some of its own
    assert (pairs.distances < 0.5 * pairs.beyond).all()
    nearest = nearest_neighbours(queries, training, 1).distances[:, 0]
    kept = np.delete(nearest, np.unique(pairs.queries))
    truth = calibrated_threshold(nearest[: HELD_OUT - PLANTED], 0.02)
    assert truth.low is not None
    assert truth.low <= calibrated_threshold(kept, 0.02).rms <= truth.high
    assert calibrated_threshold(nearest, 0.02).rms < truth.low


def test_a_clean_split_of_natural_images_keeps_its_threshold(clothes: np.ndarray) -> None:
    for resolution in (8, 16, 28):
        training, clean = (shrink(part[..., None], resolution) for part in (clothes[:TRAINING], clothes[TRAINING:]))
        assert len(np.unique(near_duplicates(clean, training).queries)) <= 1


def test_all_near_duplicates_of_an_image_are_found_and_equal_images_always() -> None:
    random = np.random.default_rng(3)
    training = random.normal(size=(300, 12)).astype(np.float32)
    training[1:4] = training[0] + 1e-3 * random.normal(size=(3, 12))
    held_out = np.concatenate([training[:1] + np.float32(1e-3), training[7:8], random.normal(size=(30, 12))])
    pairs = near_duplicates(held_out.astype(np.float32), training)
    assert list(zip(pairs.queries.tolist(), sorted(pairs.references.tolist()), strict=True)) == [
        (0, 0), (0, 1), (0, 2), (0, 3), (1, 7),
    ]  # fmt: skip
    assert pairs.distances[-1] == 0
    assert near_duplicates(training[:3], training[:2]).queries.tolist() == [0, 1]  # too few to tell more


def test_few_neighbours_or_none_are_no_evidence() -> None:
    assert count_near_duplicates(np.empty((0, 5))).shape == (0,)
    assert count_near_duplicates(np.array([[0.1], [0.0]])).tolist() == [0, 1]
    assert count_near_duplicates(np.array([[1e-6, 0.2]])).tolist() == [0]
    lone = pairs_of(Neighbours(np.zeros((1, 2)), np.array([[4, 6]])))
    assert (lone.references.tolist(), lone.beyond.tolist()) == ([4, 6], [np.inf, np.inf])
