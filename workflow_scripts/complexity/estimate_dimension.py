"""Estimate the intrinsic dimension of one subset. Rule: estimate_dimension."""

from dataclasses import asdict
from typing import Any

import numpy as np

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_npy, write_json
from workflow_scripts.core.job import run
from workflow_scripts.data.resolution import shrink
from workflow_scripts.metrics.dimension import estimate_dimension


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    settings = snakemake.params.settings
    size, seed = int(snakemake.wildcards.size), int(snakemake.wildcards.seed)
    indices = np.sort(read_npy(snakemake.input.order)[:size])
    images = shrink(read_npy(snakemake.input.images)[indices], settings["resolution"])
    first, last = settings["neighbours"]
    dimension = estimate_dimension(images, first, last, settings["resamples"], seed, device, settings["resampling"])
    setting = {"images": size, "duplicates": size - dimension.distinct, "resolution": images.shape[1]}
    write_json(snakemake.output[0], {**asdict(dimension), **setting})


run(main, snakemake)
