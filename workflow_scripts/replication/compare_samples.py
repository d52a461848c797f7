"""Compare one generator's samples with its training images and with held-out ones, in one space.

Finds every sample's nearest training images (with shards, they are found already), and measures how good and how varied
the samples are.
Rule: compare_samples.
"""

from typing import Any

import numpy as np

from workflow_scripts.device import prepare_torch
from workflow_scripts.files import read_npy, read_parquet, write_json, write_parquet
from workflow_scripts.job import run
from workflow_scripts.replication.quality import compare, frechet_distance, vectors
from workflow_scripts.replication.search import find_neighbours, merge


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    subset = np.sort(read_npy(snakemake.input.order)[: int(snakemake.wildcards.size)])
    images, samples = read_npy(snakemake.input.images), read_npy(snakemake.input.samples)
    training, held_out = images[subset], images[read_npy(snakemake.input.held_out)]
    quality = {
        "held_out": compare(held_out, samples, device),
        "training": {"frechet": frechet_distance(vectors(training), vectors(samples), device)},
        # What the training images themselves would get: samples can hardly be nearer to the held-out ones.
        "control": {"frechet": frechet_distance(vectors(held_out), vectors(training), device)},
    }
    write_json(snakemake.output.quality, quality)
    k = snakemake.params.k
    if snakemake.input.shards:
        shards = [read_parquet(path) for path in snakemake.input.shards]
    else:
        shards = [find_neighbours(samples, np.arange(len(samples)), training, subset, k, device)]
    write_parquet(snakemake.output.neighbours, merge(shards, k))


run(main, snakemake)
