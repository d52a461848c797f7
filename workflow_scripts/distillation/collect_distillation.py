"""Collect the measures of all students into one table. Rule: collect_distillation."""

from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.classifiers.presets import LADDER
from workflow_scripts.files import read_json, write_csv
from workflow_scripts.job import run


def strength(members: list[str]) -> float | None:
    """Mean place of an ensemble's teachers on the ladder of augmentations (0 none, 3 stronger); None without any."""
    return float(np.mean([LADDER.index(name.rsplit("-", 1)[0]) for name in members])) if members else None


def main(snakemake: Any) -> None:
    rows = []
    for about, path in zip(snakemake.params.runs, snakemake.input.measures, strict=True):
        found = read_json(path)
        ensemble, view = about["student"].split(".")
        members = snakemake.params.ensembles.get(ensemble, [])
        flat = {key: value for key, value in found["measures"].items() if key not in ("classes", "groups")}
        attention = {f"teachers_{key}": value for key, value in found["attention"]["teachers"].items()}
        attention |= {f"student_{key}": value for key, value in found["attention"]["student"].items()}
        head = {"dataset": about["dataset"], "seed": about["seed"], "ensemble": ensemble, "view": view}
        places = {"teachers": len(members), "strength": strength(members), "view_strength": LADDER.index(view)}
        rows.append(head | places | flat | attention)
    write_csv(snakemake.output.table, pd.DataFrame(rows))


run(main, snakemake)
