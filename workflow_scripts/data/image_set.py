"""An image set on disk: images.npy, labels.parquet and manifest.json, as packed by `pack_images`."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import (
    read_column,
    read_json,
    read_npy,
    remake,
    sha256,
    write_json,
    write_npy,
    write_parquet,
)


@dataclass(frozen=True)
class ImageSet:
    """A packed image set.

    images: uint8 (N, H, W, C), memory-mapped; labels: int32 (N,), indices into manifest["classes"], -1 unlabelled.
    """

    images: np.ndarray
    labels: np.ndarray
    manifest: dict[str, Any]


def open_image_set(
    images: str | os.PathLike[str], labels: str | os.PathLike[str], manifest: str | os.PathLike[str]
) -> ImageSet:
    """Open the three files of an image set. Raises InputError if one is unreadable or they do not belong together."""
    details = read_json(manifest)
    pixels = read_npy(images)
    numbers = read_column(labels, "label")
    expected = (details["count"], details["resolution"], details["resolution"], details["channels"])
    if pixels.shape != expected or pixels.dtype != np.uint8:
        raise InputError(
            f"{images}: holds {pixels.dtype} of shape {pixels.shape}, but {manifest} says uint8 of shape {expected}. "
            f"{remake(images)}"
        )
    if len(numbers) != details["count"]:
        raise InputError(f"{labels}: holds {len(numbers)} labels for {details['count']} images. {remake(labels)}")
    return ImageSet(pixels, numbers, details)


def write_generated_set(
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    manifest: str | os.PathLike[str],
    generated: ImageSet,
) -> None:
    """Write generated images as an image set like any other. generated.manifest: its `name`, `source` and `classes`."""
    import pandas as pd

    origin = [f"{generated.manifest['source']} {i}" for i in range(len(generated.labels))]
    write_npy(images, generated.images)
    write_parquet(labels, pd.DataFrame({"label": generated.labels.astype(np.int32), "origin": origin}))
    classes = generated.manifest["classes"]
    details = {
        **generated.manifest,
        "licence": "generated",
        "count": len(generated.labels),
        "resolution": generated.images.shape[1],
        "channels": generated.images.shape[3],
        "sha256": sha256(images),
        "superclasses": {"all": classes},
        "duplicates": {"images": 0, "groups": []},
        "skipped": [],
    }
    write_json(manifest, details)
