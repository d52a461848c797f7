"""Measures of replication, from the distances of samples and controls to their nearest training images.

Distances are those of `neighbours.nearest_neighbours`. Three kinds of query are searched in the same training set: the
generator's samples, held-out images (which no generator of this set has seen: what they show is chance, unless they are
near-duplicates of training images, which are left out), and the training images themselves, each in the rest of the set
(what they show is in the data).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.intervals import counts_at_quantile, counts_interval, newcombe, quantile_interval, wilson
from workflow_scripts.data.subsets import first_half
from workflow_scripts.metrics.membership import Scores, membership
from workflow_scripts.replication.tables import by_rank
from workflow_scripts.replication.thresholds import threshold_label

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
LONE_RATIO = 1 / 3  # Yoon et al. 2023
SMALLEST_CELL = 20  # queries of each kind, for the normal approximation of a rank test


@dataclass(frozen=True)
class Threshold:
    """A distance up to which an image counts as a replica, with the 95 % interval where it was estimated."""

    rms: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Rate:
    """A count among `of`, as a percentage with its 95 % Wilson interval; all three are None of nothing."""

    count: int
    of: int
    percentage: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """A difference of two percentages, in points, with its 95 % interval; None where either is unknown."""

    percentage: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """A rate of the samples beside that of held-out images: what chance gives.

    p_value: of the hypothesis that samples show it no more often (or no less: see the measure), one-sided; None of
    nothing.
    """

    samples: Rate
    held_out: Rate
    difference: Difference
    p_value: float | None


@dataclass(frozen=True)
class Replication:
    """What one threshold says of one generator; see `replication`.

    low, high: 95 % interval of the percentage of replicas that carries the threshold's own error, where `replicas` has
    that of counting alone. counts: of replicas, at equally probable thresholds (one count where it is known).
    """

    threshold: Threshold
    replicas: Rate
    low: float | None
    high: float | None
    background: Rate
    excess: Difference
    p_value: float | None
    near_duplicates: Rate
    images_copied: int
    counts: tuple[float, ...]


@dataclass(frozen=True)
class DataCopying:
    """The data-copying test; see `data_copying`. z is None where it cannot be computed."""

    z: float | None
    cellwise_z: float | None
    cells: int


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each query, arrays (m,).

    distance, second: to it, and to the next one; own: from it to the nearest other training image, None where that is
    not known; cells: the part of the training set that it lies in, its class (one where there are no classes);
    groups: the query's own group, None where each is its own.
    """

    distance: np.ndarray
    second: np.ndarray
    own: np.ndarray | None
    cells: np.ndarray
    groups: np.ndarray | None = None


def beside_controls(samples: Nearest, held_out: Nearest) -> dict[str, Any]:
    """The measures that need no threshold, each beside its control; authenticity where `own` is known."""
    lone = compare_rates(is_lone(samples.distance, samples.second), is_lone(held_out.distance, held_out.second))
    measured = {"lone_neighbour": asdict(lone)}
    if samples.own is not None and held_out.own is not None:
        authentic = is_authentic(samples.distance, samples.own), is_authentic(held_out.distance, held_out.own)
        measured["authenticity"] = asdict(compare_rates(*authentic, fewer=True))
    copying = data_copying(samples.distance, held_out.distance, samples.cells, held_out.cells)
    measured["data_copying"] = asdict(copying)
    measured["data_copying_control"] = asdict(data_copying_control(held_out.distance, held_out.cells, held_out.groups))
    return measured


def measure(
    neighbours: pd.DataFrame,
    controls: pd.DataFrame,
    scored: pd.DataFrame,
    labels: np.ndarray,
    thresholds: list[dict[str, float]],
    groups: np.ndarray | None = None,
) -> dict[str, Any]:
    """Every measure in one space.

    neighbours, scored, controls: as compare_samples and find_control_neighbours wrote them; labels (n,): of all images
    of the set; thresholds: the study's. groups (n,): of all images; None: each is its own.
    """
    held_out, training, leaks = (
        controls[controls["kind"] == kind] for kind in ("held_out", "training", "near_duplicate")
    )
    scored = scored[~(scored["held_out"] & scored["image"].isin(leaks["query"]))]
    own = by_rank(training, 1)["distance"]  # of each training image to the nearest other one
    nearest, chance = by_rank(neighbours, 1), by_rank(held_out, 1)
    samples, control = (table["distance"].to_numpy() for table in (nearest, chance))
    index = nearest["index"].to_numpy()
    seen = (
        Nearest(
            distance=first["distance"].to_numpy(),
            second=by_rank(rows, 2)["distance"].to_numpy(),
            own=own.loc[first["index"]].to_numpy(),
            cells=labels[first["index"].to_numpy()],
            groups=groups_of,
        )
        for first, rows, groups_of in (
            (nearest, neighbours, None),
            (chance, held_out, None if groups is None else groups[chance.index.to_numpy()]),
        )
    )
    members, others = (
        Scores(part["distance"].to_numpy(), None if groups is None else groups[part["image"].to_numpy()])
        for part in (scored[scored["member"]], scored[scored["held_out"]])
    )
    distances = {"samples": samples, "held_out": control, "training": own.to_numpy()}
    return {
        "thresholds": [
            {"label": threshold_label(threshold)}
            | asdict(replication(samples, index, control, own.to_numpy(), threshold))
            for threshold in thresholds
        ],
        **beside_controls(*seen),
        "membership": asdict(membership(members, others)),
        "distances": {kind: quantiles(values) for kind, values in distances.items()},
    }


def copies_over_training(
    moments: pd.DataFrame, snapshots: pd.DataFrame, controls: pd.DataFrame, threshold: Mapping[str, float]
) -> pd.DataFrame:
    """Copies among the samples that were kept at moments of a training, a row for each: when does copying begin?

    moments: step and frechet, a row for each moment; snapshots: as search.snapshot_rows gives them; controls: of the
    same space; threshold: that of the finished generator. Columns step, samples, replicas, percentage with low and
    high, background_percentage and excess_percentage with low and high (beyond what held-out images show), frechet.
    """
    control = by_rank(controls[controls["kind"] == "held_out"], 1)["distance"].to_numpy()
    own = by_rank(controls[controls["kind"] == "training"], 1)["distance"].to_numpy()
    rows = []
    for _, part in snapshots.groupby("moment"):
        moment = moments.iloc[int(part["moment"].iloc[0])]
        copied = replication(part["distance"].to_numpy(), part["index"].to_numpy(), control, own, threshold)
        rows.append(
            {
                "step": int(moment["step"]),
                "samples": copied.replicas.of,
                "replicas": copied.replicas.count,
                "percentage": copied.replicas.percentage,
                "low": copied.low,
                "high": copied.high,
                "background_percentage": copied.background.percentage,
                **{f"excess_{key}": value for key, value in asdict(copied.excess).items()},
                "frechet": float(moment["frechet"]),
            }
        )
    return pd.DataFrame(rows)


def rate(hits: np.ndarray) -> Rate:
    """Count the true among hits, bool (m,)."""
    count, of = int(np.count_nonzero(hits)), len(hits)
    if of == 0:
        return Rate(0, 0, None, None, None)
    low, high = wilson(count, of)
    return Rate(count, of, 100 * count / of, 100 * float(low), 100 * float(high))


def calibrated_threshold(held_out: np.ndarray, share: float) -> Threshold:
    """The distance at which a share of the held-out images, nearest distances (m,), would count as replicas.

    It is the floor(share * m)-th smallest of their distances, so that exactly that many count (more only where several
    are at that very distance), and its interval is that of the distribution's quantile. Raises InputError if not even
    one held-out image may count, m < 1 / share.
    """
    rank = int(np.floor(share * len(held_out) + 1e-9))
    if rank < 1:
        raise InputError(
            f"the threshold calibrated-{share:g} needs at least {math.ceil(1 / share - 1e-6)} held-out images, and "
            f"{len(held_out)} are left without near-duplicates of training images; raise `held_out` of the data set"
        )
    low, high = (None if np.isnan(end) else end for end in quantile_interval(held_out, share))
    return Threshold(float(np.partition(held_out, rank - 1)[rank - 1]), low, high)


def distance_threshold(threshold: Mapping[str, float], held_out: np.ndarray) -> Threshold:
    """The distance of a threshold as the config has it; held_out (h,): nearest distances of held-out images."""
    ((kind, number),) = threshold.items()
    return calibrated_threshold(held_out, number) if kind == "calibrated" else Threshold(number)


def replication(
    samples: np.ndarray,
    nearest: np.ndarray,
    held_out: np.ndarray,
    training: np.ndarray,
    threshold: Mapping[str, float],
) -> Replication:
    """Count as replicas the samples within a threshold of a training image, and set the controls beside them.

    samples (m,), held_out (h,), training (n,): distances to the nearest training image (to the nearest other one, for
    training); nearest (m,): which image that is, of each sample; threshold: as the config has it, a kind and its
    number. The background is the percentage of the held-out images that would count; the excess is the difference of
    both, with Newcombe's interval, or at a calibrated threshold, where chance is known, with that of the percentage.
    Near duplicates are training images that would count as replicas of the others; images_copied is how many training
    images have a replica. Feng et al. 2021 (percentage at a fixed threshold); the controls are this project's.
    """
    ((kind, number),) = threshold.items()
    limit = distance_threshold(threshold, held_out)
    hits = samples <= limit.rms
    compared = compare_rates(hits, held_out <= limit.rms)
    replicas, excess = compared.samples, compared.difference
    counts, ends = np.array([float(replicas.count)]), (replicas.low, replicas.high)
    if kind == "calibrated" and replicas.of:
        counts = counts_at_quantile(samples, held_out, number, least=0.0)
        low, high = (100 * end for end in counts_interval(counts, replicas.of))
        counted = 100 * replicas.count / replicas.of
        low, high = min(low, counted), max(high, counted)  # it holds what was counted
        ends = low, high
        excess = Difference(excess.percentage, low - 100 * number, high - 100 * number)
    return Replication(
        threshold=limit,
        replicas=replicas,
        low=ends[0],
        high=ends[1],
        background=compared.held_out,
        excess=excess,
        p_value=compared.p_value,
        near_duplicates=rate(training <= limit.rms),
        images_copied=len(np.unique(nearest[hits])),
        counts=tuple(counts.tolist()),
    )


def compare_rates(samples: np.ndarray, held_out: np.ndarray, fewer: bool = False) -> Comparison:
    """How many are true of samples (m,) and of held-out images (h,), bool; Fisher's exact test, one-sided.

    fewer: the test asks whether it holds of fewer samples than by chance, not of more.
    """
    first, second = rate(samples), rate(held_out)
    if first.percentage is None or second.percentage is None:
        return Comparison(first, second, Difference(None, None, None), None)
    low, high = newcombe(first.count, first.of, second.count, second.of)
    difference = Difference(first.percentage - second.percentage, 100 * float(low), 100 * float(high))
    counts = (first.of - first.count, second.of - second.count) if fewer else (first.count, second.count)
    return Comparison(first, second, difference, _fisher(counts[0], first.of, counts[1], second.of))


def is_lone(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether a query's nearest training image is more than three times nearer than the next, distances (m,) each.

    It asks for a copy of one image, whatever the image's contrast, and misses copies of an image that has a
    near-duplicate in the set. Yoon et al. 2023 and Gu et al. 2023 call such samples memorised.
    """
    return first < LONE_RATIO * second


def is_authentic(distance: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Whether a query is further from its nearest training image (m,) than that image is from its nearest other (m,).

    Alaa et al. 2022, How faithful is your synthetic data? About half of the held-out images are.
    """
    return distance > own


def data_copying(
    samples: np.ndarray, held_out: np.ndarray, sample_cells: np.ndarray, held_out_cells: np.ndarray
) -> DataCopying:
    """Test whether samples lie nearer to the training set than held-out images do: C_T far below 0 is copying.

    samples (m,), held_out (h,): distances to the nearest training image. z is the Mann-Whitney statistic over all,
    standardised (with the correction for ties). Cells are parts of the training set that a query falls into; the
    cellwise statistic is the mean of their z by share of held-out images, over the `cells` that have at least 20
    queries of both kinds. Meehan, Chaudhuri and Dasgupta 2020, A non-parametric test to detect data-copying in
    generative models.
    """
    cells, place = np.unique(np.concatenate([sample_cells, held_out_cells]), return_inverse=True)
    of_sample, of_held_out = place[: len(samples)], place[len(samples) :]
    statistics, weights = [], []
    for cell in range(len(cells)):
        ours, theirs = samples[of_sample == cell], held_out[of_held_out == cell]
        if min(len(ours), len(theirs)) >= SMALLEST_CELL:
            statistics.append(_mann_whitney_z(ours, theirs))
            weights.append(len(theirs))
    z = _mann_whitney_z(samples, held_out) if min(len(samples), len(held_out)) >= SMALLEST_CELL else None
    cellwise = float(np.average(statistics, weights=weights)) if weights else None
    return DataCopying(z, cellwise, len(weights))


def data_copying_control(held_out: np.ndarray, cells: np.ndarray, groups: np.ndarray | None = None) -> DataCopying:
    """What the data-copying test gives by chance: one random half of the held-out images (h,) against the other.

    groups: (h,), none of which is in both halves.
    """
    order = np.random.default_rng(len(held_out)).permutation(len(held_out))
    half = first_half(len(held_out), groups, order)
    return data_copying(held_out[half], held_out[~half], cells[half], cells[~half])


def quantiles(distances: np.ndarray) -> dict[str, float]:
    """Quantiles of distances (m,), from smallest to largest; none of nothing."""
    if len(distances) == 0:
        return {}
    return {
        f"{share:g}": float(value) for share, value in zip(QUANTILES, np.quantile(distances, QUANTILES), strict=True)
    }


def _mann_whitney_z(first: np.ndarray, second: np.ndarray) -> float:
    """Standardised U of two samples: below 0 where `first` tends to be smaller. Zero if all values are equal."""
    m, n = len(first), len(second)
    pooled = np.concatenate([first, second])
    _, place, ties = np.unique(pooled, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]  # equal values share their mean rank
    ties = ties.astype(float)
    u = ranks[:m].sum() - m * (m + 1) / 2
    variance = m * n / 12 * ((m + n + 1) - (ties**3 - ties).sum() / ((m + n) * (m + n - 1)))
    return float((u - m * n / 2) / np.sqrt(variance)) if variance > 0 else 0.0


def _fisher(count: int, of: int, control: int, control_of: int) -> float:
    """Probability that of the count + control hits at least `count` fall to the first group by chance."""
    hits = count + control
    ways = np.arange(count, min(of, hits) + 1)
    logs = _ln_choose(of, ways) + _ln_choose(control_of, hits - ways) - _ln_choose(of + control_of, hits)
    return float(min(1.0, np.exp(logs).sum()))


def _ln_choose(of: int, chosen: np.ndarray | int) -> np.ndarray:
    left = of - np.asarray(chosen)
    with np.errstate(invalid="ignore"):
        logs = special.gammaln(of + 1.0) - special.gammaln(np.asarray(chosen) + 1.0) - special.gammaln(left + 1.0)
    return np.where(left < 0, -np.inf, logs)
