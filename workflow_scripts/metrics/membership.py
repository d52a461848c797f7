"""Membership from samples alone: can one tell which images a generator was trained on?

The score of an image is its distance to the nearest sample; training images should lie no nearer than other images of
the same kind (controls). Copies are a statement about samples, membership one about the people in the training set: few
samples may copy, while each training image can still be told.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from workflow_scripts.core.intervals import LEVEL, counts_at_quantile, counts_interval, wilson
from workflow_scripts.metrics.groups import FEWEST_GROUPS, Grouped, as_grouped, compare_ranks, share_above

FALSE_ALARMS = (0.01, 0.001)
FEWEST_MEMBERS = 8  # of which an AUC is given
FEWEST_CONTROLS = 20
NEAREST = 1e-6  # distances below count as this one in logarithms


@dataclass(frozen=True)
class Told:
    """Members that are told at a rate of false alarms; all None with a `reason` where there are too few images.

    percentage, low, high: true-positive rate and its 95 % interval (Clopper-Pearson, widened by what the controls leave
    open about the threshold). counts: members told at equally probable thresholds, of `trials`, for summaries over
    runs; both smaller by the number of images in a group, where images come in groups.
    """

    false_alarms: float
    percentage: float | None
    low: float | None
    high: float | None
    counts: tuple[float, ...] = ()
    trials: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Membership:
    """auc: probability that a member scores lower than a control, 0.5 by chance, with its 95 % interval.

    p_value: of the hypothesis that members score no lower, one-sided. told: at each of FALSE_ALARMS. auc_trials: how
    many coin tosses would know the area as well, for summaries over runs.
    """

    members: int
    controls: int
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    p_value: float | None
    told: tuple[Told, ...]
    reason: str = ""
    auc_trials: float | None = None


def membership(members: np.ndarray | Grouped, controls: np.ndarray | Grouped, least: float = 0.0) -> Membership:
    """Compare the scores of members (n,) and controls (m,), lower for members; see `Membership`.

    Images of one group are alike, and so are their scores: as `Grouped` with groups, they count as no more than they
    are. least: the smallest score that there can be.
    """
    ours, theirs = as_grouped(members), as_grouped(controls)
    n, m = len(ours), len(theirs)
    told = tuple(_told(ours, theirs, alarms, least) for alarms in FALSE_ALARMS)
    if n < FEWEST_MEMBERS or m < FEWEST_CONTROLS:
        reason = f"needs {FEWEST_MEMBERS} members and {FEWEST_CONTROLS} controls, there are {n} and {m}"
        return Membership(n, m, None, None, None, None, told, reason)
    if min(ours.count, theirs.count) < FEWEST_GROUPS:
        reason = (
            f"needs members and controls of {FEWEST_GROUPS} groups each, there are {ours.count:,} and {theirs.count:,}"
        )
        return Membership(n, m, None, None, None, None, told, reason)
    ranks = compare_ranks(ours, theirs)
    trials = _auc_trials(ranks.area, ranks.variance, ours.count)
    low, high = map(float, wilson(ranks.area * trials, trials))
    p_value = float(special.ndtr(ranks.z))
    return Membership(n, m, ranks.area, low, high, p_value, told, auc_trials=trials)


def lira(distances: np.ndarray, member: np.ndarray, groups: np.ndarray | None = None) -> list[Membership]:
    """LiRA with few reference runs (Carlini et al. 2022, offline, global variance): the membership of each of S runs.

    distances (S, N): of N images to the nearest sample of each run, NaN where it was not measured; member (S, N) bool:
    which images a run was trained on. The runs differ in their training images alone, or also in how many these are.
    The score of an image in a run is the logarithm of its distance, less its mean over the other runs that were trained
    without it: some images lie near to samples in any case. A member is ranked among the controls of the same reference
    runs, since few of them leave more scatter than many. Members that every run was trained on are left out. groups
    (N,): of the images; None: each is its own.
    """
    logs = np.log(np.maximum(distances, NEAREST))
    known = np.isfinite(logs)
    for values, outside in zip(logs, known & ~member, strict=True):
        values -= np.median(values[outside]) if outside.any() else 0.0
    groups = np.arange(logs.shape[1]) if groups is None else groups
    return [_relative(logs, known, member, groups, run) for run in range(len(logs))]


def _relative(logs: np.ndarray, known: np.ndarray, member: np.ndarray, groups: np.ndarray, run: int) -> Membership:
    outside = known & ~member
    reference = outside.copy()
    reference[run] = False
    inside = np.flatnonzero(known[run] & member[run] & reference.any(axis=0))
    kinds, kind = np.unique(reference[:, inside], axis=1, return_inverse=True)
    ranks, ranked = np.empty(len(inside)), groups[outside[run]]  # of the fewest controls the groups, by rank
    for i, runs in enumerate(kinds.T):
        controls = np.flatnonzero(outside[run] & reference[runs].all(axis=0))
        of_members, of_controls = (
            logs[run, images] - logs[np.ix_(runs, images)].mean(axis=0) for images in (inside[kind == i], controls)
        )
        ranks[kind == i] = 1 - share_above(np.sort(of_controls), of_members)
        if len(controls) <= len(ranked):
            ranked = groups[controls[np.argsort(of_controls)]]
    return membership(Grouped(ranks, groups[inside]), Grouped((np.arange(len(ranked)) + 0.5) / len(ranked), ranked))


def _told(members: Grouped, controls: Grouped, alarms: float, least: float) -> Told:
    needed, apart = round(1 / alarms), controls.first()
    if len(apart) < needed or members.count < FEWEST_MEMBERS:
        apart_by = " of different groups" if max(members.together, controls.together) > 1 else ""
        reason = (
            f"{alarms:.1%} false alarms need {needed:,} controls and {FEWEST_MEMBERS} members{apart_by}, "
            f"there are {len(apart):,} and {members.count:,}"
        )
        return Told(alarms, None, None, None, reason=reason)
    rank = int(alarms * len(controls.values) + 1e-9)
    hits = int((members.values < np.partition(controls.values, rank)[rank]).sum())
    counts = counts_at_quantile(members.values, apart, alarms, least) / members.together
    # Where the count hangs on the threshold, the counts of thresholds that are right have but half of the weight.
    level = LEVEL if np.ptp(counts) == 0 else (1 + LEVEL) / 2
    low, high = counts_interval(counts, members.count, level, exact=True)
    share = hits / len(members.values)
    return Told(alarms, 100 * share, 100 * low, 100 * high, tuple(counts.tolist()), members.count)


def _auc_trials(auc: float, variance: float, members: int) -> float:
    """The number of trials that has an area's variance (DeLong et al. 1988), for Wilson's interval.

    The variance is shrunk, with the weight of two members, to the largest that an area of this size can have: of eight
    members who all score lowest it would be 0. members: how many there are, or groups of them.
    """
    largest = auc * (1 - auc)
    shrunk = ((members - 1) * variance + 2 * largest / members) / (members + 1)
    return float(largest / shrunk) if largest > 0 else float(members)
