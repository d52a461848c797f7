"""The study over its seeds: for each generator and size, what another run would copy and give away on average."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from workflow_scripts.metrics.membership import FALSE_ALARMS, Membership, membership, relative_scores
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


def membership_over_seeds(
    runs: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]], scored: Sequence[pd.DataFrame]
) -> pd.DataFrame:
    """A row for each generator, data set, size and space: membership over seeds, by distance alone and by LiRA.

    scored: of each run, as compare_samples wrote it. auc, lira_auc: means over seeds, 0.5 by chance; told_*,
    lira_told_*: percentage of training images told at 1 % false alarms, over seeds, as OverSeeds has it; none with a
    reason where the images are too few. LiRA needs a run of another seed for each image's reference.
    """
    everything = list(zip(runs, measured, scored, strict=True))
    rows: list[dict[str, Any]] = []
    for space, part in grouped(everything, lambda item: item[0]["space"]).items():
        cells = grouped(part, lambda item: tuple(item[0][key] for key in CELL))
        plain = [[measures["membership"] for _, measures, _ in cell] for cell in cells.values()]
        relative = [[asdict(run) for run in lira([table for *_, table in cell])] for cell in cells.values()]
        heads = [dict(zip(CELL, cell, strict=True)) | {"space": space} for cell in cells]
        for head, *columns in zip(heads, _told("", plain), _told("lira_", relative), strict=True):
            rows.append(head | columns[0] | columns[1])
    return pd.DataFrame(rows)


def lira(scored: Sequence[pd.DataFrame]) -> list[Membership]:
    """Membership of each run of one generator and size by its scores relative to the runs of other seeds."""
    images = np.unique(np.concatenate([table["image"] for table in scored]))
    distances = np.full((len(scored), len(images)), np.nan)
    member = np.zeros(distances.shape, dtype=bool)
    for row, table in enumerate(scored):
        place = np.searchsorted(images, table["image"])
        distances[row, place], member[row, place] = table["distance"], table["member"]
    scores = relative_scores(distances, member)
    known = np.isfinite(scores)
    return [
        membership(scores[i, known[i] & member[i]], scores[i, known[i] & ~member[i]], least=-np.inf)
        for i in range(len(scored))
    ]


def _told(prefix: str, cells: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Columns of each cell: mean AUC, and what is told at the first rate of false alarms, over seeds."""
    at = f"{prefix}told_at_{100 * FALSE_ALARMS[0]:g}"
    able = [cell for cell in cells if all(run["told"][0]["counts"] for run in cell)]
    summaries = iter(
        over_seeds(
            [[Counted(np.array(run["told"][0]["counts"]), run["members"]) for run in cell] for cell in able],
            [[run["told"][0]["percentage"] for run in cell] for cell in able],
        )
        if able
        else []
    )
    columns = []
    for cell in cells:
        areas = [run["auc"] for run in cell if run["auc"] is not None]
        column: dict[str, Any] = {f"{prefix}auc": float(np.mean(areas)) if areas else None}
        if cell in able:
            summary = asdict(next(summaries))
            column |= {at if key == "percentage" else f"{at}_{key}": value for key, value in summary.items()}
        else:
            reason = cell[0]["told"][0]["reason"] or cell[0]["reason"]
            alone = prefix and len(cell) == 1
            column |= {at: None, f"{at}_reason": "needs a run of another seed" if alone else reason}
        columns.append(column)
    return columns
