"""Collect the measures of all students into one table. Rule: collect_distillation."""

from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.classifiers.presets import LADDER
from workflow_scripts.core.files import read_json, write_csv
from workflow_scripts.core.job import run

ELSEWHERE = ("agreement", "kl", "iou", "iou_corrected")  # beside the validation images as they are


def strength(rungs: list[str]) -> float | None:
    """Mean place on the ladder of augmentations (0 none, 3 stronger) of an ensemble's teachers; None without any."""
    return float(np.mean([LADDER.index(rung) for rung in rungs])) if rungs else None


def columns(student: dict[str, Any]) -> dict[str, float | None]:
    """Measures of one student as columns: of it alone, of head, middle and tail, and beside its teachers by view."""
    flat = {key: value for key, value in student["measures"].items() if key not in ("classes", "groups")}
    for group, measures in student["measures"]["groups"].items():
        flat |= {f"{group}_{key}": value for key, value in measures.items() if key != "images"}
    for view, parts in student["views"].items():
        for part, measures in parts.items():
            who = "" if part == "fidelity" else f"{part.removesuffix('_attention')}_"
            if view == "validation":
                flat |= {f"{who}{key}": value for key, value in measures.items()}
            else:
                flat |= {f"{view}_{who}{key}": value for key, value in measures.items() if key in ELSEWHERE}
    return flat


def main(snakemake: Any) -> None:
    rows, params = [], snakemake.params
    for (dataset, seed), path in zip(params.runs, snakemake.input.measures, strict=True):
        for name, student in read_json(path)["students"].items():
            ensemble, view = name.split(".")
            rungs = [params.augmentations[teacher] for teacher in params.ensembles.get(ensemble, [])]
            head = {"dataset": dataset, "seed": seed, "ensemble": ensemble, "view": view, "teachers": len(rungs)}
            head |= {"strength": strength(rungs), "view_strength": LADDER.index(view)}
            rows.append(head | columns(student))
    write_csv(snakemake.output.table, pd.DataFrame(rows))


run(main, snakemake)
