"""Everything that an audit measures, from the searches of samples, held-out images and planted copies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.audit.copies import copies
from workflow_scripts.audit.search import OTHERS
from workflow_scripts.audit.verdict import REPEATED
from workflow_scripts.core.files import read_parquet
from workflow_scripts.core.intervals import wilson
from workflow_scripts.metrics.groups import Grouped
from workflow_scripts.metrics.membership import membership
from workflow_scripts.replication.measures import (
    Nearest,
    beside_controls,
    compare_rates,
    quantiles,
    rate,
    replication,
)
from workflow_scripts.replication.thresholds import kind_of, threshold_label, thresholds_in

RELATIVE = 0.01  # share of held-out images that sets the threshold of relative distances
LISTED = 1000  # leaks, and training images by copies, that the answer lists


def leaks(controls: pd.DataFrame, held_out: np.ndarray, members: np.ndarray, groups: np.ndarray) -> pd.DataFrame:
    """Held-out images that the split leaks: columns held_out, training, reason, space, distance; a row for each.

    Near-duplicates of a training image in any space, and those of a training image's group. groups (N,): of all images.
    """
    rows = controls[(controls["kind"] == "query") & controls["query"].isin(held_out)]
    nearest = rows[~rows["space"].isin(OTHERS)]
    near = nearest[nearest["duplicates"] > 0].assign(reason="near-duplicate")
    shared = held_out[np.isin(groups[held_out], groups[members])]
    first = pd.Series(members, index=groups[members]).groupby(level=0).first()
    same = pd.DataFrame(
        {
            "query": shared,
            "index": first.loc[groups[shared]].to_numpy(dtype=np.int64),
            "reason": "same group",
            "space": "",
            "distance": np.nan,
        }
    )
    listed = pd.concat([near, same]) if len(near) and len(same) else near if len(near) else same
    named = listed.rename(columns={"query": "held_out", "index": "training"})
    return named.drop_duplicates("held_out")[["held_out", "training", "reason", "space", "distance"]]


def thin(rows: pd.DataFrame, distinct: float, seed: int) -> pd.DataFrame:
    """The rows with as many of the samples, at random, as are distinct: those that repeat others are no evidence.

    distinct: the share of samples that are unlike the others (1: all).
    """
    if distinct >= REPEATED:
        return rows
    samples = rows.loc[rows["kind"] == "query", "query"].unique()
    kept = np.random.default_rng(seed).choice(samples, max(1, round(distinct * len(samples))), replace=False)
    return rows[(rows["kind"] != "query") | rows["query"].isin(kept)]


def measure(
    rows: pd.DataFrame,
    controls: pd.DataFrame,
    held_out: np.ndarray,
    members: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    spaces: Mapping[str, Any],
    thresholds: Sequence[dict[str, float]],
) -> dict[str, dict[str, Any]]:
    """All measures of each space, those that every audit has included.

    rows, controls: of the searches of samples and of controls; held_out: numbers of the clean held-out images; members:
    of the training images; labels, groups (N,): of all images; spaces: the config's; thresholds: the audit's.
    """
    every = [*spaces, *OTHERS]
    return {
        space: _in_space(
            rows[rows["space"] == space],
            controls[controls["space"] == space],
            held_out,
            members,
            labels,
            groups,
            thresholds_in(spaces.get(space, {"kind": space}), [*thresholds]),
            len(every),
        )
        for space in every
    }


def _in_space(
    rows: pd.DataFrame,
    controls: pd.DataFrame,
    held_out: np.ndarray,
    members: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    thresholds: Sequence[dict[str, float]],
    spaces: int,
) -> dict[str, Any]:
    samples = rows[rows["kind"] == "query"]
    control = controls[(controls["kind"] == "query") & controls["query"].isin(held_out)]
    own = pd.concat([part.loc[part["kind"] == "own", ["query", "distance"]] for part in (controls, rows)])
    own_of = own.drop_duplicates("query").set_index("query")["distance"]
    group = groups[control["query"].to_numpy()]
    alone = controls[controls["kind"] == "own"]
    rest = Grouped(alone["distance"].to_numpy(), groups[alone["query"].to_numpy()])
    ours, theirs = samples["distance"].to_numpy(), Grouped(control["distance"].to_numpy(), group)
    nearest = samples["index"].to_numpy()
    result: dict[str, Any] = {"copies": [], "fixed": []}
    for threshold in thresholds:
        label, (kind, number) = threshold_label(threshold), kind_of(threshold)
        if not kind.held_out(number):
            result["fixed"].append({"label": label} | asdict(replication(ours, nearest, theirs, rest, threshold)))
        elif len(theirs) >= kind.held_out(number) and len(ours):
            result["copies"].append(asdict(copies(label, number, ours, nearest, theirs, rest, spaces)))
    # DCR: to the closest record
    result["distances"] = {"samples": quantiles(ours), "held_out": quantiles(theirs.values)}
    ratios = [part["distance"].to_numpy() / part["second"].to_numpy() for part in (samples, control)]
    result["ratios"] = dict(zip(("samples", "held_out"), map(quantiles, map(_known, ratios)), strict=True))  # NNDR
    seen = [
        Nearest(
            distance=part["distance"].to_numpy(),
            second=part["second"].to_numpy(),
            own=own_of.reindex(part["index"]).to_numpy() if len(own) else None,
            cells=labels[part["index"].to_numpy()],
            groups=groups_of,
        )
        for part, groups_of in ((samples, None), (control, group))
    ]
    result |= beside_controls(*seen)
    if not np.isfinite(seen[0].second).any():  # moved images, halves, a single training image: no second distance
        del result["lone_neighbour"]
    if len(own):
        duplicates = [part["duplicates"].to_numpy() > 0 for part in (samples, control)]
        result["near_duplicates"] = asdict(compare_rates(duplicates[0], Grouped(duplicates[1], group)))
        relative = [part["distance"].to_numpy() / part["mean"].to_numpy() for part in (samples, control)]
        if len(theirs) >= 1 / RELATIVE and len(ours):
            chance = Grouped(relative[1], group).select(np.isfinite(relative[1]))
            within = replication(*_known_pairs(relative[0], nearest), chance, rest, {"calibrated": RELATIVE})
            result["relative"] = asdict(within)
        scored = rows[rows["kind"] == "image"]
        result["membership"] = _membership(scored["query"], scored["distance"], members, held_out, groups)
    return result


def _membership(
    images: pd.Series, scores: pd.Series, members: np.ndarray, held_out: np.ndarray, groups: np.ndarray
) -> dict[str, Any]:
    least = min(0.0, float(scores.min())) if len(scores) else 0.0  # a discriminator's are below 0, too
    asked = (images.isin(kind) for kind in (members, held_out))
    ours, theirs = (Grouped(scores[kind].to_numpy(), groups[images[kind].to_numpy()]) for kind in asked)
    return asdict(membership(ours, theirs, least))


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _known_pairs(values: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(values)
    return values[known], beside[known]


def by_model(
    losses: str | None, members: np.ndarray, held_out: np.ndarray, groups: np.ndarray
) -> dict[str, Any] | None:
    """Membership by the generator's own losses, in the file of score_by_generator; None where it was not asked.

    asked: the column of the losses, which says what of the generator they are.
    """
    if losses is None:
        return None
    scored = read_parquet(losses)
    [asked] = scored.columns.drop("image")
    return {"asked": asked, **_membership(scored["image"], scored[asked], members, held_out, groups)}


def power(
    controls: pd.DataFrame,
    planted: pd.DataFrame,
    held_out: np.ndarray,
    groups: np.ndarray,
    limits: Mapping[str, float],
) -> list[dict[str, Any]]:
    """What share of planted copies is found within each space's threshold, a row for each change and space.

    planted: query, source, change and training (whether the source is a training image) of each; held_out: numbers of
    the clean held-out images; groups (N,): of all images; limits: the threshold of each space. found: of training
    images, with its interval; right: of them, those whose nearest training image is the one that was planted; false: of
    held-out images.
    """
    rows = controls[controls["kind"] == "query"].merge(planted, on="query")
    rows = rows[rows["training"] | rows["source"].isin(held_out)]
    table = []
    for space, limit in limits.items():
        part = rows[rows["space"] == space]
        for change, changed in part.groupby("change", sort=False):
            hit = Grouped((changed["distance"] <= limit).to_numpy(), groups[changed["source"].to_numpy()])
            training = changed["training"].to_numpy()
            detected, false = rate(hit.select(training)), rate(hit.select(~training))
            right = rate((changed["index"] == changed["source"]).to_numpy()[training])
            table.append(
                {
                    "space": space,
                    "change": str(change),
                    **{f"found_{key}": value for key, value in asdict(detected).items()},
                    "right_percentage": right.percentage,
                    "false_percentage": false.percentage,
                }
            )
    return table


def most_copied(
    rows: pd.DataFrame,
    control: pd.DataFrame,
    limits: Mapping[str, float],
    origins: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
) -> pd.DataFrame:
    """Training images by how many samples lie within a threshold of them, in any space; worst first.

    rows, control: of samples and of held-out images. Columns image, origin, label, group, samples, held_out (held-out
    images that lie within a threshold of it: chance), share (the least distance over its space's threshold) and space.
    """
    by_chance = copied_pairs(control, limits).groupby("index")["query"].nunique()
    hits = copied_pairs(rows, limits).sort_values("share")
    counted = hits.groupby("index", sort=False).agg(
        samples=("query", "nunique"), share=("share", "first"), space=("space", "first")
    )
    counted = counted.sort_values(["samples", "share"], ascending=[False, True], kind="stable")
    image = counted.index.to_numpy(dtype=np.int64)
    named = {"image": image, "origin": origins[image], "label": labels[image], "group": groups[image]}
    counted.insert(1, "held_out", by_chance.reindex(image, fill_value=0).to_numpy(dtype=np.int64))
    return pd.concat([pd.DataFrame(named), counted.reset_index(drop=True)], axis=1)


def copied_pairs(rows: pd.DataFrame, limits: Mapping[str, float]) -> pd.DataFrame:
    """Rows of samples within their space's threshold, with `share`, their distance over it."""
    queries = rows[rows["kind"] == "query"]
    limit = queries["space"].map(limits).astype(float)
    return queries[queries["distance"] <= limit].assign(share=lambda hits: hits["distance"] / limit)


def by_part(copied: pd.DataFrame, numbers: np.ndarray, column: str) -> list[dict[str, Any]]:
    """Of each class or group how many training images have a copy, of how many; most copied first.

    copied: of most_copied; numbers (n,): the class or group of each training image; column: where copied has it.
    """
    rows: list[dict[str, Any]] = []
    for key, count in zip(*np.unique(copied[column].to_numpy(), return_counts=True), strict=True):
        of = np.count_nonzero(numbers == key)
        low, high = (100 * float(end) for end in wilson(count, of))
        rows.append({column: int(key), "copied": int(count), "of": of, "low": low, "high": high})
    return sorted(rows, key=lambda row: (-row["copied"] / row["of"], row[column]))[:LISTED]


def releasable(
    rows: pd.DataFrame, limits: Mapping[str, float], members: np.ndarray, held_out: np.ndarray, samples: int
) -> np.ndarray:
    """Which samples may be released, bool (samples,): no copies, and none that tells a training image.

    A sample is a copy within the threshold of any space. It tells a training image if it is its nearest sample, nearer
    than all but 1 % of held-out images have theirs.
    """
    kept = np.ones(samples, dtype=bool)
    kept[copied_pairs(rows, limits)["query"].to_numpy()] = False
    for _, part in rows[rows["kind"] == "image"].groupby("space"):
        chance = part.loc[part["query"].isin(held_out), "distance"]
        if len(chance):
            told = part[part["query"].isin(members) & (part["distance"] < chance.quantile(0.01, "lower"))]
            kept[told["index"].to_numpy()] = False
    return kept
