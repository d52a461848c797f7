"""Membership over a study: which training images each run gives away, by two attacks, and what another run would.

By distance alone, an image is scored by its nearest sample; by LiRA, relative to the study's runs that were trained
without it: those of other seeds, and those of the smaller sizes, whose training sets are nested.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.metrics.membership import FALSE_ALARMS, lira
from workflow_scripts.replication.seeds import Counted, OverSeeds, over_seeds
from workflow_scripts.replication.summary import CELL, grouped

ATTACKS = {"distance": "", "lira": "lira_"}  # with the beginning of their columns over seeds
NO_REFERENCE = "no training image of this run is missing in another: add a smaller size or a second seed"

Attacked = tuple[Mapping[str, Any], dict[str, Mapping[str, Any]]]


def attack(
    runs: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]], scored: Sequence[pd.DataFrame]
) -> list[Attacked]:
    """Each run with its `Membership` as JSON under each of ATTACKS.

    runs: generator, dataset, size, seed and space of each; measured: what measure_replication wrote of it; scored: what
    compare_samples wrote, image, member and distance, with the group of each image.
    """
    alike = grouped(
        zip(runs, measured, scored, strict=True), lambda item: tuple(item[0][key] for key in ("space", *CELL[:2]))
    )
    return [
        (run, {"distance": measures["membership"], "lira": relative})
        for part in alike.values()
        for (run, measures, _), relative in zip(part, _relative([table for *_, table in part]), strict=True)
    ]


def _relative(scored: Sequence[pd.DataFrame]) -> list[dict[str, Any]]:
    """LiRA of the runs of one generator on one data set, all sizes and seeds."""
    images = np.unique(np.concatenate([table["image"] for table in scored]))
    distances, groups = np.full((len(scored), len(images)), np.nan), np.empty(len(images), dtype=np.int64)
    member = np.zeros(distances.shape, dtype=bool)
    for row, table in enumerate(scored):
        place = np.searchsorted(images, table["image"])
        distances[row, place], member[row, place], groups[place] = table["distance"], table["member"], table["group"]
    results = map(asdict, lira(distances, member, groups))
    return [result if result["members"] else result | {"reason": NO_REFERENCE} for result in results]


def membership_of_runs(attacked: Sequence[Attacked]) -> pd.DataFrame:
    """A row for each run and attack: members, controls, auc, and the training images told at 1 % false alarms.

    told: how many; told_percentage, told_low, told_high: with their interval; reason: why there are none.
    """
    rows = []
    for run, attacks in attacked:
        for name, result in attacks.items():
            told = result["told"][0]
            share = told["percentage"]
            rows.append(
                {**run, "attack": name}
                | {key: result[key] for key in ("members", "controls", "auc", "auc_low", "auc_high")}
                | {"told": None if share is None else round(share * result["members"] / 100)}
                | {f"told_{key}": told[key] for key in ("percentage", "low", "high")}
                | {"reason": "" if share is not None else result["reason"] or told["reason"]}
            )
    return pd.DataFrame(rows).astype({"told": "Int64"})


def membership_over_seeds(attacked: Sequence[Attacked]) -> pd.DataFrame:
    """A row for each generator, data set, size and space: membership over seeds, columns by attack.

    auc: mean over seeds, 0.5 by chance; told_at_1: percentage of training images told at 1 % false alarms; each with
    the 95 % interval _low to _high of what another run would show on average, or the _reason why there is none. Those
    of LiRA begin with lira_.
    """
    rows: list[dict[str, Any]] = []
    for space, part in grouped(attacked, lambda item: item[0]["space"]).items():
        cells = grouped(part, lambda item: tuple(item[0][key] for key in CELL))
        columns = [
            column
            for name, prefix in ATTACKS.items()
            for column in (
                _columns(f"{prefix}auc", [[_area(run[name]) for _, run in cell] for cell in cells.values()]),
                _columns(
                    f"{prefix}told_at_{100 * FALSE_ALARMS[0]:g}",
                    [[_told(run[name]) for _, run in cell] for cell in cells.values()],
                ),
            )
        ]
        for cell, *parts in zip(cells, *columns, strict=True):
            head = dict(zip(CELL, cell, strict=True)) | {"space": space, "seeds": len(cells[cell])}
            rows.append(head | {key: value for values in parts for key, value in values.items()})
    return pd.DataFrame(rows)


def _area(result: Mapping[str, Any]) -> tuple[Counted, float] | str:
    """The area as so many coin tosses, and in itself; or why there is none."""
    auc, trials = result["auc"], result["auc_trials"]
    return result["reason"] if auc is None else (Counted(np.array([auc * trials]), trials), auc)


def _told(result: Mapping[str, Any]) -> tuple[Counted, float] | str:
    told = result["told"][0]
    if told["percentage"] is None:
        return result["reason"] or told["reason"]
    return Counted(np.array(told["counts"]), told["trials"]), told["percentage"]


def _columns(name: str, cells: Sequence[Sequence[tuple[Counted, float] | str]]) -> list[dict[str, Any]]:
    """Columns of each cell over its runs; a cell in which a run has no number has none."""
    able = [[run for run in cell if not isinstance(run, str)] for cell in cells]
    whole = [part for part, cell in zip(able, cells, strict=True) if len(part) == len(cell)]
    summaries = iter(
        over_seeds([[run for run, _ in part] for part in whole], [[value for _, value in part] for part in whole])
        if whole
        else []
    )
    columns = []
    for part, cell in zip(able, cells, strict=True):
        if len(part) == len(cell):
            columns.append(_summary(name, next(summaries)))
        else:
            reason = next(run for run in cell if isinstance(run, str))
            columns.append({name: None, f"{name}_low": None, f"{name}_high": None, f"{name}_reason": reason})
    return columns


def _summary(name: str, summary: OverSeeds) -> dict[str, Any]:
    scale = 0.01 if name.endswith("auc") else 1.0
    low, high = (None if end is None else scale * end for end in (summary.low, summary.high))
    return {name: summary.percentage, f"{name}_low": low, f"{name}_high": high, f"{name}_reason": summary.reason}
