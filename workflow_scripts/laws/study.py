"""The laws of a study: from its table of measured replication to fits, comparisons, safe sizes and the one-shot's
test."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.files import InputError
from workflow_scripts.laws.decay import DIMENSION_AXIS, Axis, DecayFit, LevelPrior, Points, why_uninformative
from workflow_scripts.laws.exponential import Method
from workflow_scripts.laws.one_shot import estimate
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

    fits: a row for each law. summary: JSON-able: comparisons, safe sizes, and how the one-shot estimate would have
    done. leading: the laws to draw, at the study's first space and threshold, by axis.
    """

    fits: pd.DataFrame
    summary: dict[str, Any]
    leading: dict[str, dict[Pair, DecayFit]]


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a replication table, a row for each generator, data set, size, seed, space and threshold; or InputError."""
    table = pd.read_csv(path)
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


def fit_study(table: pd.DataFrame, published: pd.DataFrame, method: Method, wanted_percentage: float) -> StudyLaws:
    """Fit every pair of generator and data set in every space, at every threshold, against size and dimension.

    table: see `read_table`; its first row's space and threshold lead. published: see `published.read_replication`; the
    level's scatter there serves the one-shot estimate of studies of few pairs. wanted_percentage: what counts as safe.
    """
    rows: list[dict[str, Any]] = []
    laws: list[dict[str, Any]] = []
    safe: list[dict[str, Any]] = []
    shots: list[dict[str, Any]] = []
    leading: dict[str, dict[Pair, DecayFit]] = {}
    axes = _axes(table)
    for (space, threshold), group in table.groupby(["space", "threshold"], sort=False):
        rms = float(group["threshold_rms"].median())
        where = {"space": space, "threshold": threshold, "threshold_rms": rms}
        curves = _curves(group)
        for axis in axes:
            pairs = _pairs(group, axis)
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
            if axis.name == "dimension":
                shots += [where | shot for shot in _test_one_shot(fits, curves, published, rms, wanted_percentage)]
    summary = {
        "leading": {name: laws[0][name] for name in ("space", "threshold", "threshold_rms")},
        "wanted_percentage": wanted_percentage,
        "laws": laws,
        "safe_sizes": safe,
        "one_shot_test": shots,
    }
    return StudyLaws(pd.DataFrame(rows), _plain(summary), leading)


def _axes(table: pd.DataFrame) -> list[Axis]:
    sizes = np.unique(table["size"].to_numpy(float))
    spread = float(sizes.std(ddof=1)) if len(sizes) > 1 else 1.0
    return [
        Axis("ln_size", float(np.log(sizes).mean()), 1.0),
        DIMENSION_AXIS,
        Axis("size", float(sizes.mean()), spread),
    ]


def _pairs(group: pd.DataFrame, axis: Axis) -> dict[Pair, Points]:
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


def _test_one_shot(
    fits: Mapping[Pair, DecayFit],
    curves: Mapping[Pair, DimensionCurve],
    published: pd.DataFrame,
    rms: float,
    wanted: float,
) -> list[dict[str, Any]]:
    """Predict each pair from its smallest size and other pairs' level, and set the other sizes' measurements beside
    it."""
    shots = []
    for pair, fit in fits.items():
        sizes = np.unique(fit.points.size)
        if pair not in curves:
            continue
        prior = _level_of_others(fits, pair, published, rms)
        smallest = fit.points.select(fit.points.size == sizes[0])
        shot = estimate(smallest, curves[pair], prior, sizes[1:], wanted, rms)
        head = {"generator": pair[0], "dataset": pair[1], "measured_size": sizes[0], "level_from": prior.source}
        if shot.reason:
            shots.append(head | {"reason": shot.reason, "predictions": []})
            continue
        predictions = []
        for i, size in enumerate(sizes[1:]):
            points = fit.points.select(fit.points.size == size)
            share = points.replicas.sum() / points.samples.sum()
            background = points.background.mean()
            measured = 100 * (share - background) / (1 - background)
            low, high = float(shot.low[i]), float(shot.high[i])
            predictions.append(
                {
                    "size": size,
                    "predicted": shot.percentage[i],
                    "low": low,
                    "high": high,
                    "measured": measured,
                    "inside": bool(low <= measured <= high),
                }
            )
        shots.append(
            head
            | {
                "reason": "",
                "safe_size": vars(shot.safe_size),
                "predictions": predictions,
                "median_absolute_error": np.median([abs(one["predicted"] - one["measured"]) for one in predictions]),
                "warnings": shot.warnings,
            }
        )
    return shots


def _level_of_others(fits: Mapping[Pair, DecayFit], pair: Pair, published: pd.DataFrame, rms: float) -> LevelPrior:
    others = {other: fit for other, fit in fits.items() if other != pair}
    if sum(fit.identified for fit in others.values()) >= LEAST_PAIRS:
        prior = level_prior(others, "other pairs of this study", rms)
        assert prior is not None
        return prior
    return published_prior(published, rms)


def _plain(value: Any) -> Any:
    """As strict JSON has it: no NumPy types, and null for numbers that are missing or infinite."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
