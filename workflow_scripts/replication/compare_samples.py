"""Compare one generator's samples with its training images and with held-out ones, in every space of the study.

Finds every sample's nearest training images (with shards, they are found already), and measures how good and how varied
the samples are.
Rule: compare_samples.
"""

from typing import Any

import numpy as np

from workflow_scripts.core.devices import prepare_torch
from workflow_scripts.core.files import read_npy, read_parquet, write_json, write_parquet
from workflow_scripts.core.job import run
from workflow_scripts.metrics.quality import compare, frechet_distance, vectors
from workflow_scripts.replication.search import find_neighbours, merge, shards_by_space


def main(snakemake: Any) -> None:
    files, results, k = snakemake.input, snakemake.output, snakemake.params.k
    [device] = prepare_torch(snakemake.threads)
    subset = np.sort(read_npy(files.order)[: int(snakemake.wildcards.size)])
    out = read_npy(files.held_out)
    found = shards_by_space(files.shards, len(files.images))
    spaces = zip(files.images, files.samples, found, results.neighbours, results.quality, strict=True)
    for images_of, samples_of, searched, neighbours, quality in spaces:
        images, samples = read_npy(images_of), read_npy(samples_of)
        training, held_out = images[subset], images[out]
        measured = {
            "held_out": compare(held_out, samples, device),
            "training": {"frechet": frechet_distance(vectors(training), vectors(samples), device)},
            # What the training images themselves would get: samples can hardly be nearer to the held-out ones.
            "control": {"frechet": frechet_distance(vectors(held_out), vectors(training), device)},
        }
        write_json(quality, measured)
        if searched:
            shards = [read_parquet(path) for path in searched]
        else:
            shards = [find_neighbours(samples, np.arange(len(samples)), training, subset, k, device)]
        write_parquet(neighbours, merge(shards, k))


run(main, snakemake)
