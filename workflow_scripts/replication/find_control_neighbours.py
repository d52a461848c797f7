"""Find the nearest training images of the controls: held-out images, and training images in the rest of their set.

Rule: find_control_neighbours.
"""

from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.device import prepare_torch
from workflow_scripts.files import read_npy, write_parquet
from workflow_scripts.job import run
from workflow_scripts.replication.neighbours import nearest_neighbours
from workflow_scripts.replication.tables import neighbour_rows


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    k = snakemake.params.k
    subset = np.sort(read_npy(snakemake.input.order)[: int(snakemake.wildcards.size)])
    held_out = read_npy(snakemake.input.held_out)
    images = read_npy(snakemake.input.images)
    training = images[subset]
    chance = nearest_neighbours(images[held_out], training, k, device=device)
    within = nearest_neighbours(training, training, min(k, len(subset) - 1), device=device, exclude_self=True)
    rows = {"held_out": neighbour_rows(chance, held_out, subset), "training": neighbour_rows(within, subset, subset)}
    write_parquet(snakemake.output[0], pd.concat([table.assign(kind=kind) for kind, table in rows.items()]))


run(main, snakemake)
