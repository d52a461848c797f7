"""SSIM of pairs against scikit-image where float32 is hardest put to it."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from workflow_scripts.metrics import ssim as module
from workflow_scripts.metrics.ssim import prepare, ssim_pairs

DEFINITION = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}


def compare(images):
    """SSIM of every pair of images (N, H, W, 1), ours and scikit-image's."""
    i, j = torch.triu_indices(len(images), len(images))
    peer = [
        structural_similarity(images[a, ..., 0], images[b, ..., 0], **DEFINITION) for a, b in zip(i, j, strict=True)
    ]
    return ssim_pairs(prepare(images), i, j).numpy(), np.array(peer)


@settings(max_examples=25)
@given(side=st.integers(11, 130), edge=st.floats(0.05, 0.95), grain=st.integers(1, 3), seed=st.integers(0, 1000))
def test_flat_dark_and_bright_regions_side_by_side_are_exact(side, edge, grain, seed):
    """There the covariance is next to nothing, and the difference of two numbers of 10,000 and more."""
    rng = np.random.default_rng(seed)
    split = np.where(np.arange(side) < edge * side, 0, 256 - grain)[:, None].repeat(side, 1)
    noise = rng.integers(0, grain, (3, side, side))
    images = np.stack([split, split.T, 255 - split, *(split + noise), np.full((side, side), 255)])
    ours, peer = compare(images.astype(np.uint8)[..., None])
    np.testing.assert_allclose(ours, peer, atol=2e-5)


def test_images_need_not_be_square():
    ours, peer = compare(np.random.default_rng(0).integers(0, 256, (4, 13, 30, 1), dtype=np.uint8))
    np.testing.assert_allclose(ours, peer, atol=2e-5)


def test_ssim_is_symmetric_and_one_for_equal_images():
    images = np.random.default_rng(0).integers(0, 256, (6, 20, 20, 3), dtype=np.uint8)
    prepared, first, second = prepare(images, "mean"), torch.arange(6), torch.arange(6).flip(0)
    np.testing.assert_allclose(ssim_pairs(prepared, first, second), ssim_pairs(prepared, second, first), atol=1e-6)
    np.testing.assert_allclose(ssim_pairs(prepared, first, first), 1, atol=1e-6)


def test_the_way_on_a_gpu_gives_the_same(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 21, 3), dtype=np.uint8)
    prepared, (i, j) = prepare(images, "mean"), torch.triu_indices(12, 12)
    monkeypatch.setattr(module, "GPU_PAIR_BYTES", 4 * prepared.values[0].nbytes)
    values = torch.empty(len(i))
    assert sum(module._compare_on_gpu(prepared, i, j, values)) == len(i)
    torch.testing.assert_close(values, ssim_pairs(prepared, i, j), rtol=0, atol=1e-6)


def test_any_number_of_threads_gives_the_same(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 1), dtype=np.uint8)
    prepared, (i, j) = prepare(images), torch.triu_indices(12, 12)
    monkeypatch.setattr(module, "CPU_PAIRS", 4)
    before = torch.get_num_threads()
    try:
        runs = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            runs.append(ssim_pairs(prepared, i, j))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*runs)
