"""Membership from samples alone: can one tell which images a generator was trained on?

The score of an image is its distance to the nearest sample; training images should lie no nearer than other images of
the same kind (controls). Copies are a statement about samples, membership one about the people in the training set: few
samples may copy, while each training image can still be told.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from workflow_scripts.core.intervals import counts_at_quantile, counts_interval, wilson

FALSE_ALARMS = (0.01, 0.001)
FEWEST_MEMBERS = 8  # of which an AUC is given
FEWEST_CONTROLS = 20
NEAREST = 1e-6  # distances below count as this one in logarithms


@dataclass(frozen=True)
class Told:
    """Members that are told at a rate of false alarms; all None with a `reason` where there are too few images.

    percentage, low, high: true-positive rate and its 95 % interval (Clopper-Pearson, widened by what the controls leave
    open about the threshold). counts: members told at equally probable thresholds, for summaries over runs.
    """

    false_alarms: float
    percentage: float | None
    low: float | None
    high: float | None
    counts: tuple[float, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Membership:
    """auc: probability that a member scores lower than a control, 0.5 by chance, with its 95 % interval.

    p_value: of the hypothesis that members score no lower, one-sided. told: at each of FALSE_ALARMS.
    """

    members: int
    controls: int
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    p_value: float | None
    told: tuple[Told, ...]
    reason: str = ""


def membership(members: np.ndarray, controls: np.ndarray, least: float = 0.0) -> Membership:
    """Compare the scores of members (n,) and controls (m,), lower for members; see `Membership`.

    least: the smallest score that there can be.
    """
    n, m = len(members), len(controls)
    told = tuple(_told(members, controls, alarms, least) for alarms in FALSE_ALARMS)
    if n < FEWEST_MEMBERS or m < FEWEST_CONTROLS:
        reason = f"needs {FEWEST_MEMBERS} members and {FEWEST_CONTROLS} controls, there are {n} and {m}"
        return Membership(n, m, None, None, None, None, told, reason)
    beaten = _share_above(np.sort(controls), members)  # of each member: controls that score higher
    beating = 1 - _share_above(np.sort(members), controls)  # of each control: members that score lower
    auc = float(beaten.mean())
    low, high = _auc_interval(auc, beaten, beating)
    null = np.sqrt((n + m + 1) / (12 * n * m))
    return Membership(n, m, auc, low, high, float(special.ndtr((0.5 - auc) / null)), told)


def relative_scores(distances: np.ndarray, member: np.ndarray) -> np.ndarray:
    """LiRA with few reference runs (Carlini et al. 2022, offline, global variance): scores (S, N), NaN where none.

    distances (S, N): of N images to the nearest sample of each of S runs that differ in their training images alone,
    NaN where it was not measured; member (S, N) bool: which images a run was trained on. The score of an image in a run
    is the logarithm of its distance, less its mean over the other runs that were trained without the image: some images
    lie near to samples in any case. Each run is centred by the median of its non-members.
    """
    logs = np.log(np.maximum(distances, NEAREST))
    outside = ~member & np.isfinite(logs)
    values = np.where(outside, logs, 0.0)
    others = outside.sum(axis=0) - outside
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = logs - (values.sum(axis=0) - values) / others
    scores[others == 0] = np.nan
    controls = np.where(member, np.nan, scores)
    known = np.isfinite(controls).any(axis=1)
    scores[known] -= np.nanmedian(controls[known], axis=1, keepdims=True)
    return scores


def _told(members: np.ndarray, controls: np.ndarray, alarms: float, least: float) -> Told:
    needed = round(1 / alarms)
    if len(controls) < needed or len(members) < FEWEST_MEMBERS:
        reason = (
            f"{alarms:.1%} false alarms need {needed:,} controls and {FEWEST_MEMBERS} members, "
            f"there are {len(controls):,} and {len(members):,}"
        )
        return Told(alarms, None, None, None, reason=reason)
    rank = int(alarms * len(controls) + 1e-9)
    hits = int((members < np.partition(controls, rank)[rank]).sum())
    counts = counts_at_quantile(members, controls, alarms, least)
    low, high = counts_interval(counts, len(members), exact=True)
    return Told(alarms, 100 * hits / len(members), 100 * low, 100 * high, tuple(counts.tolist()))


def _share_above(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of `ordered` (m,), rising, above each value; equal ones count half."""
    below, upto = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return 1 - (below + upto) / (2 * len(ordered))


def _auc_interval(auc: float, beaten: np.ndarray, beating: np.ndarray) -> tuple[float, float]:
    """Wilson's interval with the number of trials that has DeLong's variance (DeLong et al. 1988).

    The variance is shrunk, with the weight of two members, to the largest that an area of this size can have: of eight
    members who all score lowest it would be 0.
    """
    n, m = len(beaten), len(beating)
    largest = auc * (1 - auc)
    measured = beaten.var(ddof=1) / n + beating.var(ddof=1) / m
    variance = ((n - 1) * measured + 2 * largest / n) / (n + 1)
    trials = largest / variance if largest > 0 else n
    low, high = wilson(auc * trials, trials)
    return float(low), float(high)
