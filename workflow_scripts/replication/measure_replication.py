"""Measure replication of one generator on one subset, with its controls, in every space. Rule: measure_replication."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.files import read_column, read_parquet, write_json
from workflow_scripts.core.job import run
from workflow_scripts.replication import measures
from workflow_scripts.replication.tables import by_rank
from workflow_scripts.replication.thresholds import threshold_label


def measured(
    neighbours: pd.DataFrame, controls: pd.DataFrame, labels: np.ndarray, given: list[dict[str, float]]
) -> dict[str, Any]:
    """Every measure in one space.

    neighbours, controls: as compare_samples and find_control_neighbours wrote them; labels (n,): of all images of the
    set; given: the study's thresholds.
    """
    nearest, second = by_rank(neighbours, 1), by_rank(neighbours, 2)
    held_out = by_rank(controls[controls["kind"] == "held_out"], 1)
    training = by_rank(controls[controls["kind"] == "training"], 1)
    samples, chance, within = (table["distance"].to_numpy() for table in (nearest, held_out, training))

    thresholds = []
    for one in given:
        threshold = measures.distance_threshold(one, chance)
        found = measures.replication(samples, nearest["index"].to_numpy(), chance, within, threshold.rms)
        thresholds.append({"label": threshold_label(one), "threshold": asdict(threshold), **asdict(found)})

    # Cells of the cellwise test: the class of the nearest training image (one cell where there are no classes).
    cells = (labels[table["index"].to_numpy()] for table in (nearest, held_out))
    return {
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


def main(snakemake: Any) -> None:
    files = snakemake.input
    labels = read_column(files.labels, "label")
    spaces = zip(files.neighbours, files.controls, snakemake.params.thresholds, snakemake.output, strict=True)
    for neighbours, controls, thresholds, path in spaces:
        write_json(path, measured(read_parquet(neighbours), read_parquet(controls), labels, thresholds))


run(main, snakemake)
