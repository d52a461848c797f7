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
from workflow_scripts.metrics.groups import FEWEST_GROUPS, Grouped, as_grouped, compare_ranks
from workflow_scripts.metrics.membership import membership
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
    """A count among `of`, as a percentage with its 95 % interval (Wilson's, of images in groups as of the fewer images
    that tell as much); all three are None of nothing."""

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

    def chance(values: np.ndarray) -> Grouped:
        return Grouped(values, held_out.groups)

    lone = is_lone(samples.distance, samples.second), chance(is_lone(held_out.distance, held_out.second))
    measured = {"lone_neighbour": asdict(compare_rates(*lone))}
    if samples.own is not None and held_out.own is not None:
        authentic = is_authentic(samples.distance, samples.own), chance(is_authentic(held_out.distance, held_out.own))
        measured["authenticity"] = asdict(compare_rates(*authentic, fewer=True))
    control = chance(held_out.distance)
    copying = data_copying(samples.distance, control, samples.cells, held_out.cells)
    measured["data_copying"] = asdict(copying)
    measured["data_copying_control"] = asdict(data_copying_control(control, held_out.cells))
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
    samples, index = nearest["distance"].to_numpy(), nearest["index"].to_numpy()
    control, rest = (_of_groups(distances, groups) for distances in (chance["distance"], own))
    seen = (
        Nearest(
            distance=first["distance"].to_numpy(),
            second=by_rank(rows, 2)["distance"].to_numpy(),
            own=own.loc[first["index"]].to_numpy(),
            cells=labels[first["index"].to_numpy()],
            groups=groups_of,
        )
        for first, rows, groups_of in ((nearest, neighbours, None), (chance, held_out, control.groups))
    )
    members, others = (
        _of_groups(part.set_index("image")["distance"], groups)
        for part in (scored[scored["member"]], scored[scored["held_out"]])
    )
    distances = {"samples": samples, "held_out": control.values, "training": rest.values}
    return {
        "held_out_groups": control.count,
        "thresholds": [
            {"label": threshold_label(threshold)} | asdict(replication(samples, index, control, rest, threshold))
            for threshold in thresholds
        ],
        **beside_controls(*seen),
        "membership": asdict(membership(members, others)),
        "distances": {kind: quantiles(values) for kind, values in distances.items()},
    }


def _of_groups(distances: pd.Series, groups: np.ndarray | None) -> Grouped:
    """Distances by the image's number, with the images' groups, of all images (N,)."""
    return Grouped(distances.to_numpy(), None if groups is None else groups[distances.index.to_numpy()])


def copies_over_training(
    moments: pd.DataFrame,
    snapshots: pd.DataFrame,
    controls: pd.DataFrame,
    threshold: Mapping[str, float],
    groups: np.ndarray | None = None,
) -> pd.DataFrame:
    """Copies among the samples that were kept at moments of a training, a row for each: when does copying begin?

    moments: step and frechet, a row for each moment; snapshots: as search.snapshot_rows gives them; controls: of the
    same space; threshold: that of the finished generator; groups (n,): of all images. Columns step, samples, replicas,
    percentage with low and high, background_percentage and excess_percentage with low and high (beyond what held-out
    images show), frechet.
    """
    control, own = (
        _of_groups(by_rank(controls[controls["kind"] == kind], 1)["distance"], groups)
        for kind in ("held_out", "training")
    )
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


def rate(hits: np.ndarray | Grouped) -> Rate:
    """Count the true among hits, bool (m,)."""
    hits = as_grouped(hits)
    count, of = int(np.count_nonzero(hits.values)), len(hits)
    if of == 0:
        return Rate(0, 0, None, None, None)
    low, high = wilson(count / hits.design_effect, of / hits.design_effect)
    return Rate(count, of, 100 * count / of, 100 * float(low), 100 * float(high))


def calibrated_threshold(held_out: np.ndarray | Grouped, share: float) -> Threshold:
    """The distance at which a share of the held-out images, nearest distances (m,), would count as replicas.

    It is the floor(share * m)-th smallest of their distances, so that exactly that many count (more only where several
    are at that very distance), and its interval is that of the distribution's quantile. Raises InputError if not even
    one held-out image may count, m < 1 / share.
    """
    held_out = as_grouped(held_out)
    rank = int(np.floor(share * len(held_out) + 1e-9))
    if rank < 1:
        raise InputError(
            f"the threshold calibrated-{share:g} needs at least {math.ceil(1 / share - 1e-6)} held-out images, and "
            f"{len(held_out)} are left without near-duplicates of training images; raise `held_out` of the data set"
        )
    limit = float(np.partition(held_out.values, rank - 1)[rank - 1])
    ends = quantile_interval(held_out.values, share, design_effect=held_out.within(limit).design_effect)
    low, high = (None if np.isnan(end) else end for end in ends)
    return Threshold(limit, low, high)


def distance_threshold(threshold: Mapping[str, float], held_out: Grouped) -> Threshold:
    """The distance of a threshold as the config has it; held_out (h,): nearest distances of held-out images."""
    ((kind, number),) = threshold.items()
    return calibrated_threshold(held_out, number) if kind == "calibrated" else Threshold(number)


def replication(
    samples: np.ndarray,
    nearest: np.ndarray,
    held_out: np.ndarray | Grouped,
    training: np.ndarray | Grouped,
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
    held_out, training = as_grouped(held_out), as_grouped(training)
    limit = distance_threshold(threshold, held_out)
    hits, by_chance = samples <= limit.rms, held_out.within(limit.rms)
    compared = compare_rates(hits, by_chance)
    replicas, excess = compared.samples, compared.difference
    counts, ends = np.array([float(replicas.count)]), (replicas.low, replicas.high)
    if kind == "calibrated" and replicas.of:
        counts = counts_at_quantile(samples, held_out.values, number, least=0.0, design_effect=by_chance.design_effect)
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
        near_duplicates=rate(training.within(limit.rms)),
        images_copied=len(np.unique(nearest[hits])),
        counts=tuple(counts.tolist()),
    )


def compare_rates(samples: np.ndarray, held_out: np.ndarray | Grouped, fewer: bool = False) -> Comparison:
    """How many are true of samples (m,) and of held-out images (h,), bool; Fisher's exact test, one-sided.

    fewer: the test asks whether it holds of fewer samples than by chance, not of more. Held-out images that come in
    groups count as the fewer that tell as much, rounded against the samples (Rao and Scott 1992).
    """
    held_out = as_grouped(held_out)
    first, second = rate(samples), rate(held_out)
    if first.percentage is None or second.percentage is None:
        return Comparison(first, second, Difference(None, None, None), None)
    true, of = second.count / held_out.design_effect, second.of / held_out.design_effect
    low, high = newcombe(first.count, first.of, true, of)
    difference = Difference(first.percentage - second.percentage, 100 * float(low), 100 * float(high))
    ours, theirs = (first.of - first.count, of - true) if fewer else (first.count, true)
    p_value = _fisher(ours, first.of, math.ceil(theirs), max(math.ceil(theirs), int(of)))
    return Comparison(first, second, difference, p_value)


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
    samples: np.ndarray | Grouped, held_out: np.ndarray | Grouped, sample_cells: np.ndarray, held_out_cells: np.ndarray
) -> DataCopying:
    """Test whether samples lie nearer to the training set than held-out images do: C_T far below 0 is copying.

    samples (m,), held_out (h,): distances to the nearest training image. z is the Mann-Whitney statistic over all,
    standardised (see `Ranks`). Cells are parts of the training set that a query falls into; the cellwise statistic is
    the mean of their z by share of held-out images, over the `cells` that have at least 20 queries of both kinds, of 8
    groups. Meehan, Chaudhuri and Dasgupta 2020, A non-parametric test to detect data-copying in generative models.
    """
    samples, held_out = as_grouped(samples), as_grouped(held_out)
    cells = np.unique(np.concatenate([sample_cells, held_out_cells]))
    of_cells = [(samples.select(sample_cells == cell), held_out.select(held_out_cells == cell)) for cell in cells]
    z, *by_cell = (
        compare_ranks(ours, theirs).z
        if min(len(ours), len(theirs)) >= SMALLEST_CELL and min(ours.count, theirs.count) >= FEWEST_GROUPS
        else None
        for ours, theirs in ((samples, held_out), *of_cells)
    )
    weighted = [(value, len(theirs)) for value, (_, theirs) in zip(by_cell, of_cells, strict=True) if value is not None]
    statistics, weights = zip(*weighted, strict=True) if weighted else ((), ())
    cellwise = float(np.average(statistics, weights=weights)) if weighted else None
    return DataCopying(z, cellwise, len(weighted))


def data_copying_control(held_out: np.ndarray | Grouped, cells: np.ndarray) -> DataCopying:
    """What the data-copying test gives by chance: one random half of the held-out images (h,) against the other.

    No group is in both halves.
    """
    held_out = as_grouped(held_out)
    half = first_half(len(held_out), held_out.groups, np.random.default_rng(len(held_out)).permutation(len(held_out)))
    return data_copying(held_out.select(half), held_out.select(~half), cells[half], cells[~half])


def quantiles(distances: np.ndarray) -> dict[str, float]:
    """Quantiles of distances (m,), from smallest to largest; none of nothing."""
    if len(distances) == 0:
        return {}
    return {
        f"{share:g}": float(value) for share, value in zip(QUANTILES, np.quantile(distances, QUANTILES), strict=True)
    }


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
