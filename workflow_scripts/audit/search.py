"""The audit's searches: nearest training images of samples and controls in each space, and over moves of the images.

Results are rows of one form: space, kind, query, index (of the nearest), distance, second (distance of the next), mean
(of the nearest `MEAN_OF`), duplicates (how many training images are near-duplicates of it). Kinds: `query`, a sample or
control and its nearest training image; `image`, an image whose membership is asked and its nearest sample; `own`, a
training image and the nearest other one.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from workflow_scripts.audit.alignment import align
from workflow_scripts.audit.halves import nearest_halves
from workflow_scripts.metrics.duplicates import ERROR, SEEN, count_near_duplicates
from workflow_scripts.metrics.neighbours import Neighbours, nearest_neighbours

COLUMNS = ["space", "kind", "query", "index", "distance", "second", "mean", "duplicates"]
MEAN_OF = 50  # Carlini et al. 2023
MOVED, TILES, HALVES = OTHERS = "moved", "tiles", "halves"  # beside the spaces of the config
MOST_MEMBERS, MOST_CONTROLS = 5_000, 10_000  # images whose membership is asked


def search(
    images: Mapping[str, np.ndarray],
    queries: Mapping[str, np.ndarray],
    pixels: tuple[np.ndarray, np.ndarray],
    members: np.ndarray,
    scored: np.ndarray,
    numbers: np.ndarray,
    device: torch.device,
    shards: int = 1,
) -> pd.DataFrame:
    """Search queries among the training images, and the nearest query of each image of `scored`.

    images (N, ...), queries (m, ...): vectors in each space; pixels: both as uint8 images (n, H, W, C); members (n,):
    the numbers of the training images, rising; scored (p,); numbers (m,): of the queries. shards: how many searches
    share the error of near-duplicates, of which a hundred would find some by chance.
    """
    parts, proposed = [], []
    if not len(numbers):
        return pd.DataFrame(columns=COLUMNS)
    for space, vectors in images.items():
        training = rows_of(vectors, members)
        near = _nearest(queries[space], training, MEAN_OF, device)
        proposed.append(near.indices)
        parts.append(_rows(space, "query", numbers, near, members, ERROR / shards))
        copied = np.unique(near.indices[:, 0])
        own = nearest_neighbours(training[copied], training, min(2, len(members)), device=device)
        parts.append(_rows(space, "own", members[copied], _without_self(own, copied), members))
        if len(scored):
            back = nearest_neighbours(rows_of(vectors, scored), queries[space], 1, device=device)
            parts.append(_rows(space, "image", scored, back, numbers))
    training, samples = rows_of(pixels[0], members), pixels[1]
    aligned, half = align(samples, training, proposed, device), nearest_halves(samples, training, device)
    others = {
        MOVED: (aligned.index, aligned.distance),
        TILES: (aligned.index, aligned.tiles),
        HALVES: (half.indices[:, 0], half.distances[:, 0]),
    }
    unknown = {"second": np.nan, "mean": np.nan, "duplicates": 0}
    for space, (index, distance) in others.items():
        row = {"space": space, "kind": "query", "query": numbers, "index": members[index], "distance": distance}
        parts.append(pd.DataFrame(row | unknown))
    return pd.concat(parts, ignore_index=True)


def own_distances(
    images: Mapping[str, np.ndarray], members: np.ndarray, chosen: np.ndarray, device: torch.device
) -> pd.DataFrame:
    """Rows of kind `own` for the training images at places `chosen` of `members`."""
    parts = []
    for space, vectors in images.items():
        training = rows_of(vectors, members)
        near = nearest_neighbours(training[chosen], training, min(2, len(members)), device=device)
        parts.append(_rows(space, "own", members[chosen], _without_self(near, chosen), members))
    return pd.concat(parts, ignore_index=True)


def merge(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several searches: of each space, kind and query the nearest, ties by lowest index."""
    rows = pd.concat([part for part in parts if len(part)], ignore_index=True)
    rows = rows.sort_values(["space", "kind", "query", "distance", "index"], kind="stable")
    return rows.drop_duplicates(["space", "kind", "query"], ignore_index=True)


def scored_images(members: np.ndarray, held_out: np.ndarray, seed: int, all_members: bool) -> np.ndarray:
    """The images whose membership is asked: training images, all or a part at random, and held-out ones; rising."""
    random = np.random.default_rng([seed, len(members)])
    most = len(members) if all_members else MOST_MEMBERS
    return np.union1d(some_of(random, members, most), some_of(random, held_out, MOST_CONTROLS))


def some_of(random: np.random.Generator, numbers: np.ndarray, most: int) -> np.ndarray:
    """All numbers (n,), or at most `most` of them at random, in their order."""
    return numbers if len(numbers) <= most else np.sort(random.choice(numbers, most, replace=False))


def rows_of(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """vectors[rows], without a copy where the rows, rising, are all from the first on."""
    return vectors[: len(rows)] if len(rows) and rows[-1] == len(rows) - 1 else vectors[rows]


def _nearest(queries: np.ndarray, training: np.ndarray, k: int, device: torch.device) -> Neighbours:
    return nearest_neighbours(queries, training, min(k, len(training)), device=device)


def _without_self(near: Neighbours, rows: np.ndarray) -> Neighbours:
    """The first of two neighbours that is not the query itself; infinitely far if there is no other."""
    if near.indices.shape[1] == 1:
        return Neighbours(np.full((len(rows), 1), np.inf), near.indices)
    other = (near.indices[:, 0] == rows).astype(int)[:, None]
    return Neighbours(*(np.take_along_axis(part, other, axis=1) for part in (near.distances, near.indices)))


def _rows(
    space: str, kind: str, queries: np.ndarray, near: Neighbours, references: np.ndarray, error: float = ERROR
) -> pd.DataFrame:
    distances = near.distances
    return pd.DataFrame(
        {
            "space": space,
            "kind": kind,
            "query": queries,
            "index": references[near.indices[:, 0]],
            "distance": distances[:, 0],
            "second": distances[:, 1] if distances.shape[1] > 1 else np.nan,
            "mean": distances.mean(axis=1) if kind == "query" else np.nan,
            "duplicates": count_near_duplicates(distances[:, :SEEN], error) if kind == "query" else 0,
        }
    )
