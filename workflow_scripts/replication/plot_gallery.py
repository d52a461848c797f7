"""Draw samples beside their nearest training images, most alike first, for every size. Rule: plot_gallery."""

from typing import Any

from workflow_scripts.core import figures
from workflow_scripts.core.files import read_json, read_npy, read_parquet
from workflow_scripts.core.job import run
from workflow_scripts.replication.drawing import COLUMNS, Pairs, at_even_quantiles, draw_gallery, gallery_shown
from workflow_scripts.replication.tables import by_rank


def main(snakemake: Any) -> None:
    files = snakemake.input
    images = read_npy(files.images)
    rows = []
    for size, samples, neighbours, measured in zip(
        snakemake.params.sizes, files.samples, files.neighbours, files.measured, strict=True
    ):
        leading = read_json(measured)["thresholds"][0]
        nearest = by_rank(read_parquet(neighbours), 1)
        distance, index = nearest["distance"].to_numpy(), nearest["index"].to_numpy()
        chosen, threshold = at_even_quantiles(distance, COLUMNS), leading["threshold"]["rms"]
        rows.append(
            Pairs(
                size=size,
                samples=read_npy(samples)[chosen],
                training=images[index[chosen]],
                distance=distance[chosen],
                replica=distance[chosen] <= threshold,
                percentage=leading["replicas"]["percentage"],
                threshold=threshold,
            )
        )
    copies = ", ".join(f"{pairs.percentage:.1f} % with {pairs.size:,} training images" for pairs in rows)
    description = f"Generated samples, and below each its nearest training image. Replicas: {copies}."
    figures.save_figure(draw_gallery(rows, leading["label"]), snakemake.output.svg, gallery_shown(rows), description)


run(main, snakemake)
