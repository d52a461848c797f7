"""The study over its seeds: for each generator and size, what another run would copy on average."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from workflow_scripts.replication.seeds import Counted, over_seeds

CELL = ("generator", "dataset", "size")
T = TypeVar("T")


def grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> dict[Any, list[T]]:
    """Items by their key, both in order of first appearance."""
    groups: dict[Any, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def copies_over_seeds(runs: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row for each generator, data set, size, space and threshold: the percentage of replicas over seeds.

    runs: generator, dataset, size, seed and space of each run; measured: what measure_replication wrote of it. Columns
    of OverSeeds, and background_percentage, the mean over seeds of what held-out images show. Scatter between runs is
    pooled over generators, data sets and sizes, for each space and threshold.
    """
    counted = [
        (run, threshold)
        for run, measures in zip(runs, measured, strict=True)
        for threshold in measures["thresholds"]
        if threshold["replicas"]["of"]
    ]
    rows = []
    for (space, label), part in grouped(counted, lambda item: (item[0]["space"], item[1]["label"])).items():
        cells = grouped(part, lambda item: tuple(item[0][key] for key in CELL))
        thresholds = [[threshold for _, threshold in cell] for cell in cells.values()]
        summaries = over_seeds(
            [[Counted(np.array(run["counts"]), run["replicas"]["of"]) for run in cell] for cell in thresholds],
            [[run["replicas"]["percentage"] for run in cell] for cell in thresholds],
        )
        for cell, runs_of_cell, summary in zip(cells, thresholds, summaries, strict=True):
            chance = [run["background"]["percentage"] for run in runs_of_cell]
            known = [share for share in chance if share is not None]
            background = float(np.mean(known)) if known else None
            rows.append(
                dict(zip(CELL, cell, strict=True))
                | {"space": space, "threshold": label, **asdict(summary), "background_percentage": background}
            )
    return pd.DataFrame(rows)
