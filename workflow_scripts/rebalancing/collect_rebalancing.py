"""Measure every arm of every run, and what it gains over the original set and over the baselines.

Rule: collect_rebalancing.
"""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.files import read_json, read_npy, write_csv
from workflow_scripts.core.job import run
from workflow_scripts.rebalancing.gains import improvements, over_baselines, run_rows


def main(snakemake: Any) -> None:
    params, output = snakemake.params, snakemake.output
    counts = {
        tuple(about.values()): read_json(path) for about, path in zip(params.runs, snakemake.input.counts, strict=True)
    }
    parts = []
    for (about, arm), path in zip(product(params.runs, params.arms), snakemake.input.predictions, strict=True):
        found, predictions = counts[tuple(about.values())], read_npy(path)
        # The first row holds the true labels.
        rows = run_rows(
            f"{about['dataset']}/{about['group']}", arm, about["seed"], predictions[0], predictions[1:],
            found["classes"], np.array(found["thirds"]),
        )  # fmt: skip
        parts.append(rows)
    table = pd.concat(parts)
    write_csv(output.table, table)
    write_csv(output.improvements, improvements(table))
    arms = [arm for arm in params.arms if arm not in params.baselines]
    write_csv(output.over_baselines, over_baselines(table, arms, params.baselines))


run(main, snakemake)
