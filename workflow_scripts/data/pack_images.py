"""Pack the configured source into an image set. Rules: pack_images, pack_samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_json, sha256, write_json, write_parquet, write_text
from workflow_scripts.core.job import logger, run
from workflow_scripts.data.decoding import BACKGROUNDS, Shape
from workflow_scripts.data.groups import groups_of
from workflow_scripts.data.listing import NOT_OF_PIXELS
from workflow_scripts.data.packing import BadImages, pack, problems_text, warnings_beside, warnings_of
from workflow_scripts.data.sources import open_source
from workflow_scripts.data.survey import background_before, contrasts_of, range_of

LISTED = 100  # groups of exact duplicates, and names of a kind, that the manifest lists


def main(snakemake: Any) -> None:
    dataset, name = snakemake.params.dataset, snakemake.wildcards.dataset
    fetched = {key: path for key, path in snakemake.input.items() if key in dataset}  # of URLs: their local copies
    source = open_source(dataset | fetched)
    wanted = dataset["background"]
    audited = read_json(path) if (path := snakemake.input.get("audited")) else None  # samples: what they are beside
    if wanted == "auto" and audited:
        wanted = audited["background"]
    contrasts = contrasts_of(source, snakemake.threads)
    background = background_before(contrasts) if wanted == "auto" else wanted
    shape = Shape(
        dataset["resolution"],
        1 if dataset["color"] == "grey" else 3,
        dataset["fit"],
        BACKGROUNDS[background],
        range_of(source, dataset["range"], snakemake.threads),
    )
    problems = snakemake.log.problems
    try:
        packed = pack(source, shape, snakemake.output.images, dataset["on_bad_image"], snakemake.threads)
    except BadImages as error:
        write_text(problems, problems_text(source, error.skipped))
        raise InputError(f"{error}. All are listed in {problems}") from None

    classes = source.classes or [str(i) for i in range(packed.labels.max() + 1)]
    superclasses = dataset["superclasses"] or source.superclasses or {"all": classes}
    listed = [name for names in superclasses.values() for name in names]
    if sorted(listed) != sorted(classes):
        raise InputError(
            f"datasets.{name}.superclasses: must hold each class once; the classes are "
            f"{', '.join(classes)}, those listed {', '.join(listed)}"
        )
    warnings = [*source.notes, *warnings_of(packed, shape)]
    if audited:
        warnings += warnings_beside(audited, packed, shape, background, bool(contrasts))
    if empty := [name for i, name in enumerate(classes) if i not in packed.labels]:
        warnings.append(f"classes without a readable image: {', '.join(empty[:10])}")
    write_text(problems, problems_text(source, packed.skipped, packed))
    for sentence in warnings:
        logger.warning("%s: %s", source.name, sentence)
    if warnings:
        logger.warning("%s: every file concerned is listed in %s", source.name, problems)
    groups = groups_of(packed.origins, dataset["groups"], dataset["group_pattern"])
    own = len(packed.kept) if source.held_out is None else int(np.searchsorted(packed.kept, source.held_out))
    held_out = (np.arange(len(packed.labels)) >= own).astype(np.uint8)
    columns = {"label": packed.labels.astype(np.int32), "origin": packed.origins, "group": groups, "held_out": held_out}
    write_parquet(snakemake.output.labels, pd.DataFrame(columns))
    write_json(
        snakemake.output.manifest,
        {
            "name": name,
            "source": source.name,
            "licence": source.licence,
            "count": len(packed.labels),
            "resolution": shape.resolution,
            "channels": shape.channels,
            "background": background,
            "transparent": bool(contrasts),
            "sha256": sha256(snakemake.output.images),
            "classes": classes,
            "superclasses": superclasses,
            "duplicates": {"images": packed.repeated(), "groups": packed.duplicates[:LISTED]},
            "skipped": packed.skipped,
            "left_out": {
                kind: {"files": len(names), "first": names[:LISTED]} for kind, names in source.left_out.items()
            },
            "warnings": warnings,
            "settings": {key: value for key, value in dataset.items() if key not in NOT_OF_PIXELS},
        },
    )
    logger.info("%s: %d images in %s", source.name, len(packed.labels), Path(snakemake.output.images).parent)


run(main, snakemake)
