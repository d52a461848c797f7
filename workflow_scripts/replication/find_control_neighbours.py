"""Search and measure the controls of a subset: what held-out images, and training images in their set, would get.

In every space of the study: their nearest training images (with shards, they are found already, shard by shard), and
the quality of one half of the held-out images against the other, and of the training images against all of them. A
held-out image that is a near-duplicate of a training image in any space is marked, and serves as a control in none.
Rule: find_control_neighbours.
"""

from typing import Any

import numpy as np

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_column, read_csv, read_npy, read_parquet, write_json, write_parquet
from workflow_scripts.core.job import run
from workflow_scripts.metrics.quality import compare_halves, frechet_distance, vectors
from workflow_scripts.replication.leakage import mark
from workflow_scripts.replication.search import find_controls, merge, shards_by_space


def main(snakemake: Any) -> None:
    files, results, k = snakemake.input, snakemake.output, snakemake.params.k
    device = device_of_job(snakemake)
    subset = np.sort(read_npy(files.order)[: int(snakemake.wildcards.size)])
    held_out = read_npy(files.held_out)
    groups = read_column(files.labels, "group")[held_out]
    twins = read_csv(files.near_duplicates)
    twins = twins[twins["seed"] == int(snakemake.wildcards.seed)]
    shards = shards_by_space(files.shards, len(files.images))
    for path, searched, neighbours, quality in zip(
        files.images, shards, results.neighbours, results.quality, strict=True
    ):
        images = read_npy(path)
        out, training = vectors(images[held_out]), vectors(images[subset])
        distance = frechet_distance(out, training, device) if len(out) > 1 else None
        write_json(quality, {"held_out": compare_halves(out, device, groups), "training": {"frechet": distance}})
        parts = [read_parquet(shard) for shard in searched] or [find_controls(images, held_out, subset, k, device)]
        write_parquet(neighbours, mark(merge(parts, k), twins, subset))


run(main, snakemake)
