"""What goes with the augmentation of teachers? Effects and correlations within seeds, tested over seeds.

A seed is a whole replicate: it draws its own images and trains its own teachers and students. Everything within a seed
may be correlated: students share their ensemble, ensembles may share teachers, all share the training images. So each
effect is computed within each seed, on the ensembles' means where it is the teachers', and within ensembles where it is
the student's; its interval and p-value come from the scatter between seeds alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from workflow_scripts.core.intervals import LEVEL

FEWEST_SEEDS = 3  # of two, the scatter is hardly known
MOST_SEEDS = 100  # what more of would be asked for is out of reach
NEAR_ZERO = 0.05  # the largest effect that counts as none: five points of overlap, agreement or accuracy

# Named before any run: the sign of the change of each measure with stronger augmentation of the teachers, as Guo et al.
# 2024 report it. Overlap is that of the teachers' attention, the rest is the student's.
PRIMARY = {"iou": -1, "agreement": -1, "gap": -1}
# The other trends of the paper, exploratory: the sign of the correlation of two measures.
EXPLORATORY: dict[tuple[str, str], int] = {
    ("strength", "kl"): 1,
    ("strength", "mutual_information"): -1,
    ("strength", "accuracy"): 1,
    ("iou", "agreement"): 1,
    ("iou", "mutual_information"): 1,
    ("iou", "gap"): 1,
    ("iou", "accuracy"): -1,
    ("agreement", "gap"): 1,
    ("agreement", "accuracy"): -1,
}
FACTORS = ("strength", "view", "interaction")

Answer = Literal["as published", "opposite", "bounded near zero", "not enough data"]


@dataclass(frozen=True)
class Effect:
    """A mean over seeds with its interval and two-sided p-value; NaN with fewer than three seeds.

    scatter: standard deviation between seeds; degrees: of freedom left for it.
    """

    value: float
    low: float
    high: float
    p_value: float
    scatter: float
    degrees: int


@dataclass(frozen=True)
class Claim:
    """A primary claim about a measure: its effect, the answer, and how many seeds would settle an open one (or None).

    The effect is from the weakest to the strongest augmentation of the study's ensembles. Its interval is for all
    primary claims together, and p_value times their number (Bonferroni).
    """

    measure: str
    effect: Effect
    answer: Answer
    seeds_needed: int | None


def distilled(table: pd.DataFrame) -> pd.DataFrame:
    """The students with teachers of the table of collect_distillation, `iou` for the teachers' overlap."""
    renamed = {"teachers_iou": "iou", "teachers_iou_corrected": "iou_corrected"}
    return table[table["teachers"] > 0].rename(columns=renamed)


def factor_effects(students: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Effects of the teachers' strength, of the student's view and of both together in each seed.

    students: see `distilled`; a row of the result for each data set and seed, columns dataset, seed and FACTORS, in
    units of the measure from the weakest to the strongest. Strength is a least-squares slope over ensembles (means
    over views); view the mean slope within ensembles, interaction the slope of these slopes over ensembles. NaN where
    a factor does not vary.
    """
    known = students[students[measure].notna()]
    ladder, own = (float(np.ptp(students[name])) if len(students) else 0.0 for name in ("strength", "view_strength"))
    seeds, ensembles = ["dataset", "seed"], ["dataset", "seed", "ensemble"]
    by_ensemble = known.groupby(ensembles)[["strength", measure]].mean()
    by_ensemble["view"] = _slopes(known.set_index(ensembles), "view_strength", measure)
    effects = pd.DataFrame(
        {
            "strength": _slopes(by_ensemble, "strength", measure, seeds) * ladder,
            "view": by_ensemble["view"].groupby(seeds).mean() * own,
            "interaction": _slopes(by_ensemble, "strength", "view", seeds) * ladder * own,
        }
    )
    return effects.reset_index()


def correlation(students: pd.DataFrame, first: str, second: str) -> tuple[float, Effect]:
    """Pearson's correlation of two measures of ensembles within seeds, and the test of their product over seeds."""
    known = students[students[first].notna() & students[second].notna()]
    means = known.groupby(["dataset", "seed", "ensemble"])[list(dict.fromkeys([first, second]))].mean()
    centred = means - means.groupby(level=["dataset", "seed"]).transform("mean")
    products = (centred[first] * centred[second]).groupby(level=["dataset", "seed"]).sum()
    scale = float(np.sqrt((centred[first] ** 2).sum() * (centred[second] ** 2).sum()))
    effect = over_seeds(products.to_numpy(), products.index.get_level_values("dataset").to_numpy())
    return (float(products.sum()) / scale if scale > 0 else np.nan), effect


def over_seeds(values: np.ndarray, datasets: np.ndarray, level: float = LEVEL) -> Effect:
    """Mean over data sets of the means over seeds, values (n,) of data sets (n,), with Student's t interval.

    The scatter between seeds is pooled over data sets, which are taken as they are: the interval is for these sets.
    """
    values = np.asarray(values, dtype=float)
    known = np.isfinite(values)
    values, codes = values[known], np.unique(np.asarray(datasets)[known], return_inverse=True)[1]
    counts = np.bincount(codes)
    degrees = len(values) - len(counts)
    if len(values) < FEWEST_SEEDS or degrees < FEWEST_SEEDS - 1:
        return Effect(np.nan, np.nan, np.nan, np.nan, np.nan, max(degrees, 0))
    means = np.bincount(codes, values) / counts
    scatter = float(np.sqrt(((values - means[codes]) ** 2).sum() / degrees))
    error = scatter * float(np.sqrt((1 / counts).sum())) / len(counts)
    value = float(means.mean())
    half = float(stats.t.ppf((1 + level) / 2, degrees)) * error
    p_value = float(2 * stats.t.sf(abs(value) / error, degrees)) if error > 0 else np.nan
    return Effect(value, value - half, value + half, p_value, scatter, degrees)


def answer_claims(students: pd.DataFrame, published: dict[str, int] = PRIMARY) -> list[Claim]:
    """Answer the primary claims from the table's distilled students, see `distilled`.

    A claim is settled by its interval: it excludes 0 (as published, or opposite), or lies within NEAR_ZERO of it. The
    intervals hold together with 95 %.
    """
    level = 1 - (1 - LEVEL) / len(published)
    claims = []
    for measure, sign in published.items():
        effects = factor_effects(students, measure)
        effect = over_seeds(effects["strength"].to_numpy(), effects["dataset"].to_numpy(), level)
        answer: Answer = "not enough data"
        if effect.low > 0 or effect.high < 0:
            answer = "as published" if np.sign(effect.value) == sign else "opposite"
        elif max(-effect.low, effect.high) < NEAR_ZERO:
            answer = "bounded near zero"
        needed = None if answer != "not enough data" else seeds_needed(effect, level)
        claims.append(Claim(measure, effect, answer, needed))
    return claims


def seeds_needed(effect: Effect, level: float) -> int | None:
    """Seeds that would settle an effect of this size and scatter one way or the other; None if out of reach."""
    if not effect.scatter > 0:
        return None
    distance = max(abs(effect.value), NEAR_ZERO - abs(effect.value))
    seeds = np.arange(FEWEST_SEEDS, MOST_SEEDS + 1)
    enough = stats.t.ppf((1 + level) / 2, seeds - 1) * effect.scatter / np.sqrt(seeds) < distance
    return int(seeds[enough.argmax()]) if enough.any() else None


def _slopes(table: pd.DataFrame, x: str, y: str, levels: Sequence[str] | None = None) -> pd.Series:
    """Least-squares slopes of y on x within groups of the index (by default its entries); NaN where x does not vary."""
    groups = list(table.index.names if levels is None else levels)
    centred = table[x] - table[x].groupby(groups).transform("mean")
    squares = (centred**2).groupby(groups).sum()
    return (centred * table[y]).groupby(groups).sum(min_count=1) / squares.where(squares > 0)
