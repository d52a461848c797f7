"""Make the classes of a group long-tailed, and set their balanced test images aside. Rule: draw_imbalance."""

from typing import Any

import numpy as np

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_column, read_json, read_npy, write_json, write_npy
from workflow_scripts.core.job import run
from workflow_scripts.data.imbalance import (
    Exponential,
    Given,
    Profile,
    Step,
    head_middle_tail,
    imbalanced_subset,
    lacking_counts,
)


def profile_of(imbalance: dict[str, Any] | None, classes: list[str]) -> Profile | None:
    """The profile that the config describes, for the classes of one group; None: the set as it is."""
    if imbalance is None:
        return None
    if imbalance["profile"] == "counts":
        return Given({name: count for name, count in imbalance["counts"].items() if name in classes})
    if imbalance["profile"] == "step":
        return Step(imbalance["largest"], imbalance["ratio"], imbalance["small_share"])
    return Exponential(imbalance["largest"], imbalance["ratio"])


def main(snakemake: Any) -> None:
    name, seed, params = snakemake.wildcards.dataset, int(snakemake.wildcards.seed), snakemake.params
    known = read_json(snakemake.input.manifest)["classes"]
    classes = read_json(snakemake.input.groups)["groups"][snakemake.wildcards.group]["classes"]
    labels = read_column(snakemake.input.labels, "label")
    place = np.full(len(known) + 1, -1)  # the last entry, which -1 points at, stands for unlabelled images
    place[[known.index(class_name) for class_name in classes]] = np.arange(len(classes))
    within = place[labels]
    test = read_npy(snakemake.input.held_out)
    test = test[within[test] >= 0]
    tested = np.bincount(within[test], minlength=len(classes))
    missing = [class_name for class_name, count in zip(classes, tested, strict=True) if not count]
    if missing:
        raise InputError(
            f"datasets.{name}.held_out: among the {len(test)} held-out images of this group none is of class "
            f"{', '.join(map(repr, missing))}; hold out more, with `subsets: balanced`"
        )
    training = np.full(len(labels), -1)
    order = read_npy(snakemake.input.order)
    training[order] = within[order]
    subset = imbalanced_subset(training, classes, profile_of(params.imbalance, classes), seed)
    counts = np.bincount(within[subset], minlength=len(classes))
    wanted = lacking_counts(counts)
    if not wanted.any():
        raise InputError(
            f"rebalancing: the {len(classes)} classes of the group {snakemake.wildcards.group} of {name} keep "
            f"{counts[0]} images each, so that there is nothing to rebalance; make them long-tailed by `imbalance`"
        )
    write_npy(snakemake.output.subset, subset)
    write_npy(snakemake.output.test, test)
    write_json(
        snakemake.output.counts,
        {
            "classes": classes,
            "labels": [known.index(class_name) for class_name in classes],
            "counts": counts.tolist(),
            "wanted": wanted.tolist(),
            "candidates": (wanted * params.budget).tolist(),
            "thirds": head_middle_tail(counts).tolist(),
        },
    )


run(main, snakemake)
