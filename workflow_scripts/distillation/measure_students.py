"""Measure all students of one seed beside their teachers: attention, fidelity, calibration, generalisation.

Rule: measure_students.
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_column, read_npy, write_json
from workflow_scripts.core.job import run
from workflow_scripts.core.progress import progress
from workflow_scripts.distillation.estimates import flatten
from workflow_scripts.distillation.measures import affinity, fidelity
from workflow_scripts.distillation.overlap import count_overlaps, overlap_estimates
from workflow_scripts.distillation.summary import summary


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    files, params = snakemake.input, snakemake.params
    labels = read_column(files.labels, "label")
    training, validation = labels[read_npy(files.training)], labels[read_npy(files.validation)]
    side = read_npy(files.images).shape[1]
    teachers = {Path(path).parent.name: Path(path).parent for path in files.teachers}
    students = {Path(path).parent.name: Path(path).parent for path in files.students}

    def read(folders: list[Path], kind: str, place: int | None = None) -> list[np.ndarray]:
        arrays = [read_npy(folder / f"{kind}.npy") for folder in folders]
        return arrays if place is None else [views[place] for views in arrays]

    # Where students and teachers are compared: name, labels, prefix of the files, place in them.
    views: list[tuple[str, np.ndarray, str, int | None]]
    views = [("validation", validation, "", None), ("training", training, "training_", None)]
    views += [(rung, validation, "augmented_", place) for place, rung in enumerate(params.rungs)]

    def measure(folder: Path, taught_by: list[str]) -> dict[str, Any]:
        logits, own = read_npy(folder / "logits.npy"), [teachers[name] for name in taught_by]
        measures = summary(
            logits,
            validation,
            np.stack(read(own, "logits")) if own else None,
            read_npy(folder / "training_logits.npy").argmax(1) == training,
            read_npy(folder / "features.npy") if own else None,
            read(own, "features") or None,
            np.bincount(training, minlength=logits.shape[1]),
        )
        beside: dict[str, Any] = {}
        last = len(own)
        for view, labels, prefix, place in views if own else []:
            maps = read([*own, folder], f"{prefix}attention", place)
            overlaps = count_overlaps(maps, (side, side), params.threshold, device)
            *taught, student = read([*own, folder], f"{prefix}logits", place)
            beside[view] = {
                "fidelity": flatten(fidelity(student, np.stack(taught), labels)),
                "teachers_attention": flatten(overlap_estimates(overlaps, list(combinations(range(last), 2)))),
                "student_attention": flatten(overlap_estimates(overlaps, [(i, last) for i in range(last)])),
            }
        return {"measures": measures, "views": beside}

    measured = {}
    with progress(len(params.students), "students", label="measured") as bar:
        for name in params.students:
            measured[name] = measure(students[name], params.ensembles.get(name.split(".")[0], []))
            bar.advance()
    # How far each rung of the ladder moves the data, to teachers of clean images (Gontijo-Lopes et al. 2021).
    moved = {}
    for name in params.clean:
        folder = teachers[name]
        clean = read_npy(folder / "logits.npy").argmax(1) == validation
        augmented = read_npy(folder / "augmented_logits.npy").argmax(2) == validation
        each = zip(params.rungs, augmented, strict=True)
        moved[name] = {rung: flatten(vars(affinity(hits, clean))) for rung, hits in each}
    alone = {name: measure(folder, [])["measures"] for name, folder in teachers.items()}
    write_json(snakemake.output[0], {"students": measured, "teachers": alone, "affinity": moved})


run(main, snakemake)
