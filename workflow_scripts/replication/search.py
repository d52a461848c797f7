"""The replication stage's searches, whole or in shards.

A shard is a slice of the images that are searched; a job of its own searches it, and the results are merged. Distances
depend on nothing but the two rows, and ties go to the lowest number: any number of shards gives the same bytes.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from workflow_scripts.data.subsets import shard_of
from workflow_scripts.metrics.neighbours import Neighbours, nearest_neighbours
from workflow_scripts.replication.tables import neighbour_rows

WHOLE = (0, 1)  # the first of one shard


def find_neighbours(
    queries: np.ndarray,
    numbers: np.ndarray,
    references: np.ndarray,
    members: np.ndarray,
    k: int,
    device: torch.device,
    leave_out_self: bool = False,
) -> pd.DataFrame:
    """The k nearest references of each query, or all if there are fewer, as neighbour_rows gives them.

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


def find_controls(
    images: np.ndarray,
    held_out: np.ndarray,
    members: np.ndarray,
    k: int,
    device: torch.device,
    shard: tuple[int, int] = WHOLE,
) -> pd.DataFrame:
    """The nearest of a shard of the training images `members` to held-out images and to all members, by `kind`."""
    training, part = images[members], shard_of(len(members), *shard)
    references, within = training[part], members[part]
    kinds = {
        "held_out": find_neighbours(images[held_out], held_out, references, within, k, device),
        "training": find_neighbours(training, members, references, within, k, device, leave_out_self=True),
    }
    return _with_kind(kinds)


def find_both_ways(
    images: np.ndarray,
    samples: np.ndarray,
    members: np.ndarray,
    scored: np.ndarray,
    k: int,
    device: torch.device,
    shard: tuple[int, int] = WHOLE,
) -> pd.DataFrame:
    """Between samples and images, by `kind`: `sample`, the k nearest training images of each; `image`, the reverse.

    samples (m, ...); a shard of members (n,) is searched for the samples; of a shard of the images `scored` (p,) the
    nearest sample is found, of which the number is then the index.
    """
    training = members[shard_of(len(members), *shard)]
    part, numbers = scored[shard_of(len(scored), *shard)], np.arange(len(samples))
    kinds = {
        "sample": find_neighbours(samples, numbers, images[training], training, k, device),
        "image": find_neighbours(images[part], part, samples, numbers, 1, device),
    }
    return _with_kind(kinds)


def scored_images(orders: Sequence[np.ndarray], held_out: Sequence[np.ndarray], largest: int) -> np.ndarray:
    """The images whose membership is asked of each run: held-out and training images of every seed and size."""
    return np.unique(np.concatenate([*(order[:largest] for order in orders), *held_out]))


def membership_rows(rows: pd.DataFrame, members: np.ndarray, held_out: np.ndarray) -> pd.DataFrame:
    """Of the rows of kind `image` of find_both_ways: image, member, held_out (neither: of other runs), distance."""
    rows = rows[rows["kind"] == "image"]
    return pd.DataFrame(
        {
            "image": rows["query"],
            "member": rows["query"].isin(members),
            "held_out": rows["query"].isin(held_out),
            "sample": rows["index"],
            "distance": rows["distance"],
        }
    )


def snapshot_rows(images: np.ndarray, snapshots: np.ndarray, members: np.ndarray, device: torch.device) -> pd.DataFrame:
    """The nearest training image of each sample of each moment of a training: moment (from 0), sample, index, distance.

    snapshots (moments, samples, ...), in the space of images (N, ...); members (n,): the training images, rising.
    """
    moments, samples = snapshots.shape[:2]
    queries = np.arange(moments * samples)
    flat = snapshots.reshape(len(queries), *images.shape[1:])
    rows = find_neighbours(flat, queries, images[members], members, 1, device)
    places = {"moment": rows["query"] // samples, "sample": rows["query"] % samples}
    return pd.DataFrame({**places, "index": rows["index"], "distance": rows["distance"]})


def shards_by_space(paths: Sequence[str], spaces: int) -> list[Sequence[str]]:
    """The files of the shards of each space in turn, as many for each; none where nothing was searched in shards."""
    each = len(paths) // spaces
    return [paths[i * each : (i + 1) * each] for i in range(spaces)]


def merge(shards: Sequence[pd.DataFrame], k: int) -> pd.DataFrame:
    """The k nearest of each query over all shards, by kind, in order of query and rank; ties by lowest index."""
    rows = pd.concat(shards, ignore_index=True)
    parts = []
    for kind, part in rows.groupby("kind"):
        part = part.iloc[np.lexsort((part["index"], part["distance"], part["query"]))]
        rank = part.groupby("query").cumcount().to_numpy(dtype=np.int32) + np.int32(1)
        parts.append(part.assign(rank=rank, kind=kind)[rank <= k])
    return pd.concat(parts, ignore_index=True)


def _with_kind(kinds: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([rows.assign(kind=kind) for kind, rows in kinds.items()], ignore_index=True)
