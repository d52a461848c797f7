"""Pack the configured source into an image set. Rule: pack_images."""

from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import sha256, write_json, write_parquet
from workflow_scripts.core.job import logger, run
from workflow_scripts.data.packing import Shape, pack
from workflow_scripts.data.sources import open_source

LISTED = 100  # groups of exact duplicates that the manifest lists


def main(snakemake: Any) -> None:
    dataset = snakemake.params.dataset
    fetched = {key: path for key, path in snakemake.input.items() if key in dataset}  # of URLs: their local copies
    source = open_source(dataset | fetched, snakemake.params.shipped)
    shape = Shape(dataset["resolution"], 1 if dataset["color"] == "grey" else 3, dataset["fit"])
    packed = pack(source, shape, snakemake.output.images, dataset["on_bad_image"], snakemake.threads)

    classes = source.classes or [str(i) for i in range(packed.labels.max() + 1)]
    superclasses = dataset["superclasses"] or source.superclasses or {"all": classes}
    listed = [name for names in superclasses.values() for name in names]
    if sorted(listed) != sorted(classes):
        raise InputError(
            f"datasets.{snakemake.wildcards.dataset}.superclasses: must hold each class once; the classes are "
            f"{', '.join(classes)}, those listed {', '.join(listed)}"
        )
    repeated = sum(len(group) - 1 for group in packed.duplicates)
    if repeated:
        logger.warning("%s: %d images are exact duplicates of others; see the manifest", source.name, repeated)
    if packed.skipped:
        logger.warning("%s: %d unreadable images were left out; see the manifest", source.name, len(packed.skipped))
    write_parquet(snakemake.output.labels, packed.table())
    write_json(
        snakemake.output.manifest,
        {
            "name": snakemake.wildcards.dataset,
            "source": source.name,
            "licence": source.licence,
            "count": len(packed.labels),
            "resolution": shape.resolution,
            "channels": shape.channels,
            "sha256": sha256(snakemake.output.images),
            "classes": classes,
            "superclasses": superclasses,
            "duplicates": {"images": repeated, "groups": packed.duplicates[:LISTED]},
            "skipped": packed.skipped,
            "ignored_files": source.ignored,
            "settings": {key: value for key, value in dataset.items() if key not in ("held_out", "subsets")},
        },
    )
    logger.info("%s: %d images in %s", source.name, len(packed.labels), Path(snakemake.output.images).parent)


run(main, snakemake)
