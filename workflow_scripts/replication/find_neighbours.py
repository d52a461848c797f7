"""Find every sample's nearest training images. Rule: find_neighbours."""

from typing import Any

import numpy as np

from workflow_scripts.device import prepare_torch
from workflow_scripts.files import read_npy, write_parquet
from workflow_scripts.job import run
from workflow_scripts.replication.neighbours import nearest_neighbours
from workflow_scripts.replication.tables import neighbour_rows


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    subset = np.sort(read_npy(snakemake.input.order)[: int(snakemake.wildcards.size)])
    training, samples = read_npy(snakemake.input.images)[subset], read_npy(snakemake.input.samples)
    found = nearest_neighbours(samples, training, snakemake.params.k, device=device)
    write_parquet(snakemake.output[0], neighbour_rows(found, np.arange(len(samples)), subset))


run(main, snakemake)
