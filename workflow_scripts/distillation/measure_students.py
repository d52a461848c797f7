"""Measure all students of one seed beside their teachers: attention, fidelity, calibration, generalisation.

Rule: measure_students.
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.device import prepare_torch
from workflow_scripts.distillation.attention import count_overlaps, overlap_estimates
from workflow_scripts.distillation.measures import affinity, flatten, summary
from workflow_scripts.files import read_column, read_npy, write_json
from workflow_scripts.job import progress, run


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    files, params = snakemake.input, snakemake.params
    labels = read_column(files.labels, "label")
    training, validation = labels[read_npy(files.training)], labels[read_npy(files.validation)]
    side = read_npy(files.images).shape[1]
    teachers = {Path(path).parent.name: Path(path).parent for path in files.teachers}
    students = {Path(path).parent.name: Path(path).parent for path in files.students}

    def measure(folder: Path, taught_by: list[str]) -> dict[str, Any]:
        logits, own = read_npy(folder / "logits.npy"), [teachers[name] for name in taught_by]
        measures = summary(
            logits,
            validation,
            np.stack([read_npy(one / "logits.npy") for one in own]) if own else None,
            read_npy(folder / "training_logits.npy").argmax(1) == training,
            read_npy(folder / "features.npy") if own else None,
            [read_npy(one / "features.npy") for one in own] or None,
            np.bincount(training, minlength=logits.shape[1]),
        )
        maps = [read_npy(one / "attention.npy") for one in [*own, folder]]
        overlaps, last = count_overlaps(maps, (side, side), params.threshold, device), len(own)
        return {
            "measures": measures,
            "teachers_attention": flatten(overlap_estimates(overlaps, list(combinations(range(last), 2)))),
            "student_attention": flatten(overlap_estimates(overlaps, [(i, last) for i in range(last)])),
        }

    found = {}
    with progress(len(params.students), "students", label="measured") as bar:
        for name in params.students:
            found[name] = measure(students[name], params.ensembles.get(name.split(".")[0], []))
            bar.advance()
    # How far each rung of the ladder moves the data, as its teachers see it (Gontijo-Lopes et al. 2021).
    moved = {}
    for name, folder in teachers.items():
        clean = read_npy(folder / "logits.npy").argmax(1) == validation
        augmented = read_npy(folder / "augmented_logits.npy").argmax(2) == validation
        each = zip(params.rungs, augmented, strict=True)
        moved[name] = {rung: flatten(vars(affinity(hits, clean))) for rung, hits in each}
    write_json(snakemake.output[0], {"students": found, "affinity": moved})


run(main, snakemake)
