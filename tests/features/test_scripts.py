"""The script of the stage on pixels that are scaled down: no network, whole or in shards."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import run_script
from workflow_scripts.data.resolution import shrink


def extract(folder: Path, out: Path, shards: int, **wildcards: str) -> np.ndarray:
    params = {"space": {"kind": "pixel", "resolution": 8}, "shards": shards}
    run_script("features/extract_features", {"images": str(folder / "images.npy")}, {"out": out}, params, **wildcards)
    return np.load(out)


@pytest.mark.parametrize("count", [5, 300])
def test_pixels_are_scaled_down_the_same_in_shards(count: int, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    whole = extract(tmp_path, tmp_path / "whole.npy", 1)
    assert (whole.shape, whole.dtype) == ((count, 8, 8, 3), np.uint8)
    np.testing.assert_array_equal(whole, shrink(images, 8))
    parts = [extract(tmp_path, tmp_path / f"{i}.npy", 3, shard=str(i)) for i in range(3)]
    np.testing.assert_array_equal(np.concatenate([part for part in parts if len(part)]), whole)
