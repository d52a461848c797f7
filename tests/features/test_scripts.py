"""The script of the stage on pixels that are scaled down: no network, whole or in shards."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import ROOT
from workflow_scripts.data.resolution import shrink


class Named(dict):  # type: ignore[type-arg]
    """Snakemake's named files: by key and by attribute."""

    __getattr__ = dict.__getitem__

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.values())


def extract(folder: Path, out: Path, shards: int, **wildcards: str) -> np.ndarray:
    job = SimpleNamespace(
        rule="extract_features", log=[], input=Named(images=str(folder / "images.npy")), output=[str(out)],
        params=Named(space={"kind": "pixel", "resolution": 8}, shards=shards), wildcards=Named(wildcards), threads=1,
        resources={},
    )  # fmt: skip
    runpy.run_path(str(ROOT / "workflow_scripts/features/extract_features.py"), init_globals={"snakemake": job})
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
