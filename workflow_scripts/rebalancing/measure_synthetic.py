"""Say of each class's chosen synthetic images how good they are and how many are copies. Rule: measure_synthetic."""

from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_column, read_json, read_npy, write_csv
from workflow_scripts.core.job import run
from workflow_scripts.metrics.groups import Grouped
from workflow_scripts.metrics.neighbours import nearest_neighbours
from workflow_scripts.metrics.quality import compare
from workflow_scripts.rebalancing.copies import SHARE, copies_by_class, threshold_is_known
from workflow_scripts.replication.measures import calibrated_threshold

COPIES = ("copies_percentage", "copies_low", "copies_high")
OF_ALL = tuple(f"all_{column}" for column in COPIES)  # of the choice, whatever the class
MEASURES = ("frechet", "precision", "recall", "density", "coverage")


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    files, counts = snakemake.input, read_json(snakemake.input.counts)
    images, labels, groups = read_npy(files.images), *(read_column(files.labels, key) for key in ("label", "group"))
    training, test = images[read_npy(files.subset)], read_npy(files.test)
    chance = Grouped(nearest_neighbours(images[test], training, 1, device=device).distances[:, 0], groups[test])
    threshold = calibrated_threshold(chance, SHARE).rms if threshold_is_known(chance) else None
    rows = []
    for choice, path, label_path in zip(snakemake.params.choices, files.synthetic, files.synthetic_labels, strict=True):
        synthetic, intended = read_npy(path), read_column(label_path, "label")
        distances = np.empty(0)
        if len(synthetic):
            distances = nearest_neighbours(synthetic, training, 1, device=device).distances[:, 0]
        copies, in_all = copies_by_class(distances, intended, len(counts["classes"]), chance)
        classes = zip(counts["classes"], counts["labels"], counts["thirds"], copies, strict=True)
        for within, (name, label, third, copied) in enumerate(classes):
            mine = synthetic[intended == within]
            row: dict[str, Any] = {"choice": choice, "class": name, "third": third, "synthetic": len(mine)}
            row |= dict(zip(COPIES, (copied.percentage, copied.low, copied.high), strict=True))
            row |= dict(zip(OF_ALL, (in_all.percentage, in_all.low, in_all.high), strict=True))
            quality = compare(images[test[labels[test] == label]], mine, device)
            rows.append(row | {key: quality[key] for key in MEASURES})
    columns = ["choice", "class", "third", "synthetic", *COPIES, *OF_ALL, *MEASURES]
    table = pd.DataFrame(rows).reindex(columns=columns).assign(threshold_rms=threshold)
    write_csv(snakemake.output[0], table)


run(main, snakemake)
