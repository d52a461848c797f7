"""Measure one student beside its teachers: attention, fidelity, calibration, generalisation. Rule: measure_student."""

from itertools import combinations
from typing import Any

import numpy as np

from workflow_scripts.device import prepare_torch
from workflow_scripts.distillation.attention import count_overlaps, overlap_estimates
from workflow_scripts.distillation.measures import flatten, summary
from workflow_scripts.files import provenance, read_npy, read_parquet, write_json
from workflow_scripts.job import run


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    files = snakemake.input
    labels = read_parquet(files.labels)["label"].to_numpy()
    training, validation = labels[read_npy(files.training)], labels[read_npy(files.validation)]
    alone = snakemake.wildcards.student.split(".")[0] in ("alone", "smoothed")
    student = read_npy(files.logits)
    found = summary(
        student,
        validation,
        None if alone else np.stack([read_npy(path) for path in files.teacher_logits]),
        read_npy(files.training_logits).argmax(1) == training,
        read_npy(files.features),
        None if alone else [read_npy(path) for path in files.teacher_features],
        np.bincount(training, minlength=student.shape[1]),
    )
    side = read_npy(files.images).shape[1]
    maps = [read_npy(path) for path in ([] if alone else files.teacher_attention)] + [read_npy(files.attention)]
    overlaps = count_overlaps(maps, (side, side), snakemake.params.threshold, device)
    count = len(maps) - 1
    attention = {
        "teachers": flatten(overlap_estimates(overlaps, list(combinations(range(count), 2)))),
        "student": flatten(overlap_estimates(overlaps, [(i, count) for i in range(count)])),
    }
    made_by = provenance(threshold=snakemake.params.threshold, **dict(snakemake.wildcards))
    write_json(snakemake.output[0], {"measures": found, "attention": attention, "provenance": made_by})


run(main, snakemake)
