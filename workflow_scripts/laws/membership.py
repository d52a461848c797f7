"""Membership against the size of the training set: from which size on is a set private?

Training images that are told from others at 1 % false alarms fall along the laws that copies follow, with the false
alarms in the place of what counts by chance. A set is private where they are no more than the wanted percentage beyond
chance.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_csv
from workflow_scripts.laws.decay import MEMBERS, Pair
from workflow_scripts.laws.study import StudyLaws, fit_study

FALSE_ALARMS = 1.0  # %, at which members are told
NAMES = {"distance": "by distance", "lira": "by LiRA"}
COLUMNS = ("generator", "dataset", "size", "seed", "space", "attack", "members", "told", "reason")


def read_members(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the table of membership, a row for each run and attack; or InputError."""
    table = read_csv(path)
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise InputError(
            f"{path}: column {', '.join(missing)} missing; expected the table of rule collect_replication with columns "
            f"{', '.join(COLUMNS)}. Delete it and run snakemake again."
        )
    return table.assign(reason=table["reason"].astype(object).where(table["reason"].notna(), ""))


def fit_membership(table: pd.DataFrame, wanted: float) -> StudyLaws | None:
    """The laws of told training images by `study.fit_study`, an attack in the place of a threshold.

    table: see `read_members`; wanted: percentage beyond chance that counts as private. None where nothing was told.
    """
    told = table.dropna(subset="told")
    if told.empty:
        return None
    counted = told.assign(
        threshold=told["attack"],
        threshold_rms=np.nan,
        samples=told["members"],
        replicas=told["told"],
        background_percentage=FALSE_ALARMS,
        intrinsic_dimension=np.nan,
    )
    return fit_study(counted, wanted, MEMBERS)


def private_sizes(table: pd.DataFrame, laws: StudyLaws | None) -> list[dict[str, Any]]:
    """The smallest private size of each generator and data set in each space by each attack, as safe sizes are told."""
    rows = laws.summary["safe_sizes"] if laws else []
    fitted = {tuple(row[key] for key in ("space", "threshold", "generator", "dataset")): row for row in rows}
    keys = ["space", "attack", "generator", "dataset"]
    sizes = []
    for key, part in table.groupby(keys, sort=False):
        row = fitted.get(key, {"size": None, "low": None, "high": None, "reason": part["reason"].iloc[-1]})
        sizes.append(
            dict(zip(keys, key, strict=True)) | {name: row[name] for name in ("size", "low", "high", "reason")}
        )
    return sizes


def answers(sizes: Sequence[Mapping[str, Any]], wanted: float) -> dict[str, list[str]]:
    """For each data set a line on each generator in the leading space, and what private means.

    sizes: see `private_sizes`; the first one's space leads.
    """
    by_pair: dict[Pair, list[str]] = {}
    for row in sizes:
        if row["space"] == sizes[0]["space"]:
            by_pair.setdefault((row["generator"], row["dataset"]), []).append(
                f"{NAMES[row['attack']]}, {_private(row)}"
            )
    lines: dict[str, list[str]] = {}
    for (generator, dataset), told in by_pair.items():
        lines.setdefault(dataset, []).append(f"Membership, {generator} on {dataset}: {'; '.join(told)}.")
    meaning = (
        f"Private means that beyond chance at most {wanted:g} % of the training images can be told from others by the "
        f"samples, at {FALSE_ALARMS:g} % false alarms. Few copies do not mean that: copies are a statement about "
        "samples, membership one about the images that were trained on."
    )
    return {dataset: [*told, meaning] for dataset, told in lines.items()}


def _private(row: Mapping[str, Any]) -> str:
    if row["reason"]:
        return f"no private size can be named: {row['reason']}"
    if row["high"] is None:
        least = "" if row["low"] is None else f"it takes at least {row['low']:,.0f} images, and "
        return f"{least}no upper end of the private size can be named: add larger sizes"
    return f"a set is private from {row['size']:,.0f} images on (95 % interval {row['low']:,.0f} to {row['high']:,.0f})"
