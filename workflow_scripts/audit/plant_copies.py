"""Change training and held-out images in ways that may hide a copy, to see what is found. Rule: plant_copies."""

from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.audit.planting import plant
from workflow_scripts.audit.split import size_of, split_of
from workflow_scripts.core.files import read_npy, write_npy, write_parquet
from workflow_scripts.core.job import run


def main(snakemake: Any) -> None:
    files, params = snakemake.input, snakemake.params
    images = read_npy(files.images)
    members, held_out = split_of(files, size_of(snakemake.wildcards.split))
    random = np.random.default_rng([params.seed, len(members)])
    chosen = [np.sort(random.permutation(part)[: params.planted]) for part in (members, held_out)]
    parts = [plant(images[part], part, params.seed) for part in chosen if len(part)]
    change = np.concatenate([part.change for part in parts])
    source = np.concatenate([part.source for part in parts])
    query = len(images) + np.arange(len(change))  # beyond the numbers of the images
    training = np.isin(source, members)
    write_npy(snakemake.output.images, np.concatenate([part.images for part in parts]))
    table = {"query": query, "source": source, "change": change, "training": training}
    write_parquet(snakemake.output.table, pd.DataFrame(table))


run(main, snakemake)
