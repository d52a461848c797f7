"""The laws of a study: from its table of measured replication to tests of decay, fits and safe sizes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import plain, read_csv
from workflow_scripts.laws.decay import COPIES, DIMENSION_AXIS, Axis, DecayFit, Pair, Points, Words, fit_pairs
from workflow_scripts.laws.outlook import own_outlook, weights
from workflow_scripts.laws.pairs import compare_levels
from workflow_scripts.laws.posterior import CURVES
from workflow_scripts.laws.tables import fit_row, levels_row
from workflow_scripts.laws.trend import trend

COLUMNS = (
    "generator", "dataset", "size", "seed", "space", "threshold", "threshold_rms", "samples", "replicas",
    "background_percentage", "intrinsic_dimension", "intrinsic_dimension_low", "intrinsic_dimension_high",
)  # fmt: skip


@dataclass(frozen=True)
class StudyLaws:
    """Laws of a study.

    fits: a row for each law. summary: JSON-able: tests of decay, comparisons of levels, safe sizes. leading: the laws
    to draw, at the study's first space and threshold, against size and dimension: all that a pair has there.
    """

    fits: pd.DataFrame
    summary: dict[str, Any]
    leading: dict[str, dict[Pair, list[DecayFit]]]


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a replication table, a row for each generator, data set, size, seed, space and threshold; or InputError."""
    table = read_csv(path)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: column {', '.join(missing)} missing; expected the table of rule collect_replication with columns "
            f"{', '.join(COLUMNS)}. Delete it and run snakemake again."
        )
    if table.empty:
        raise InputError(f"{path}: no rows; expected one for each trained generator, space and threshold.")
    wrong = ~((table["samples"] > 0) & table["replicas"].between(0, table["samples"]) & (table["size"] > 0))
    wrong |= ~table["background_percentage"].fillna(0.0).between(0.0, 100.0)
    if wrong.any():
        raise InputError(
            f"{path}: row {int(np.flatnonzero(wrong)[0]) + 2}: expected size > 0, 0 <= replicas <= samples, and a "
            "background_percentage in 0..100."
        )
    return table


def fit_study(table: pd.DataFrame, wanted_percentage: float, words: Words = COPIES) -> StudyLaws:
    """Fit every pair of generator and data set in every space, at every threshold, against size and dimension.

    table: see `read_table`; its first row's space and threshold lead. wanted_percentage: what counts as safe. words: of
    what is counted.
    """
    rows: list[dict[str, Any]] = []
    trends: list[dict[str, Any]] = []
    laws: list[dict[str, Any]] = []
    safe: list[dict[str, Any]] = []
    leading: dict[str, dict[Pair, list[DecayFit]]] = {}
    axes = study_axes(table)
    for (space, threshold), group in table.groupby(["space", "threshold"], sort=False):
        where = {"space": space, "threshold": threshold, "threshold_rms": float(group["threshold_rms"].median())}
        pairs = points_by_pair(group, words)
        for pair, points in (*pairs.items(), (("all", "all"), None)):
            tested = trend([points] if points else list(pairs.values()))
            head = where | {"generator": pair[0], "dataset": pair[1]}
            trends.append(head | vars(tested) | {"falls": tested.falls, "sentence": tested.sentence(words.process)})
        of_size: dict[Pair, list[DecayFit]] = {pair: [] for pair in pairs}
        for axis in axes:
            known = pairs if axis.name != "dimension" else with_dimension(pairs)
            if not known:
                continue
            by_curve = {curve: fit_pairs(known, axis, curve) for curve in CURVES}
            here = where | {"axis": axis.name, "centre": axis.centre, "scale": axis.scale}
            for fits in by_curve.values():
                rows += [here | fit_columns(pair, fit) for pair, fit in fits.items()]
            likelihood = {
                f"held_out_log_likelihood_{curve}": sum(fit.held_out for fit in fits.values() if fit.posterior)
                for curve, fits in by_curve.items()
            }
            levels = compare_levels(by_curve["exponential"]) if axis.name == "dimension" else None
            laws.append(here | {"pairs": len(known)} | likelihood | levels_row(levels))
            if axis.name == "dimension":
                leading.setdefault("dimension", {pair: [fits[pair] for fits in by_curve.values()] for pair in known})
            else:
                for pair in pairs:
                    of_size[pair] += [fits[pair] for fits in by_curve.values()]
        leading.setdefault("size", of_size)
        safe += [where | _safe_size(pair, fits, wanted_percentage) for pair, fits in of_size.items()]
    summary = {
        "leading": {name: laws[0][name] for name in ("space", "threshold", "threshold_rms")},
        "wanted_percentage": wanted_percentage,
        "trends": trends,
        "laws": laws,
        "safe_sizes": safe,
    }
    return StudyLaws(pd.DataFrame(rows), plain(summary), leading)


def size_fits(pairs: Mapping[Pair, Points], axes: Sequence[Axis]) -> dict[Pair, list[DecayFit]]:
    """The laws in size and ln size of each pair, under both curves."""
    every = [fit_pairs(pairs, axis, curve) for axis in axes if axis.name != "dimension" for curve in CURVES]
    return {pair: [fits[pair] for fits in every] for pair in pairs}


def study_axes(table: pd.DataFrame) -> list[Axis]:
    """The axes of a study's laws: ln size, intrinsic dimension, and plain size."""
    sizes = np.unique(table["size"].to_numpy(float))
    return [
        Axis("ln_size", float(np.log(sizes).mean()), 1.0),
        DIMENSION_AXIS,
        Axis("size", float(sizes.mean()), 1.0),
    ]


def points_by_pair(group: pd.DataFrame, words: Words = COPIES) -> dict[Pair, Points]:
    """What was measured of each pair at one space and threshold."""
    return {
        (str(generator), str(dataset)): Points(
            size=part["size"].to_numpy(float),
            dimension=part["intrinsic_dimension"].to_numpy(float),
            replicas=part["replicas"].to_numpy(float),
            samples=part["samples"].to_numpy(float),
            background=part["background_percentage"].fillna(0.0).to_numpy(float).clip(0, 99.9) / 100,
            words=words,
        )
        for (generator, dataset), part in group.groupby(["generator", "dataset"], sort=False)
    }


def with_dimension(pairs: Mapping[Pair, Points]) -> dict[Pair, Points]:
    """The points whose intrinsic dimension is known, of the pairs that have any."""
    known = {pair: points.select(np.isfinite(points.dimension)) for pair, points in pairs.items()}
    return {pair: points for pair, points in known.items() if len(points.size)}


def fit_columns(pair: Pair, fit: DecayFit) -> dict[str, Any]:
    """A row of the table of fits."""
    counts = {"points": len(fit.points.size), "sizes": len(np.unique(fit.points.size))}
    return {"generator": pair[0], "dataset": pair[1]} | fit_row(fit) | counts


def _safe_size(pair: Pair, fits: Sequence[DecayFit], wanted: float) -> dict[str, Any]:
    """The safe size by the average of a pair's laws, and the weight of each curve in it."""
    head = {"generator": pair[0], "dataset": pair[1]}
    if fits[0].posterior is None:
        none = {"size": None, "low": None, "high": None, "extrapolated": "", "reason": fits[0].reason}
        return head | none
    safe = own_outlook(fits).safe_size(wanted, fits[0].points.size)
    shares = {
        f"weight_{fit.curve}_{fit.axis.name}": float(weight) for fit, weight in zip(fits, weights(fits), strict=True)
    }
    return head | vars(safe) | {"reason": ""} | shares
