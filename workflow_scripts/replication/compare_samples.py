"""Compare one generator's samples with its training images and with held-out ones, in every space of the study.

Finds every sample's nearest training images, and the nearest sample of every image whose membership is asked (with
shards, they are found already), and measures how good and how varied the samples are. In the leading space it does the
same with the samples that were kept while the generator was trained.
Rule: compare_samples.
"""

from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_json, read_npy, read_parquet, write_csv, write_json, write_parquet
from workflow_scripts.core.job import run
from workflow_scripts.metrics.quality import compare, frechet_distance, vectors
from workflow_scripts.replication.search import (
    find_both_ways,
    membership_rows,
    merge,
    scored_images,
    shards_by_space,
    snapshot_rows,
)


def main(snakemake: Any) -> None:
    files, results, k = snakemake.input, snakemake.output, snakemake.params.k
    size = int(snakemake.wildcards.size)
    device = device_of_job(snakemake)
    subset, held_out = np.sort(read_npy(files.order)[:size]), read_npy(files.held_out)
    scored = scored_images(
        [*map(read_npy, files.orders)], [*map(read_npy, files.all_held_out)], snakemake.params.largest
    )
    shards = shards_by_space(files.shards, len(files.images))
    spaces = zip(
        files.images, files.samples, shards, results.neighbours, results.membership, results.quality, strict=True
    )
    for images_path, samples_path, searched, neighbours, membership, quality in spaces:
        images, samples = read_npy(images_path), read_npy(samples_path)
        training = frechet_distance(vectors(images[subset]), vectors(samples), device)
        write_json(quality, {"held_out": compare(images[held_out], samples, device), "training": {"frechet": training}})
        parts = [read_parquet(path) for path in searched] or [
            find_both_ways(images, samples, subset, scored, k, device)
        ]
        rows = merge(parts, k)
        write_parquet(neighbours, rows[rows["kind"] == "sample"].drop(columns="kind"))
        write_parquet(membership, membership_rows(rows, subset, held_out))
    network = read_json(files.network)
    images, samples = read_npy(files.images[0]), read_npy(files.snapshots)
    moments = samples.reshape(len(network["snapshot_images"]), -1, *images.shape[1:])
    write_parquet(results.snapshots, snapshot_rows(images, moments, subset, device))
    real = vectors(images[held_out])
    distances = [frechet_distance(real, vectors(part), device) if len(real) > 1 else None for part in moments]
    steps = np.array(network["snapshot_images"]) // network["settings"]["batch"]
    write_csv(results.moments, pd.DataFrame({"step": steps, "frechet": distances}))


run(main, snakemake)
