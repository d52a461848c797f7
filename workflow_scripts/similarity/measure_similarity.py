"""Measure how alike the classes of a data set are. Rule: measure_similarity."""

from dataclasses import asdict
from typing import Any

import numpy as np

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import write_json
from workflow_scripts.core.job import run
from workflow_scripts.data.image_set import open_image_set
from workflow_scripts.data.resolution import shrink
from workflow_scripts.similarity.class_similarity import ClassSimilarity, measure_similarity

DEFINITION = (
    "mean SSIM (Gaussian window of 11 px, sigma 1.5) of pairs of images from different classes of a super-class, every "
    "pair of classes counting alike; an inferred definition of SSIM-supSubCls, whose published code is not public"
)


def as_json(similarity: ClassSimilarity) -> dict[str, Any]:
    """Strict JSON; what could not be measured is null."""
    matrices = {
        name: [[value if np.isfinite(value) else None for value in row] for row in getattr(similarity, name).tolist()]
        for name in ("matrix", "matrix_se")
    }
    return asdict(similarity) | matrices


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    name, settings = snakemake.wildcards.dataset, snakemake.params.settings
    image_set = open_image_set(*(snakemake.input[key] for key in ("images", "labels", "manifest")))
    classes = image_set.manifest["classes"]
    if len(np.unique(image_set.labels[image_set.labels >= 0])) < 2:
        raise InputError(f"datasets.{name}: fewer than two classes with images; a similarity of classes needs two")
    similarity = measure_similarity(
        shrink(image_set.images, settings["resolution"]),
        image_set.labels,
        classes,
        image_set.manifest["superclasses"],
        settings["channels"],
        settings["standard_error"],
        settings["exact_pairs"],
        device=device,
    )
    resolution = min(settings["resolution"], image_set.images.shape[1])
    head = {"dataset": name, "measure": settings["measure"], "resolution": resolution, "definition": DEFINITION}
    write_json(snakemake.output[0], head | as_json(similarity))


run(main, snakemake)
