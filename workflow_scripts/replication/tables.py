"""The tables of the replication stage: neighbours as rows, and measures as rows of the study's table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:  # it imports torch, which most of this module's users do without
    from workflow_scripts.metrics.neighbours import Neighbours


def neighbour_rows(found: "Neighbours", queries: np.ndarray, references: np.ndarray) -> pd.DataFrame:
    """One row for each query and rank: columns query, rank (1 = nearest), index, distance (RMS, in 0..1 for pixels).

    queries (m,), references (n,): the numbers by which the searched rows are known, for `query` and `index`.
    """
    count, k = found.distances.shape
    return pd.DataFrame(
        {
            "query": np.repeat(queries, k).astype(np.int64),
            "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), count),
            "index": references[found.indices].ravel().astype(np.int64),
            "distance": found.distances.ravel(),
        }
    )


def by_rank(rows: pd.DataFrame, rank: int) -> pd.DataFrame:
    """The rows of one rank, in order of query, columns index and distance."""
    return rows[rows["rank"] == rank].set_index("query").sort_index()[["index", "distance"]]


def study_rows(
    about: Mapping[str, Any], measured: Mapping[str, Any], quality: Mapping[str, Any], complexity: Mapping[str, Any]
) -> list[dict]:
    """Rows of the study's table for one generator on one subset: one for each threshold.

    about: generator, dataset, size, seed, space; measured: what measure_replication wrote; quality: what
    compare_samples wrote; complexity: the intrinsic dimension of the subset, as estimate_dimension wrote it.
    """
    shared = {
        "lone_neighbour_percentage": measured["lone_neighbour"]["percentage"],
        "authenticity_percentage": measured["authenticity"]["percentage"],
        "data_copying_z": measured["data_copying"]["z"],
        "data_copying_cellwise_z": measured["data_copying"]["cellwise_z"],
        "median_distance": measured["distances"]["samples"]["0.5"],
        **quality["held_out"],
        "frechet_training": quality["training"]["frechet"],
        "frechet_control": quality["control"]["frechet"],
        "intrinsic_dimension": complexity["dimension"],
        "intrinsic_dimension_low": complexity["low"],
        "intrinsic_dimension_high": complexity["high"],
    }
    rows = []
    for one in measured["thresholds"]:
        background, excess = one["background"], one["excess"]
        rows.append(
            {
                **about,
                "threshold": one["label"],
                "threshold_rms": one["threshold"]["rms"],
                "samples": one["replicas"]["of"],
                "replicas": one["replicas"]["count"],
                **{key: one["replicas"][key] for key in ("percentage", "low", "high")},
                "held_out": background["of"],
                **{f"background_{key}": background[key] for key in ("percentage", "low", "high")},
                **{f"excess_{key}": excess[key] for key in ("percentage", "low", "high")},
                "near_duplicates_percentage": one["near_duplicates"]["percentage"],
                "images_copied": one["images_copied"],
                **shared,
            }
        )
    return rows
