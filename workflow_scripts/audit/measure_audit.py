"""Measure everything of one set of samples, judge it, and draw its figures. Rule: measure_audit."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.audit import kinds, measures
from workflow_scripts.audit.drawing import curves, draw_distances
from workflow_scripts.audit.gain import MOST as MOST_TRAINED
from workflow_scripts.audit.gain import rare_gain
from workflow_scripts.audit.search import OTHERS, merge
from workflow_scripts.audit.split import size_of, split_of
from workflow_scripts.audit.variety import MOST, distinct_share, evenly, look_swapped, quality, spread
from workflow_scripts.audit.verdict import judge
from workflow_scripts.core import figures
from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import (
    plain,
    read_json,
    read_npy,
    read_parquet,
    sha256,
    write_json,
    write_npy,
    write_parquet,
)
from workflow_scripts.core.job import run
from workflow_scripts.metrics.membership import FEWEST_MEMBERS
from workflow_scripts.metrics.quality import compare
from workflow_scripts.replication.drawing import COLUMNS, Pairs, draw_gallery, gallery_shown
from workflow_scripts.replication.thresholds import threshold_label

FEW_MEMBERS = (
    "There is only {count} training {images}: what compares training images with each other, and membership, cannot be "
    "measured. Is TRAIN the right folder?"
)
SWAPPED = "The samples are much more like the held-out images than the training images are: were the two swapped?"


def main(snakemake: Any) -> None:
    files, params, results = snakemake.input, snakemake.params, snakemake.output
    spaces, thresholds, device = params.spaces, params.thresholds, device_of_job(snakemake)
    images, samples, labels = read_npy(files.images), read_npy(files.samples), read_parquet(files.labels)
    members, held_out = split_of(files, size_of(params.split))
    rows, controls, planted = (
        merge([*map(read_parquet, files.shards)]),
        *map(read_parquet, (files.controls, files.table)),
    )
    require_two_sets(rows, len(samples), params.name)
    groups, classes = labels["group"].to_numpy(), labels["label"].to_numpy()

    held_out = held_out[np.isin(held_out, controls["query"])]
    leaked = measures.leaks(controls, held_out, members, groups)
    clean = np.setdiff1d(held_out, leaked["held_out"])
    where = params.quality_space
    most = MOST[spaces[where]["kind"] == "pixel"]
    compared = [spread(part, most) for part in (clean, members)]
    real, training = (read_npy(files.quality_images)[part] for part in compared)
    shown = evenly(files.quality_samples, most)
    distinct = distinct_share(shown, np.concatenate([real, training]), device)
    counted = measures.thin(rows, distinct, params.seed)
    measured = measures.measure(counted, controls, clean, members, classes, groups, spaces, thresholds)
    limits = {space: part["copies"][0]["threshold"] for space, part in measured.items() if part["copies"]}
    if not limits:  # without held-out images: the fixed distances
        limits = {space: part["fixed"][0]["threshold"]["rms"] for space, part in measured.items() if part["fixed"]}
    named = labels["origin"].to_numpy()
    control = controls[(controls["kind"] == "query") & controls["query"].isin(clean)]
    copied = measures.most_copied(rows, control, limits, named, classes, groups)
    leaked = leaked.assign(
        held_out_origin=named[leaked["held_out"]], training_origin=named[leaked["training"].to_numpy(dtype=np.int64)]
    )
    manifest, packed = read_json(files.manifest), files.get("packed")
    qualities = quality(shown, real, training, device, groups[compared[0] if len(real) else compared[1]])
    others = {"samples": samples[:200], "held-out images": images[held_out[:200]]}
    said = notes(images[members[:200]], others, read_json(packed) if packed else None)
    if len(members) < FEWEST_MEMBERS:
        said.append(FEW_MEMBERS.format(count=len(members), images="image" if len(members) == 1 else "images"))
    if look_swapped(qualities):
        said.append(SWAPPED)
    apart = asdict(kinds.told_apart(training, real, (groups[compared[1]], groups[compared[0]])))
    if different := kinds.note(apart, where):
        said.append(different)
    released = None
    if results.get("release"):
        kept = measures.releasable(rows, limits, members, clean, len(samples))
        write_npy(results.release, samples[kept])
        rest = evenly(files.quality_samples, most, kept)
        left = compare(real if len(real) else training, rest, device) if len(rest) else None
        chosen, names = spread(np.arange(len(samples)), MOST_TRAINED), manifest["classes"]
        coded = sample_classes(files, names, len(samples))[chosen]
        features = read_npy(files.quality_images)
        alone = clean[np.unique(groups[clean], return_index=True)[1]]  # one image of each group: independent ones
        seen, asked = ((features[part], classes[part]) for part in (spread(members, MOST_TRAINED), alone))
        made = evenly(files.quality_samples, MOST_TRAINED), coded
        gain = rare_gain(seen, asked, made, kept[chosen], names)
        released = {"images": int(kept.sum()), "quality": left, "gain": gain}
    of_groups = len(np.unique(groups[clean])) if has_groups(groups) else None
    verdict = judge(measured, len(samples), distinct, len(clean), params.wanted, of_groups)
    write_json(
        results.measured,
        plain(
            {
                "verdict": asdict(verdict),
                "training": {
                    "images": len(members), "set": len(images), "side": images.shape[1], "sha256": sha256(files.images),
                },
                "samples": {"images": len(samples), "distinct": distinct, "sha256": sha256(files.samples)},
                "held_out": {"images": len(held_out), "usable": len(clean)},
                "notes": said,
                "leaks": {"count": len(leaked), "first": leaked.head(measures.LISTED).to_dict("records")},
                "spaces": measured,
                "membership_without_samples": apart,
                "membership_by_model": measures.by_model(files.get("losses"), members, clean, groups),
                "power": measures.power(controls, planted, clean, groups, limits),
                "threshold": threshold_label(thresholds[0]) if verdict.high is not None else "fixed",
                "copied": {"images": len(copied), "first": copied.head(measures.LISTED).to_dict("records")},
                "classes": {
                    "names": manifest["classes"], "copied": measures.by_part(copied, classes[members], "label"),
                },
                "groups": measures.by_part(copied, groups[members], "group") if has_groups(groups) else [],
                "quality": {"space": where, **qualities},
                "release": released,
            }
        ),
    )  # fmt: skip
    queries = rows[rows["kind"] == "query"].drop(columns=["kind", "duplicates"])
    pairs = queries.rename(columns={"query": "sample", "index": "training"})
    origin = named[pairs["training"].to_numpy(dtype=np.int64)]
    copy = (pairs["distance"] <= pairs["space"].map(limits)).fillna(False)
    write_parquet(results.pairs, pairs.assign(training_origin=origin, copy=copy.astype(bool)))

    table = curves(rows[rows["kind"] == "query"], control, measured)
    description = f"Cumulative distances of samples and held-out images, in {', '.join(measured)}. {verdict.sentence}"
    figures.save_figure(draw_distances(table, limits), results.distances, table, description)
    if results.get("pairs_figure"):
        gallery = [_nearest_pairs(queries, space, limits.get(space, 0.0), images, samples) for space in measured]
        shown_pairs = [pairs for pairs in gallery if len(pairs.distance)]
        figures.save_figure(
            draw_gallery(shown_pairs, "threshold"),
            results.pairs_figure,
            gallery_shown(shown_pairs),
            "The samples that are nearest to a training image, each above that image, in each space.",
        )


def sample_classes(files: Any, names: list[str], count: int) -> np.ndarray:
    """The class of each sample, int64, as the training images have it; -1 where theirs have no such class."""
    if path := files.get("sample_codes"):  # of a generator of the config
        return np.asarray(read_npy(path), dtype=np.int64)
    if not (path := files.get("sample_labels")):
        return np.full(count, -1)
    own = read_json(files.packed)["classes"]
    codes = np.array([*(names.index(name) if name in names else -1 for name in own), -1])
    return codes[read_parquet(path)["label"].to_numpy()]


def require_two_sets(rows: pd.DataFrame, samples: int, name: str) -> None:
    """Raise InputError if the samples are the training images themselves."""
    part = rows[(rows["kind"] == "query") & ~rows["space"].isin(OTHERS)]
    first = part[part["space"] == part["space"].iloc[0]]
    if samples > 1 and (first["distance"] == 0).all() and (first["query"] == first["index"]).all():
        raise InputError(
            f"samples.{name}: these are the training images themselves, in their order; give the generator's samples"
        )


def notes(training: np.ndarray, others: dict[str, np.ndarray], packed: Any) -> list[str]:
    """What a reader must know of how the images were made comparable, a sentence each; others: beside the training."""
    sentences = [*packed["warnings"]] if packed else []
    for name, images in others.items():
        if training.shape[-1] == 3 and len(images) and is_grey(images) != is_grey(training):
            which = (name, "training images") if is_grey(images) else ("training images", name)
            sentences.append(f"The {which[0]} are grey, the {which[1]} are in colour: they are not of one kind.")
    return sentences


def is_grey(images: np.ndarray) -> bool:
    """Whether all of images (n, H, W, 3) have equal channels."""
    return bool((images.max(axis=-1) == images.min(axis=-1)).all())


def has_groups(groups: np.ndarray) -> bool:
    return len(np.unique(groups)) < len(groups)


def _nearest_pairs(queries: pd.DataFrame, space: str, limit: float, images: np.ndarray, samples: np.ndarray) -> Pairs:
    """The nearest pairs of a space, of as many training images as possible."""
    part = queries[queries["space"] == space].sort_values("distance", kind="stable")
    chosen = part.drop_duplicates("index").head(COLUMNS)
    distance = chosen["distance"].to_numpy()
    return Pairs(
        size=len(images),
        samples=samples[chosen["query"].to_numpy()],
        training=images[chosen["index"].to_numpy()],
        distance=distance,
        replica=distance <= limit,
        percentage=100 * float((part["distance"] <= limit).mean()),
        threshold=limit,
        title=space,
    )


run(main, snakemake)
