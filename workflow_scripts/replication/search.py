"""The replication stage's searches, whole or in shards.

A shard is a slice of the training set; each query's nearest images within it are found by a job of its own, and merged.
Distances depend on nothing but the two rows, and ties go to the lowest number: any number of shards gives the same
bytes.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from workflow_scripts.metrics.neighbours import Neighbours, nearest_neighbours
from workflow_scripts.replication.tables import neighbour_rows


def find_neighbours(
    queries: np.ndarray,
    numbers: np.ndarray,
    references: np.ndarray,
    members: np.ndarray,
    k: int,
    device: torch.device,
    leave_out_self: bool = False,
) -> pd.DataFrame:
    """The k nearest references to each query, or all if there are fewer, as neighbour_rows gives them.

    queries (m, ...) and references (n, ...), with the numbers by which they are known: numbers (m,) and members (n,),
    the latter rising.
    leave_out_self: both are images of one set, and one with the number of the query is not its neighbour.
    """
    k = min(k + leave_out_self, len(members))
    if k == 0:
        nothing = Neighbours(np.empty((len(queries), 0)), np.empty((len(queries), 0), dtype=np.int64))
        return neighbour_rows(nothing, numbers, members)
    rows = neighbour_rows(nearest_neighbours(queries, references, k, device=device), numbers, members)
    return rows[rows["query"] != rows["index"]] if leave_out_self else rows


def shards_by_space(paths: Sequence[str], spaces: int) -> list[Sequence[str]]:
    """The files of the shards of each space in turn, as many for each; none where nothing was searched in shards."""
    each = len(paths) // spaces
    return [paths[i * each : (i + 1) * each] for i in range(spaces)]


def merge(shards: Sequence[pd.DataFrame], k: int) -> pd.DataFrame:
    """The k nearest of each query over all shards, in order of query and rank; ties by lowest index."""
    rows = pd.concat(shards, ignore_index=True)
    rows = rows.iloc[np.lexsort((rows["index"], rows["distance"], rows["query"]))]
    rank = rows.groupby("query").cumcount().to_numpy(dtype=np.int32) + np.int32(1)
    return rows.assign(rank=rank)[rank <= k].reset_index(drop=True)


def find_controls(
    images: np.ndarray, held_out: np.ndarray, members: np.ndarray, shard: slice, k: int, device: torch.device
) -> pd.DataFrame:
    """The nearest of images[members[shard]] to held-out images and to all members; column `kind` tells which."""
    training = images[members]
    references, within = training[shard], members[shard]
    found = {
        "held_out": find_neighbours(images[held_out], held_out, references, within, k, device),
        "training": find_neighbours(training, members, references, within, k, device, leave_out_self=True),
    }
    return pd.concat([rows.assign(kind=kind) for kind, rows in found.items()], ignore_index=True)


def merge_controls(shards: Sequence[pd.DataFrame], k: int) -> pd.DataFrame:
    """What merge gives, for each kind of control by itself."""
    kinds = {kind: [shard[shard["kind"] == kind] for shard in shards] for kind in ("held_out", "training")}
    return pd.concat([merge(parts, k) for parts in kinds.values()], ignore_index=True)
