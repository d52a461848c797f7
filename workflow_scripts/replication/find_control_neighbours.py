"""Find the nearest training images of the controls: held-out images, and training images in the rest of their set.

With shards, they are found already, shard by shard. Rule: find_control_neighbours.
"""

from typing import Any

import numpy as np

from workflow_scripts.device import prepare_torch
from workflow_scripts.files import read_npy, read_parquet, write_parquet
from workflow_scripts.job import run
from workflow_scripts.replication.search import find_controls, merge_controls


def main(snakemake: Any) -> None:
    files, k = snakemake.input, snakemake.params.k
    if files.shards:
        shards = [read_parquet(path) for path in files.shards]
    else:
        [device] = prepare_torch(snakemake.threads)
        subset = np.sort(read_npy(files.order)[: int(snakemake.wildcards.size)])
        images, held_out = read_npy(files.images), read_npy(files.held_out)
        shards = [find_controls(images, held_out, subset, slice(None), k, device)]
    write_parquet(snakemake.output[0], merge_controls(shards, k))


run(main, snakemake)
