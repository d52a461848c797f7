"""Choose groups of classes by their similarity, and measure each group's. Rule: choose_groups."""

from dataclasses import asdict
from typing import Any

import numpy as np

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_json, write_json
from workflow_scripts.core.job import run
from workflow_scripts.data.image_set import open_image_set
from workflow_scripts.data.resolution import shrink
from workflow_scripts.similarity.class_similarity import measure_similarity
from workflow_scripts.similarity.ordering import class_groups


def chosen_groups(
    matrix: np.ndarray, classes: list[str], wanted: dict[str, int], counts: dict[str, int] | None = None
) -> dict[str, list[str]]:
    """The classes of each group by its name, `all` the first: of `counts`, if given, only those that it names.

    Raises InputError if there are too few for the other groups.
    """
    if counts is not None:
        if unknown := [class_name for class_name in counts if class_name not in classes]:
            raise InputError(f"rebalancing.imbalance.counts: {unknown[0]!r} is no class; they are {', '.join(classes)}")
        kept = [i for i, class_name in enumerate(classes) if class_name in counts]
        matrix, classes = matrix[np.ix_(kept, kept)], [classes[i] for i in kept]
    groups = {"all": classes}
    if wanted["size"] > len(classes):
        raise InputError(f"rebalancing.groups.size: {wanted['size']} given, but there are {len(classes)} classes")
    for kind in ("alike", "unlike", "random"):
        chosen = class_groups(matrix, wanted["size"], wanted[kind], kind)
        if len(chosen) < wanted[kind]:
            raise InputError(
                f"rebalancing.groups.{kind}: {wanted[kind]} given, but {len(classes)} classes give only {len(chosen)} "
                f"different groups of {wanted['size']}"
            )
        groups |= {f"{kind}-{i + 1}": [classes[index] for index in group] for i, group in enumerate(chosen)}
    return groups


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    params, similarity = snakemake.params, read_json(snakemake.input.similarity)
    image_set = open_image_set(*(snakemake.input[key] for key in ("images", "labels", "manifest")))
    known, settings = image_set.manifest["classes"], params.settings
    matrix, counts = np.array(similarity["matrix"], dtype=float), (params.imbalance or {}).get("counts")
    groups = chosen_groups(matrix, similarity["classes"], params.groups, counts)
    result = {}
    for name, classes in groups.items():
        place = np.full(len(known) + 1, -1)
        place[[known.index(class_name) for class_name in classes]] = np.arange(len(classes))
        within = place[image_set.labels]
        rows = np.flatnonzero(within >= 0)
        # All classes of a group side by side, in `all` too, whatever super-class they come from: the law of gains
        # compares these values.
        similarity_of_group = measure_similarity(
            shrink(image_set.images[rows], settings["resolution"]),
            within[rows],
            classes,
            None,
            settings["channels"],
            settings["standard_error"],
            settings["exact_pairs"],
            device=device,
        )
        value = similarity_of_group.flat.get(settings["measure"])
        if value is None:
            raise InputError(
                f"similarity.measure: {settings['measure']} cannot be measured in the group {name} "
                f"({', '.join(classes)}); choose another measure or larger groups"
            )
        result[name] = {
            "classes": classes,
            "measure": settings["measure"],
            **asdict(value),
            "pairs": similarity_of_group.pairs,
        }
    write_json(snakemake.output[0], {"groups": result})


run(main, snakemake)
