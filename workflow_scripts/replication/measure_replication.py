"""Measure replication of one generator on one subset, with its controls, in every space. Rule: measure_replication."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.files import read_column, read_parquet, write_json
from workflow_scripts.core.job import run
from workflow_scripts.metrics.membership import membership
from workflow_scripts.replication import measures
from workflow_scripts.replication.tables import by_rank
from workflow_scripts.replication.thresholds import threshold_label


def measure(
    neighbours: pd.DataFrame,
    controls: pd.DataFrame,
    scored: pd.DataFrame,
    labels: np.ndarray,
    thresholds: list[dict[str, float]],
) -> dict[str, Any]:
    """Every measure in one space.

    neighbours, scored, controls: as compare_samples and find_control_neighbours wrote them; labels (n,): of all images
    of the set; thresholds: the study's.
    """
    held_out, training = (controls[controls["kind"] == kind] for kind in ("held_out", "training"))
    own = by_rank(training, 1)["distance"]  # of each training image to the nearest other one
    nearest, chance = by_rank(neighbours, 1), by_rank(held_out, 1)
    samples, control = (table["distance"].to_numpy() for table in (nearest, chance))
    index, control_index = (table["index"].to_numpy() for table in (nearest, chance))
    lone, lone_control = (
        measures.is_lone(first["distance"].to_numpy(), by_rank(rows, 2)["distance"].to_numpy())
        for first, rows in ((nearest, neighbours), (chance, held_out))
    )
    authentic, authentic_control = (
        measures.is_authentic(table["distance"].to_numpy(), own.loc[table["index"]].to_numpy())
        for table in (nearest, chance)
    )
    distances = {"samples": samples, "held_out": control, "training": own.to_numpy()}
    return {
        "thresholds": [
            {"label": threshold_label(threshold)}
            | asdict(measures.replication(samples, index, control, own.to_numpy(), threshold))
            for threshold in thresholds
        ],
        "lone_neighbour": asdict(measures.compare_rates(lone, lone_control)),
        "authenticity": asdict(measures.compare_rates(authentic, authentic_control, fewer=True)),
        # Cells of the cellwise test: the class of the nearest training image (one cell where there are no classes).
        "data_copying": asdict(measures.data_copying(samples, control, labels[index], labels[control_index])),
        "data_copying_control": asdict(measures.data_copying_control(control, labels[control_index])),
        "membership": asdict(
            membership(
                scored.loc[scored["member"], "distance"].to_numpy(), scored.loc[scored["held_out"], "distance"].to_numpy()
            )
        ),
        "distances": {kind: measures.quantiles(values) for kind, values in distances.items()},
    }


def main(snakemake: Any) -> None:
    files = snakemake.input
    labels = read_column(files.labels, "label")
    paths = zip(files.neighbours, files.controls, files.membership, strict=True)
    for tables, thresholds, path in zip(paths, snakemake.params.thresholds, snakemake.output, strict=True):
        neighbours, controls, scored = map(read_parquet, tables)
        write_json(path, measure(neighbours, controls, scored, labels, thresholds))


run(main, snakemake)
