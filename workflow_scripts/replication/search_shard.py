"""Search one shard of a training set, for samples or for the controls. Rules: search_shard, search_control_shard."""

from typing import Any

import numpy as np

from workflow_scripts.core.devices import prepare_torch
from workflow_scripts.core.files import read_npy, write_parquet
from workflow_scripts.core.job import run
from workflow_scripts.data.subsets import shard_of
from workflow_scripts.replication.search import find_controls, find_neighbours


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    files, k = snakemake.input, snakemake.params.k
    subset = np.sort(read_npy(files.order)[: int(snakemake.wildcards.size)])
    shard = shard_of(len(subset), int(snakemake.wildcards.shard), snakemake.params.shards)
    images = read_npy(files.images)
    if files.get("held_out"):
        rows = find_controls(images, read_npy(files.held_out), subset, shard, k, device)
    else:
        samples = read_npy(files.samples)
        rows = find_neighbours(samples, np.arange(len(samples)), images[subset[shard]], subset[shard], k, device)
    write_parquet(snakemake.output[0], rows)


run(main, snakemake)
