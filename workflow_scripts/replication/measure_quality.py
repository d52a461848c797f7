"""Measure how good and how varied one generator's samples are, in one space. Rule: measure_quality."""

from typing import Any

import numpy as np

from workflow_scripts.device import prepare_torch
from workflow_scripts.files import provenance, read_npy, write_json
from workflow_scripts.job import run
from workflow_scripts.replication.quality import compare


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    subset = np.sort(read_npy(snakemake.input.order)[: int(snakemake.wildcards.size)])
    images, samples = read_npy(snakemake.input.images), read_npy(snakemake.input.samples)
    held_out = images[read_npy(snakemake.input.held_out)]
    result = {
        "held_out": compare(held_out, samples, device),
        "training": compare(images[subset], samples, device),
        # What the training images themselves would get: samples can hardly be nearer to the held-out ones.
        "control": compare(held_out, images[subset], device),
    }
    write_json(snakemake.output[0], result | {"provenance": provenance(**dict(snakemake.wildcards))})


run(main, snakemake)
