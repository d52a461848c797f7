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
    counts = map(read_json, snakemake.input.counts)
    parts = []
    runs = product(zip(params.runs, counts, strict=True), params.arms)
    for ((cell, classes), arm), path in zip(runs, snakemake.input.predictions, strict=True):
        predictions = read_npy(path)  # the first row holds the true labels
        rows = run_rows(
            f"{cell['dataset']}/{cell['group']}", arm, cell["seed"], predictions[0], predictions[1:],
            classes["classes"], np.array(classes["thirds"]),
        )  # fmt: skip
        parts.append(rows)
    table = pd.concat(parts)
    write_csv(output.table, table)
    write_csv(output.improvements, improvements(table))
    arms = [arm for arm in params.arms if arm not in params.baselines]
    write_csv(output.over_baselines, over_baselines(table, arms, params.baselines))


run(main, snakemake)
