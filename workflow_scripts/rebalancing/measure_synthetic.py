"""Say of each class's chosen synthetic images how good they are and how many are copies. Rule: measure_synthetic."""

from typing import Any

import pandas as pd

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_column, read_json, read_npy, write_csv
from workflow_scripts.core.job import run
from workflow_scripts.metrics.neighbours import nearest_neighbours
from workflow_scripts.metrics.quality import compare
from workflow_scripts.replication.measures import calibrated_threshold, rate

COPIES = ("copies_percentage", "copies_low", "copies_high")
MEASURES = ("frechet", "precision", "recall", "density", "coverage")
SHARE = 0.01  # of the test images would count as copies at the threshold


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    files, counts = snakemake.input, read_json(snakemake.input.counts)
    images, labels = read_npy(files.images), read_column(files.labels, "label")
    training, test = images[read_npy(files.subset)], read_npy(files.test)
    chance = nearest_neighbours(images[test], training, 1, device=device).distances[:, 0]
    # Of fewer test images none can count as a copy by chance, so there is no such threshold.
    threshold = calibrated_threshold(chance, SHARE).rms if len(chance) >= 1 / SHARE else None
    rows = []
    for choice, path, label_path in zip(snakemake.params.choices, files.synthetic, files.synthetic_labels, strict=True):
        synthetic, intended = read_npy(path), read_column(label_path, "label")
        classes = zip(counts["classes"], counts["labels"], counts["thirds"], strict=True)
        for within, (name, label, third) in enumerate(classes):
            mine = synthetic[intended == within]
            row: dict[str, Any] = {"choice": choice, "class": name, "third": third, "synthetic": len(mine)}
            if len(mine) and threshold is not None:
                nearest = nearest_neighbours(mine, training, 1, device=device).distances[:, 0]
                copies = rate(nearest <= threshold)
                row |= dict(zip(COPIES, (copies.percentage, copies.low, copies.high), strict=True))
            quality = compare(images[test[labels[test] == label]], mine, device)
            rows.append(row | {key: quality[key] for key in MEASURES})
    columns = ["choice", "class", "third", "synthetic", *COPIES, *MEASURES]
    table = pd.DataFrame(rows).reindex(columns=columns).assign(threshold_rms=threshold)
    write_csv(snakemake.output[0], table)


run(main, snakemake)
