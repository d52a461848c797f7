"""Search one shard of an image set, for samples or for the controls. Rules: search_shard, search_control_shard."""

from typing import Any

import numpy as np

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_npy, write_parquet
from workflow_scripts.core.job import run
from workflow_scripts.replication.search import find_both_ways, find_controls, scored_images


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    files, k = snakemake.input, snakemake.params.k
    size, shard = int(snakemake.wildcards.size), (int(snakemake.wildcards.shard), snakemake.params.shards)
    subset = np.sort(read_npy(files.order)[:size])
    images = read_npy(files.images)
    if files.get("samples"):
        orders, held_out = ([*map(read_npy, paths)] for paths in (files.orders, files.all_held_out))
        scored = scored_images(orders, held_out, snakemake.params.largest)
        rows = find_both_ways(images, read_npy(files.samples), subset, scored, k, device, shard)
    else:
        rows = find_controls(images, read_npy(files.held_out), subset, k, device, shard)
    write_parquet(snakemake.output[0], rows)


run(main, snakemake)
