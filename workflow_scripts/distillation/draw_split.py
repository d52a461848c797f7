"""Draw the training and validation images of one seed's teachers and students. Rule: draw_split."""

from typing import Any

import numpy as np

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_column, read_json, read_npy, write_npy
from workflow_scripts.core.job import run
from workflow_scripts.data.imbalance import Exponential, imbalanced_subset


def main(snakemake: Any) -> None:
    params, order = snakemake.params, read_npy(snakemake.input.order)
    labels = read_column(snakemake.input.labels, "label")
    order = order[labels[order] >= 0]
    if params.size is not None and params.size > len(order):
        raise InputError(
            f"distillation.training: {params.size} images given, but only {len(order)} with a class are left beside "
            "those held out; lower it"
        )
    training = order[: params.size]
    if params.imbalance is not None:
        classes = read_json(snakemake.input.manifest)["classes"]
        kept = np.full(len(labels), -1)
        kept[training] = labels[training]
        largest = int(np.bincount(labels[training], minlength=len(classes)).min())
        training = imbalanced_subset(
            kept, classes, Exponential(largest, params.imbalance, tuple(classes)), int(snakemake.wildcards.seed)
        )
    held_out = read_npy(snakemake.input.held_out)
    write_npy(snakemake.output.training, np.sort(training))
    write_npy(snakemake.output.validation, held_out[labels[held_out] >= 0])


run(main, snakemake)
