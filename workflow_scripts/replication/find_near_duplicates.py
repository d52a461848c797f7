"""Find the held-out images that are near-duplicates of training images, for every seed. Rule: find_near_duplicates."""

from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_npy, read_parquet, write_csv
from workflow_scripts.core.job import logger, run
from workflow_scripts.metrics.duplicates import near_duplicates_within
from workflow_scripts.replication.leakage import COLUMNS, leaked


def main(snakemake: Any) -> None:
    files, params = snakemake.input, snakemake.params
    device = device_of_job(snakemake)
    orders, splits = ([*map(read_npy, paths)] for paths in (files.orders, files.all_held_out))
    rows, origins = np.unique(np.concatenate(splits)), read_parquet(files.labels)["origin"]
    parts = [pd.DataFrame(columns=[*COLUMNS, "held_out_file", "training_file"])]
    for space, path in zip(params.spaces, files.images, strict=True):
        twins = near_duplicates_within(read_npy(path), rows, device)
        pairs = pd.DataFrame(
            {
                "space": space,
                "query": rows[twins.queries],
                "reference": twins.references,
                "distance": twins.distances,
                "beyond": twins.beyond,
            }
        )
        for seed, order, held_out in zip(params.seeds, orders, splits, strict=True):
            split = leaked(pairs, order, held_out).assign(seed=seed)
            files_of = {f"{side}_file": origins[split[side]].to_numpy() for side in ("held_out", "training")}
            parts.append(split.assign(**files_of)[list(parts[0].columns)])
            logger.info("%s, seed %d: %d near-duplicates across the split", space, seed, split["held_out"].nunique())
    write_csv(snakemake.output.table, pd.concat([part for part in parts if len(part)] or parts[:1]))


run(main, snakemake)
