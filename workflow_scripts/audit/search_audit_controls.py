"""Search held-out images and planted copies among the training images, in every space. Rule: search_audit_controls."""

from typing import Any

import numpy as np

from workflow_scripts.audit.search import MOST_CONTROLS, merge, own_distances, rows_of, search, some_of
from workflow_scripts.audit.split import size_of, split_of
from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_npy, read_parquet, write_parquet
from workflow_scripts.core.job import run

MOST_OWN = 2000  # training images whose nearest other one is sought: near-duplicates in the set


def main(snakemake: Any) -> None:
    files, spaces, seed = snakemake.input, snakemake.params.spaces, snakemake.params.seed
    device = device_of_job(snakemake)
    members, held_out = split_of(files, size_of(snakemake.wildcards.split))
    random = np.random.default_rng([seed, len(members)])
    images = dict(zip(spaces, map(read_npy, files.vectors), strict=True))
    planted = dict(zip(spaces, map(read_npy, files.planted), strict=True))
    pixels, changed, table = read_npy(files.images), read_npy(files.planted_images), read_parquet(files.table)
    nobody = np.empty(0, dtype=np.int64)
    controls = some_of(random, held_out, MOST_CONTROLS)
    parts = [own_distances(images, members, some_of(random, np.arange(len(members)), MOST_OWN), device)]
    if len(controls):
        queries = {space: rows_of(vectors, controls) for space, vectors in images.items()}
        seen = pixels, rows_of(pixels, controls)
        parts.append(search(images, queries, seen, members, nobody, controls, device))
    parts.append(search(images, planted, (pixels, changed), members, nobody, table["query"].to_numpy(), device))
    write_parquet(snakemake.output[0], merge(parts))


run(main, snakemake)
