"""The tables of the replication stage: neighbours as rows, and measures as rows of the study's table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:  # it imports torch, which most of this module's users do without
    from workflow_scripts.metrics.neighbours import Neighbours


def neighbour_rows(neighbours: "Neighbours", queries: np.ndarray, references: np.ndarray) -> pd.DataFrame:
    """One row for each query and rank: columns query, rank (1 = nearest), index, distance (RMS, in 0..1 for pixels).

    queries (m,), references (n,): the numbers by which the searched rows are known, for `query` and `index`.
    """
    count, k = neighbours.distances.shape
    return pd.DataFrame(
        {
            "query": np.repeat(queries, k).astype(np.int64),
            "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), count),
            "index": references[neighbours.indices].ravel().astype(np.int64),
            "distance": neighbours.distances.ravel(),
        }
    )


def by_rank(rows: pd.DataFrame, rank: int) -> pd.DataFrame:
    """The rows of one rank, in order of query, columns index and distance."""
    return rows[rows["rank"] == rank].set_index("query").sort_index()[["index", "distance"]]


def study_rows(
    run: Mapping[str, Any],
    measured: Mapping[str, Any],
    quality: Mapping[str, Any],
    control: Mapping[str, Any],
    complexity: Mapping[str, Any],
) -> list[dict]:
    """Rows of the study's table for one generator on one subset: one for each threshold.

    run: generator, dataset, size, seed, space; measured, quality, control, complexity: what measure_replication,
    compare_samples, find_control_neighbours and estimate_dimension wrote. Columns with `_held_out` are what held-out
    images get for the measure whose name comes before.
    """
    shared = {
        **_compared("lone_neighbour_percentage", measured["lone_neighbour"]),
        **_compared("authenticity_percentage", measured["authenticity"]),
        "data_copying_z": measured["data_copying"]["z"],
        "data_copying_z_held_out": measured["data_copying_control"]["z"],
        "data_copying_cellwise_z": measured["data_copying"]["cellwise_z"],
        "data_copying_cellwise_z_held_out": measured["data_copying_control"]["cellwise_z"],
        **membership_columns(measured["membership"]),
        "median_distance": measured["distances"]["samples"]["0.5"],
        "median_distance_held_out": measured["distances"]["held_out"].get("0.5"),
        **quality["held_out"],
        **{f"{name}_held_out": value for name, value in control["held_out"].items()},
        "frechet_training": quality["training"]["frechet"],
        "frechet_control": control["training"]["frechet"],
        "intrinsic_dimension": complexity["dimension"],
        "intrinsic_dimension_low": complexity["low"],
        "intrinsic_dimension_high": complexity["high"],
    }
    rows = []
    for threshold in measured["thresholds"]:
        replicas, background, excess = threshold["replicas"], threshold["background"], threshold["excess"]
        rows.append(
            {
                **run,
                "threshold": threshold["label"],
                **{f"threshold_{key}": threshold["threshold"][key] for key in ("rms", "low", "high")},
                "samples": replicas["of"],
                "replicas": replicas["count"],
                "percentage": replicas["percentage"],
                "low": threshold["low"],
                "high": threshold["high"],
                "counting_low": replicas["low"],
                "counting_high": replicas["high"],
                "held_out": background["of"],
                **{f"background_{key}": background[key] for key in ("percentage", "low", "high")},
                **{f"excess_{key}": excess[key] for key in ("percentage", "low", "high")},
                "near_duplicates_percentage": threshold["near_duplicates"]["percentage"],
                "images_copied": threshold["images_copied"],
                **shared,
            }
        )
    return rows


def membership_columns(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Of a Membership as JSON: members, controls, AUC and what is told at each rate of false alarms."""
    columns = {key: measured[key] for key in ("members", "controls", "auc", "auc_low", "auc_high")}
    for told in measured["told"]:
        name = f"told_at_{100 * told['false_alarms']:g}"
        columns |= {f"{name}_{key}": told[key] for key in ("percentage", "low", "high")}
    return columns


def _compared(name: str, comparison: Mapping[str, Any]) -> dict[str, Any]:
    return {name: comparison["samples"]["percentage"], f"{name}_held_out": comparison["held_out"]["percentage"]}
