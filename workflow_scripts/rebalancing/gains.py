"""Gains of rebalancing: measures of a classifier, and their paired differences between training sets (arms).

The table of runs is tidy, a row for each number:

    group    what was trained on: a data set, or a group of its classes
    arm      how its training set was made: `original`, an augmentation or a baseline
    seed     of the run; all arms of a seed share the images and the number of steps, which makes them pairs
    measure  accuracy, balanced_accuracy, macro_f1 (part empty), group_recall (part head, middle, tail) or class_recall
             (part the class)
    part     see measure
    value    percent

Each difference has the variance of its own pairs: groups and arms scatter too differently to share one (with standard
deviations of 3, 1, 1 and 1, a pooled variance of two seeds covers the first mean in 78 % of studies).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.intervals import LEVEL
from workflow_scripts.data.imbalance import GROUPS

ORIGINAL = "original"
MEASURE = "balanced_accuracy"  # that laws and advice go by: the mean of the classes' recalls
COLUMNS = ("group", "arm", "seed", "measure", "part", "value")
WORTHWHILE = 1.0  # points below which a gain is not worth the training of a generator
POWER = 0.8  # with which the seeds that a power computation names settle the question
MOST_SEEDS = 50  # that it names
_CELL = ["group", "measure", "part"]


def confusion(labels: np.ndarray, predictions: np.ndarray, count: int) -> np.ndarray:
    """Confusion matrices (..., C, C), true class by predicted class, of predictions (..., N) for labels (N,)."""
    pairs = labels * count + predictions
    rows = pairs.reshape(-1, pairs.shape[-1]) + count**2 * np.arange(pairs[..., 0].size)[:, None]
    matrices = np.bincount(rows.ravel(), minlength=count**2 * len(rows))
    return matrices.reshape(*pairs.shape[:-1], count, count)


def class_recalls(matrix: np.ndarray) -> np.ndarray:
    """Recall of each class (..., C), 0..1, from confusion matrices; NaN for a class without images."""
    total = matrix.sum(axis=-1)
    return np.divide(_hits(matrix), total, out=np.full(total.shape, np.nan), where=total > 0)


def overall_measures(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, balanced accuracy and macro F1, 0..1, from confusion matrices (..., C, C), as in scikit-learn.

    Balanced accuracy leaves out classes without images; macro F1 those that were not predicted either.
    """
    hits, total, predicted = _hits(matrix), matrix.sum(axis=-1), matrix.sum(axis=-2)
    occurs = total + predicted > 0
    f1 = np.divide(2 * hits, total + predicted, out=np.zeros(hits.shape), where=occurs)
    return {
        "accuracy": hits.sum(axis=-1) / total.sum(axis=-1),
        "balanced_accuracy": np.nanmean(class_recalls(matrix), axis=-1),
        "macro_f1": f1.sum(axis=-1) / occurs.sum(axis=-1),
    }


def run_rows(
    group: str,
    arm: str,
    seed: int,
    labels: np.ndarray,
    predictions: np.ndarray,
    classes: Sequence[str],
    thirds: np.ndarray,
) -> pd.DataFrame:
    """Rows of the table for one run.

    labels: (N,) of the balanced held-out set. predictions: (N,), or (E, N) for several evaluations near the end of
    training, whose measures are averaged. thirds: (C,), see `head_middle_tail`.
    """
    matrices = confusion(labels, np.atleast_2d(predictions), len(classes))
    recalls = class_recalls(matrices).mean(axis=0)
    values = [(name, "", value.mean()) for name, value in overall_measures(matrices).items()]
    values += [("group_recall", name, np.nanmean(recalls[thirds == name])) for name in GROUPS if name in thirds]
    values += [("class_recall", name, recall) for name, recall in zip(classes, recalls, strict=True)]
    return pd.DataFrame([(group, arm, seed, *names, 100.0 * value) for *names, value in values], columns=list(COLUMNS))


def improvements(table: pd.DataFrame, reference: str = ORIGINAL, level: float = LEVEL) -> pd.DataFrame:
    """Differences of every other arm to a reference arm, in points, with the intervals of the paired t-test over seeds.

    Columns group, arm, measure, part, seeds (pairs), gain (mean), low, high, se, p_value (two-sided); the last four are
    NaN with one seed. Raises InputError where the reference or the pairs are missing.
    """
    wide = _by_arm(table)
    if reference not in wide:
        raise InputError(f"runs: no arm {reference!r}, expected it among {', '.join(map(repr, wide.columns))}")
    differences = wide.drop(columns=reference).sub(wide[reference], axis=0)
    stacked: Any = differences.stack().dropna()  # typed too loosely
    pairs = stacked.groupby([*_CELL, "arm"], sort=False).agg(["size", "mean", "std"])
    if pairs.empty:
        raise InputError(f"runs: no seed has both {reference!r} and another arm; run the same seeds for every arm")
    seeds, gain = pairs["size"].to_numpy(), pairs["mean"].to_numpy()
    se = _standard_error(gain, pairs["std"].to_numpy() / np.sqrt(seeds))
    low, high = _interval(gain, se, seeds - 1, (1 - level) / 2)
    p_value = 2 * stats.t.sf(_score(np.abs(gain), se), seeds - 1)
    rows = pairs.index.to_frame(index=False)
    rows = rows.assign(seeds=seeds, gain=gain, low=low, high=high, se=se, p_value=p_value)
    order = {arm: place for place, arm in enumerate(wide.columns)}
    rows = rows.sort_values("arm", key=lambda arms: arms.map(order), kind="stable", ignore_index=True)
    return rows[["group", "arm", "measure", "part", "seeds", "gain", "low", "high", "se", "p_value"]]


def over_baselines(
    table: pd.DataFrame, arms: Sequence[str], baselines: Sequence[str], level: float = LEVEL
) -> pd.DataFrame:
    """The best augmentation arm against the best baseline, in points: one row for each group, measure and part.

    Which arm and which baseline are best is not known, and those that look best are so by luck in part. With paired
    differences d_ab of arm a to baseline b, what is asked for is max_a min_b E d_ab. Its interval is

        low   max_a min_b of the low ends of d_ab, each at (1 - level) / 2 over the number of arms
        high  min_b max_a of the high ends of d_ab, each at (1 - level) / 2 over the number of baselines

    which covers it with at least the stated probability, whatever the variances: the low end of an arm is an
    intersection-union test against all baselines (Berger 1982, Technometrics 24:295), which needs no correction, and
    the arms are corrected by Bonferroni; for the high end the roles change. p_value (one-sided): that no arm beats
    every baseline.

    Columns group, measure, part, arm and baseline (those of the highest means), seeds, gain, low, high, p_value, and
    seeds_needed: with which the interval would exclude a gain, or one of WORTHWHILE points, with a probability of
    POWER if means and scatter are as measured; NaN where that is more than MOST_SEEDS or, with one seed, not known.
    """
    wide = _by_arm(table)
    absent = [name for name in (*arms, *baselines) if name not in wide]
    if absent:
        raise InputError(
            f"runs: no arm {', '.join(map(repr, absent))}, expected among {', '.join(map(repr, wide.columns))}"
        )
    rows = []
    for names, runs in wide[[*arms, *baselines]].dropna().groupby(level=_CELL, sort=False):
        ours, theirs = runs[list(arms)].to_numpy(), runs[list(baselines)].to_numpy()
        best = {"arm": arms[int(ours.mean(axis=0).argmax())], "baseline": baselines[int(theirs.mean(axis=0).argmax())]}
        comparison = _best_against_best(ours[:, :, None] - theirs[:, None, :], level)
        rows.append(dict(zip(_CELL, names, strict=True)) | best | comparison)
    if not rows:
        raise InputError("runs: no seed has all arms; run the same seeds for every arm")
    return pd.DataFrame(rows)


def _best_against_best(differences: np.ndarray, level: float) -> dict[str, float]:
    """Numbers of `over_baselines` from differences (seeds, arms, baselines)."""
    count, arms, baselines = differences.shape
    gain = differences.mean(axis=0)
    deviation = differences.std(axis=0, ddof=1) if count > 1 else np.full_like(gain, np.nan)
    tail = (1 - level) / 2

    def ends(seeds: np.ndarray, power: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
        """Low and high ends (m,) for numbers of seeds (m,), which means as measured pass with a probability."""
        with np.errstate(invalid="ignore", divide="ignore"):
            se = _standard_error(gain, deviation / np.sqrt(seeds)[:, None, None])
            degrees = (seeds - 1)[:, None, None]
            reserve = stats.t.ppf(power, degrees)
            low = gain - se * (stats.t.isf(tail / arms, degrees) + reserve)
            high = gain + se * (stats.t.isf(tail / baselines, degrees) + reserve)
        return low.min(axis=2).max(axis=1), high.max(axis=1).min(axis=1)

    def settled(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        return (low > 0) | (high < WORTHWHILE)

    [low], [high] = ends(np.array([count]))
    tried = np.arange(count + 1, MOST_SEEDS + 1)
    enough = tried[settled(*ends(tried, POWER))] if count > 1 else tried[:0]
    p_values = stats.t.sf(_score(gain, _standard_error(gain, deviation / np.sqrt(count))), count - 1)
    return {
        "seeds": count,
        "gain": float(gain.min(axis=1).max()),
        "low": float(np.clip(low, -100, 100)),
        "high": float(np.clip(high, -100, 100)),
        "p_value": float(np.minimum(1.0, arms * p_values.max(axis=1).min())),
        "seeds_needed": count if settled(low, high) else float(enough[0]) if len(enough) else np.nan,
    }


def _hits(matrix: np.ndarray) -> np.ndarray:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _by_arm(table: pd.DataFrame) -> pd.DataFrame:
    """A column for each arm, a row for each group, measure, part and seed."""
    keys = [*_CELL, "seed"]
    twice = table.duplicated([*keys, "arm"])
    if twice.any():
        row = table[twice].iloc[0]
        raise InputError(
            f"runs: arm {row['arm']!r}, seed {row['seed']} of {row['group']!r} is there twice; expected one run each"
        )
    return table.set_index([*keys, "arm"])["value"].unstack("arm", sort=False)


def _standard_error(gain: np.ndarray, se: np.ndarray) -> np.ndarray:
    """Standard errors; NaN where all pairs differ by exactly the same amount, which tells nothing of their scatter.

    Pairs that do not differ at all are two names for one training set: their error is 0.
    """
    return np.where((se == 0) & (gain != 0), np.nan, se)


def _score(gain: np.ndarray, se: np.ndarray) -> np.ndarray:
    return np.divide(gain, se, out=np.where(se == 0, 0.0, np.nan), where=se > 0)


def _interval(gain: np.ndarray, se: np.ndarray, degrees: np.ndarray, tail: float) -> tuple[np.ndarray, np.ndarray]:
    """Student's interval; a difference of percentages lies within -100 and 100 points."""
    half = se * stats.t.isf(tail, degrees)
    return np.clip(gain - half, -100, 100), np.clip(gain + half, -100, 100)
