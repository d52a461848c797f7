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
    for (dataset, seed), path in zip(snakemake.params.runs, snakemake.input.measures, strict=True):
        for student, found in read_json(path)["students"].items():
            ensemble, view = student.split(".")
            members = snakemake.params.ensembles.get(ensemble, [])
            head = {"dataset": dataset, "seed": seed, "ensemble": ensemble, "view": view, "teachers": len(members)}
            head |= {"strength": strength(members), "view_strength": LADDER.index(view)}
            flat = {key: value for key, value in found["measures"].items() if key not in ("classes", "groups")}
            for who in ("teachers", "student"):
                flat |= {f"{who}_{key}": value for key, value in found[f"{who}_attention"].items()}
            rows.append(head | flat)
    write_csv(snakemake.output.table, pd.DataFrame(rows))


run(main, snakemake)
