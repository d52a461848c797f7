"""Measure replication of one generator on one subset, with its controls. Rule: measure_replication."""

from dataclasses import asdict
from typing import Any

from workflow_scripts.config import threshold_label
from workflow_scripts.files import read_column, read_parquet, write_json
from workflow_scripts.job import run
from workflow_scripts.replication import measures
from workflow_scripts.replication.tables import by_rank


def main(snakemake: Any) -> None:
    neighbours, controls = read_parquet(snakemake.input.neighbours), read_parquet(snakemake.input.controls)
    nearest, second = by_rank(neighbours, 1), by_rank(neighbours, 2)
    held_out = by_rank(controls[controls["kind"] == "held_out"], 1)
    training = by_rank(controls[controls["kind"] == "training"], 1)
    samples, chance, within = (table["distance"].to_numpy() for table in (nearest, held_out, training))

    thresholds = []
    for given in snakemake.params.thresholds:
        threshold = (
            measures.calibrated_threshold(chance, given["calibrated"])
            if "calibrated" in given
            else measures.Threshold(given["rms"])
        )
        found = measures.replication(samples, nearest["index"].to_numpy(), chance, within, threshold.rms)
        thresholds.append({"label": threshold_label(given), "threshold": asdict(threshold), **asdict(found)})

    # Cells of the cellwise test: the class of the nearest training image (one cell where there are no classes).
    labels = read_column(snakemake.input.labels, "label")
    cells = (labels[table["index"].to_numpy()] for table in (nearest, held_out))
    result = {
        "thresholds": thresholds,
        "lone_neighbour": asdict(measures.lone_neighbour(samples, second["distance"].to_numpy())),
        "authenticity": asdict(measures.authenticity(samples, training["distance"].loc[nearest["index"]].to_numpy())),
        "data_copying": asdict(measures.data_copying(samples, chance, *cells)),
        "distances": {
            "samples": measures.quantiles(samples),
            "held_out": measures.quantiles(chance),
            "training": measures.quantiles(within),
        },
    }
    write_json(snakemake.output[0], result)


run(main, snakemake)
