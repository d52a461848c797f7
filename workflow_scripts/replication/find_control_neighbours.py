"""Find the nearest training images of the controls: held-out images, and training images in the rest of their set.

In every space of the study; with shards, they are found already, shard by shard. Rule: find_control_neighbours.
"""

from typing import Any

import numpy as np

from workflow_scripts.core.devices import prepare_torch
from workflow_scripts.core.files import read_npy, read_parquet, write_parquet
from workflow_scripts.core.job import run
from workflow_scripts.replication.search import find_controls, merge_controls, shards_by_space


def main(snakemake: Any) -> None:
    files, k = snakemake.input, snakemake.params.k
    [device] = prepare_torch(snakemake.threads)
    subset = np.sort(read_npy(files.order)[: int(snakemake.wildcards.size)])
    held_out = read_npy(files.held_out)
    found = shards_by_space(files.shards, len(files.images))
    for images, searched, controls in zip(files.images, found, snakemake.output, strict=True):
        if searched:
            shards = [read_parquet(path) for path in searched]
        else:
            shards = [find_controls(read_npy(images), held_out, subset, slice(None), k, device)]
        write_parquet(controls, merge_controls(shards, k))


run(main, snakemake)
