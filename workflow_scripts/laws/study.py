"""The laws of a study: from its table of measured replication to fits, comparisons and safe sizes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_csv
from workflow_scripts.laws.decay import DIMENSION_AXIS, Axis, DecayFit, LevelPrior, Points, why_uninformative
from workflow_scripts.laws.exponential import Method
from workflow_scripts.laws.pairs import Pair, fit_hierarchical, fit_pairs, fit_shared, level_prior
from workflow_scripts.laws.published import published_prior
from workflow_scripts.laws.safe_size import smallest_safe_size
from workflow_scripts.laws.size_law import DimensionCurve, fit_dimension_curve
from workflow_scripts.laws.tables import comparison_row, fit_row, scatter_columns

COLUMNS = (
    "generator", "dataset", "size", "seed", "space", "threshold", "threshold_rms", "samples", "replicas",
    "background_percentage", "intrinsic_dimension", "intrinsic_dimension_low", "intrinsic_dimension_high",
)  # fmt: skip
LEAST_PAIRS = 3  # fewer pairs of a study say too little of the level's scatter; the published ones then serve


@dataclass(frozen=True)
class StudyLaws:
    """Laws of a study.

    fits: a row for each law. summary: JSON-able: comparisons and safe sizes. leading: the laws to draw, at the study's
    first space and threshold, by axis.
    """

    fits: pd.DataFrame
    summary: dict[str, Any]
    leading: dict[str, dict[Pair, DecayFit]]


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


def fit_study(table: pd.DataFrame, method: Method, wanted_percentage: float) -> StudyLaws:
    """Fit every pair of generator and data set in every space, at every threshold, against size and dimension.

    table: see `read_table`; its first row's space and threshold lead. wanted_percentage: what counts as safe.
    """
    rows: list[dict[str, Any]] = []
    laws: list[dict[str, Any]] = []
    safe: list[dict[str, Any]] = []
    leading: dict[str, dict[Pair, DecayFit]] = {}
    axes = study_axes(table)
    for (space, threshold), group in table.groupby(["space", "threshold"], sort=False):
        rms = float(group["threshold_rms"].median())
        where = {"space": space, "threshold": threshold, "threshold_rms": rms}
        curves = _curves(group)
        for axis in axes:
            pairs = points_by_pair(group, axis)
            if not pairs:
                continue
            fits = fit_pairs(pairs, axis, method)
            if not laws or (space, threshold) == (laws[0]["space"], laws[0]["threshold"]):
                leading[axis.name] = fits
            here = where | {"axis": axis.name, "centre": axis.centre, "scale": axis.scale, "method": method}
            for model, some in (("free", fits), ("hierarchical", fit_hierarchical(fits))):
                rows += [here | {"model": model} | _row(pair, fit) for pair, fit in some.items()]
            law, shared = _compare(fits)
            rows += [here | {"model": "shared"} | row for row in shared]
            laws.append(here | law)
            if axis.name != "size":  # a law in plain size is there to be compared with the law in ln size
                safe += [
                    where | {"axis": axis.name} | _safe_size(pair, fit, wanted_percentage, curves.get(pair))
                    for pair, fit in fits.items()
                ]
    summary = {
        "leading": {name: laws[0][name] for name in ("space", "threshold", "threshold_rms")},
        "wanted_percentage": wanted_percentage,
        "laws": laws,
        "safe_sizes": safe,
    }
    return StudyLaws(pd.DataFrame(rows), plain(summary), leading)


def study_axes(table: pd.DataFrame) -> list[Axis]:
    """The axes of a study's laws: ln size, intrinsic dimension, and plain size."""
    sizes = np.unique(table["size"].to_numpy(float))
    spread = float(sizes.std(ddof=1)) if len(sizes) > 1 else 1.0
    return [
        Axis("ln_size", float(np.log(sizes).mean()), 1.0),
        DIMENSION_AXIS,
        Axis("size", float(sizes.mean()), spread),
    ]


def points_by_pair(group: pd.DataFrame, axis: Axis) -> dict[Pair, Points]:
    """What was measured of each pair at one space and threshold, where the axis' value is known."""
    pairs: dict[Pair, Points] = {}
    for (generator, dataset), part in group.groupby(["generator", "dataset"], sort=False):
        name = "intrinsic_dimension" if axis.name == "dimension" else "size"
        part = part[part[name].notna()]
        if len(part):
            pairs[str(generator), str(dataset)] = Points(
                value=part[name].to_numpy(float),
                size=part["size"].to_numpy(float),
                replicas=part["replicas"].to_numpy(float),
                samples=part["samples"].to_numpy(float),
                background=part["background_percentage"].fillna(0.0).to_numpy(float).clip(0, 99.9) / 100,
            )
    return pairs


def _curves(group: pd.DataFrame) -> dict[Pair, DimensionCurve]:
    """Growth of the dimension with size, for each pair whose dimension was measured at two sizes at least."""
    curves: dict[Pair, DimensionCurve] = {}
    for (generator, dataset), part in group.groupby(["generator", "dataset"], sort=False):
        part = part[part["intrinsic_dimension"].notna()]
        if part["size"].nunique() > 1:
            columns = ("size", "intrinsic_dimension", "intrinsic_dimension_low", "intrinsic_dimension_high")
            curves[str(generator), str(dataset)] = fit_dimension_curve(
                *(part[name].to_numpy(float) for name in columns)
            )
    return curves


def _row(pair: Pair, fit: DecayFit) -> dict[str, Any]:
    row = {"generator": pair[0], "dataset": pair[1]} | fit_row(fit)
    if fit.axis.name != "dimension":
        row |= dict.fromkeys("abc", np.nan)  # the paper has them for standardised dimensions only
    return row | {
        "points": len(fit.points.size),
        "sizes": len(np.unique(fit.points.size)),
        **scatter_columns(fit.dispersion),
    }


def _compare(fits: Mapping[Pair, DecayFit]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Comparison of the models, and the rows of the shared law, over the pairs that have one."""
    informative = {pair: fit for pair, fit in fits.items() if not why_uninformative(fit.points)}
    if not informative:
        return {"pairs": 0}, []
    law = comparison_row(informative)
    if len(informative) == 1:
        return law, []
    shared = fit_shared(informative)
    ends = dict(zip(("level_low", "level_high"), shared.level_interval, strict=True))
    return law, [
        {"generator": pair[0], "dataset": pair[1], "level": shared.level, "rate": rate, **ends}
        | dict(zip(("rate_low", "rate_high"), shared.rate_intervals[pair], strict=True))
        for pair, rate in shared.rates.items()
    ]


def _safe_size(pair: Pair, fit: DecayFit, wanted: float, curve: DimensionCurve | None) -> dict[str, Any]:
    head = {"generator": pair[0], "dataset": pair[1]}
    if not fit.identified or (fit.axis.name == "dimension" and curve is None):
        reason = fit.reason or "the intrinsic dimension was measured at one size only"
        return head | {"size": None, "low": None, "high": None, "extrapolated": "", "reason": reason}
    return head | vars(smallest_safe_size(fit, wanted, seed=0, curve=curve)) | {"reason": ""}


def level_of_others(fits: Mapping[Pair, DecayFit], pair: Pair, published: pd.DataFrame, rms: float) -> LevelPrior:
    """What the other pairs of a study say of a pair's level, or, where they are too few, the published ones."""
    others = {other: fit for other, fit in fits.items() if other != pair}
    if sum(fit.identified for fit in others.values()) >= LEAST_PAIRS:
        prior = level_prior(others, "other pairs of this study", rms)
        assert prior is not None
        return prior
    return published_prior(published, rms)


def plain(value: Any) -> Any:
    """A value as strict JSON has it: no NumPy types, and null for numbers that are missing or infinite."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
