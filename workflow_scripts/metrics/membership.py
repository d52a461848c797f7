"""Membership from samples alone: can one tell which images a generator was trained on?

The score of an image is its distance to the nearest sample; training images should lie no nearer than other images of
the same kind (controls). Copies are a statement about samples, membership one about the people in the training set: few
samples may copy, while each training image can still be told.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from workflow_scripts.core.intervals import LEVEL, counts_at_quantile, counts_interval, wilson

FALSE_ALARMS = (0.01, 0.001)
FEWEST_MEMBERS = 8  # of which an AUC is given
FEWEST_CONTROLS = 20
FEWEST_GROUPS = 8  # of members, and of controls
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


@dataclass(frozen=True)
class Scores:
    """Scores (n,), and the group (n,) of each image, such as the person whom it shows; without, each is its own."""

    values: np.ndarray
    groups: np.ndarray | None = None

    @cached_property
    def group(self) -> np.ndarray:
        """Number of each image's group, from 0 on."""
        return np.arange(len(self.values)) if self.groups is None else np.unique(self.groups, return_inverse=True)[1]

    @property
    def count(self) -> int:
        """Number of groups."""
        return int(self.group.max(initial=-1)) + 1

    @property
    def together(self) -> float:
        """Mean number of images in a group."""
        return len(self.values) / max(self.count, 1)

    def first(self) -> np.ndarray:
        """Scores of one image of each group, which are independent."""
        return self.values[np.unique(self.group, return_index=True)[1]]

    def variance(self, placements: np.ndarray) -> float:
        """Of the mean of placements (n,), whose groups scatter as wholes (Obuchowski 1997)."""
        of_groups = np.bincount(self.group, placements - placements.mean())
        return float((of_groups**2).sum() / len(placements) ** 2 * self.count / (self.count - 1))


def membership(members: np.ndarray | Scores, controls: np.ndarray | Scores, least: float = 0.0) -> Membership:
    """Compare the scores of members (n,) and controls (m,), lower for members; see `Membership`.

    Images of one group are alike, and so are their scores: as `Scores` with groups, they count as no more than they
    are. least: the smallest score that there can be.
    """
    ours, theirs = (part if isinstance(part, Scores) else Scores(part) for part in (members, controls))
    n, m = len(ours.values), len(theirs.values)
    told = tuple(_told(ours, theirs, alarms, least) for alarms in FALSE_ALARMS)
    if n < FEWEST_MEMBERS or m < FEWEST_CONTROLS:
        reason = f"needs {FEWEST_MEMBERS} members and {FEWEST_CONTROLS} controls, there are {n} and {m}"
        return Membership(n, m, None, None, None, None, told, reason)
    if min(ours.count, theirs.count) < FEWEST_GROUPS:
        reason = (
            f"needs members and controls of {FEWEST_GROUPS} groups each, there are {ours.count:,} and {theirs.count:,}"
        )
        return Membership(n, m, None, None, None, None, told, reason)
    beaten = _share_above(np.sort(theirs.values), ours.values)  # of each member: controls that score higher
    beating = 1 - _share_above(np.sort(ours.values), theirs.values)  # of each control: members that score lower
    auc = float(beaten.mean())
    variances = ours.variance(beaten), theirs.variance(beating)
    trials = _auc_trials(auc, sum(variances), ours.count)
    low, high = map(float, wilson(auc * trials, trials))
    null = (n + m + 1) / (12 * n * m)
    if ours.together > 1 or theirs.together > 1:
        freedom = _freedom(variances, (ours.count - 1, theirs.count - 1))
        p_value = special.stdtr(freedom, (0.5 - auc) / np.sqrt(max(null, sum(variances))))
    else:
        p_value = special.ndtr((0.5 - auc) / np.sqrt(null))
    return Membership(n, m, auc, low, high, float(p_value), told, auc_trials=trials)


def lira(distances: np.ndarray, member: np.ndarray) -> list[Membership]:
    """LiRA with few reference runs (Carlini et al. 2022, offline, global variance): the membership of each of S runs.

    distances (S, N): of N images to the nearest sample of each run, NaN where it was not measured; member (S, N) bool:
    which images a run was trained on. The runs differ in their training images alone, or also in how many these are.
    The score of an image in a run is the logarithm of its distance, less its mean over the other runs that were trained
    without it: some images lie near to samples in any case. A member is ranked among the controls of the same reference
    runs, since few of them leave more scatter than many. Members that every run was trained on are left out.
    """
    logs = np.log(np.maximum(distances, NEAREST))
    known = np.isfinite(logs)
    for values, outside in zip(logs, known & ~member, strict=True):
        values -= np.median(values[outside]) if outside.any() else 0.0
    return [_relative(logs, known, member, run) for run in range(len(logs))]


def _relative(logs: np.ndarray, known: np.ndarray, member: np.ndarray, run: int) -> Membership:
    outside = known & ~member
    reference = outside.copy()
    reference[run] = False
    inside = np.flatnonzero(known[run] & member[run] & reference.any(axis=0))
    kinds, kind = np.unique(reference[:, inside], axis=1, return_inverse=True)
    ranks, fewest = np.empty(len(inside)), int(outside[run].sum())
    for i, runs in enumerate(kinds.T):
        controls = np.flatnonzero(outside[run] & reference[runs].all(axis=0))
        of_members, of_controls = (
            logs[run, images] - logs[np.ix_(runs, images)].mean(axis=0) for images in (inside[kind == i], controls)
        )
        ranks[kind == i] = 1 - _share_above(np.sort(of_controls), of_members)
        fewest = min(fewest, len(controls))
    return membership(ranks, (np.arange(fewest) + 0.5) / fewest)


def _told(members: Scores, controls: Scores, alarms: float, least: float) -> Told:
    needed, apart = round(1 / alarms), controls.first()
    if len(apart) < needed or members.count < FEWEST_MEMBERS:
        grouped = " of different groups" if max(members.together, controls.together) > 1 else ""
        reason = (
            f"{alarms:.1%} false alarms need {needed:,} controls and {FEWEST_MEMBERS} members{grouped}, "
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


def _share_above(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of `ordered` (m,), rising, above each value; equal ones count half."""
    below, upto = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return 1 - (below + upto) / (2 * len(ordered))


def _auc_trials(auc: float, variance: float, members: int) -> float:
    """The number of trials that has an area's variance (DeLong et al. 1988), for Wilson's interval.

    The variance is shrunk, with the weight of two members, to the largest that an area of this size can have: of eight
    members who all score lowest it would be 0. members: how many there are, or groups of them.
    """
    largest = auc * (1 - auc)
    shrunk = ((members - 1) * variance + 2 * largest / members) / (members + 1)
    return float(largest / shrunk) if largest > 0 else float(members)


def _freedom(variances: tuple[float, float], freedoms: tuple[int, int]) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances."""
    parts = sum(variance**2 / freedom for variance, freedom in zip(variances, freedoms, strict=True))
    return sum(variances) ** 2 / parts if parts else float(sum(freedoms))
