"""Gains of rebalancing: measures of a classifier, and their paired differences between training sets (arms).

The table of runs is tidy, a row for each number:

    group    what was trained on: a data set, or a group of its classes
    arm      how its training set was made: `original`, an augmentation or a baseline
    seed     of the run; all arms of a seed share the images and the number of steps, which makes them pairs
    measure  accuracy, balanced_accuracy, macro_f1 (part empty), group_recall (part head, middle, tail) or class_recall
             (part the class)
    part     see measure
    value    percent
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
OVERALL = ("accuracy", "balanced_accuracy", "macro_f1")
COLUMNS = ("group", "arm", "seed", "measure", "part", "value")
_WHERE = ["group", "arm", "measure", "part"]


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
    """Differences of every other arm to a reference arm, in points, with Student's intervals of the pairs.

    Columns group, arm, measure, part, seeds (pairs), gain (mean), low, high, se, p_value (two-sided). The error is that
    of the paired t-test over seeds, with the variance of the pairs pooled over the groups, which few seeds of one group
    tell badly; with one group it is the paired t-test. NaN where no group has two seeds.
    Raises InputError where the reference or the pairs are missing.
    """
    rows = []
    wide = _by_arm(table)
    if reference not in wide:
        raise InputError(f"runs: no arm {reference!r}, expected it among {', '.join(map(repr, wide.columns))}")
    for arm in wide.columns.drop(reference):
        rows += [{"arm": arm} | row for row in _differences(wide, arm, reference)]
    if not rows:
        raise InputError(f"runs: no seed has both {reference!r} and another arm; run the same seeds for every arm")
    found = _with_errors(pd.DataFrame(rows), ["arm", "measure", "part"])
    low, high = _interval(found, level)
    found = found.assign(low=low, high=high, p_value=2 * stats.t.sf(found["score"].abs(), found["degrees"]))
    return found[[*_WHERE, "seeds", "gain", "low", "high", "se", "p_value"]]


def over_baselines(
    table: pd.DataFrame, arms: Sequence[str], baselines: Sequence[str], level: float = LEVEL
) -> pd.DataFrame:
    """Differences of augmentation arms to the best of the baselines, in points.

    Which baseline is best is not known, and the one that looks best is so by luck in part. So each arm is compared with
    every baseline, in pairs, and the worst case counts: the gain is the smallest mean difference, the p-value
    (one-sided) the largest of the paired t-tests (an intersection-union test, Berger 1982, Technometrics 24:295, which
    needs no correction). The interval's low end is the smallest of the low ends; its high end the smallest of the high
    ends, each widened by Bonferroni for the number of baselines. It covers the difference to the truly best baseline
    with at least the stated probability. Errors are pooled over the groups, as in `improvements`.

    Columns group, arm, measure, part, baseline (that of the smallest difference), seeds, gain, low, high, p_value.
    """
    wide = _by_arm(table)
    absent = [name for name in (*arms, *baselines) if name not in wide]
    if absent:
        raise InputError(
            f"runs: no arm {', '.join(map(repr, absent))}, expected among {', '.join(map(repr, wide.columns))}"
        )
    rows = []
    for arm in arms:
        for baseline in baselines:
            rows += [{"arm": arm, "baseline": baseline} | row for row in _differences(wide, arm, baseline)]
    pairs = _with_errors(pd.DataFrame(rows), ["arm", "baseline", "measure", "part"])
    (low, _), (_, high) = _interval(pairs, level), _interval(pairs, 1 - (1 - level) / len(baselines))
    pairs = pairs.assign(low=low, high=high, p_value=stats.t.sf(pairs["score"], pairs["degrees"]))
    grouped = pairs.groupby(_WHERE, sort=False)
    worst = pairs.loc[grouped["gain"].idxmin()].set_index(_WHERE)
    worst["seeds"] = grouped["seeds"].min()
    # A baseline without an error has no interval: then nothing is known of the worst case either.
    worst["low"], worst["high"] = grouped["low"].min(skipna=False), grouped["high"].min(skipna=False)
    worst["p_value"] = grouped["p_value"].max(skipna=False)
    return worst.reset_index()[[*_WHERE, "baseline", "seeds", "gain", "low", "high", "p_value"]]


def _hits(matrix: np.ndarray) -> np.ndarray:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _by_arm(table: pd.DataFrame) -> pd.DataFrame:
    """A column for each arm, a row for each group, measure, part and seed."""
    keys = ["group", "measure", "part", "seed"]
    twice = table.duplicated([*keys, "arm"])
    if twice.any():
        row = table[twice].iloc[0]
        raise InputError(
            f"runs: arm {row['arm']!r}, seed {row['seed']} of {row['group']!r} is there twice; expected one run each"
        )
    return table.set_index([*keys, "arm"])["value"].unstack("arm", sort=False)


def _differences(wide: pd.DataFrame, arm: str, reference: str) -> list[dict[str, Any]]:
    """Mean and variance over the seeds that have both arms, for each group, measure and part."""
    difference = (wide[arm] - wide[reference]).dropna()
    grouped: Any = difference.groupby(level=["group", "measure", "part"], sort=False)  # typed too loosely for its keys
    rows = []
    for (group, measure, part), some in grouped:
        variance = float(some.var(ddof=1)) if len(some) > 1 else 0.0
        rows.append(
            {
                "group": group,
                "measure": measure,
                "part": part,
                "seeds": len(some),
                "gain": some.mean(),
                "variance": variance,
            }
        )
    return rows


def _with_errors(rows: pd.DataFrame, alike: list[str]) -> pd.DataFrame:
    """Rows of _differences with standard error, degrees of freedom and score; variances pooled over `alike` rows."""
    free = rows["seeds"] - 1
    keys = [rows[name] for name in alike]
    degrees = free.groupby(keys).transform("sum")
    with np.errstate(invalid="ignore", divide="ignore"):
        se = np.sqrt((rows["variance"] * free).groupby(keys).transform("sum") / degrees / rows["seeds"])
        # Runs that agree to the last digit differ by nothing, or by a certain amount.
        score = np.where((se == 0) & (rows["gain"] == 0), 0.0, rows["gain"] / se)
    return rows.assign(se=se, degrees=degrees.where(degrees > 0), score=score)


def _interval(rows: pd.DataFrame, level: float) -> tuple[pd.Series, pd.Series]:
    """Student's interval; a difference of percentages lies within -100 and 100 points."""
    half = rows["se"] * stats.t.ppf((1 + level) / 2, rows["degrees"])
    return (rows["gain"] - half).clip(-100, 100), (rows["gain"] + half).clip(-100, 100)
