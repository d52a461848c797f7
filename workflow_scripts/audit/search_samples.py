"""Search a part of the samples among the training images, in every space. Rule: search_samples."""

from typing import Any

import numpy as np

from workflow_scripts.audit.search import scored_images, search
from workflow_scripts.audit.split import size_of, split_of
from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_npy, write_parquet
from workflow_scripts.core.job import run
from workflow_scripts.data.subsets import shard_of
from workflow_scripts.features.encoders import BATCH


def main(snakemake: Any) -> None:
    files, params = snakemake.input, snakemake.params
    members, held_out = split_of(files, size_of(params.split))
    samples = read_npy(files.samples)
    part = shard_of(len(samples), int(snakemake.wildcards.shard), params.shards, BATCH)  # as features are extracted
    numbers = np.arange(part.start, part.stop)
    images = dict(zip(params.spaces, map(read_npy, files.vectors), strict=True))
    # Features are those of this part; of packed images, all are there.
    vectors = (read_npy(path) for path in files.sample_vectors)
    queries = {
        space: rows if len(rows) == len(numbers) else rows[part]
        for space, rows in zip(params.spaces, vectors, strict=True)
    }
    scored = scored_images(members, held_out, params.seed, params.all_members)
    pixels = read_npy(files.images), samples[part]
    rows = search(images, queries, pixels, members, scored, numbers, device_of_job(snakemake), params.shards)
    write_parquet(snakemake.output[0], rows)


run(main, snakemake)
