"""Draw samples beside their nearest training images, most alike first, for every size. Rule: plot_gallery."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from workflow_scripts.core import figures
from workflow_scripts.core.files import read_json, read_npy, read_parquet
from workflow_scripts.core.job import run
from workflow_scripts.replication.tables import by_rank

COLUMNS = 12
REPLICA, OTHER, INK = "#D55E00", "#bbbbbb", "#444444"


@dataclass(frozen=True)
class Pairs:
    """Samples with their nearest training images, uint8 (m, H, W, C) each; distance (m,), replica bool (m,)."""

    size: int
    samples: np.ndarray
    training: np.ndarray
    distance: np.ndarray
    replica: np.ndarray
    percentage: float
    threshold: float


def choose(order: np.ndarray, count: int) -> np.ndarray:
    """Of samples ordered from most to least alike, `count` at even quantiles: the closest, the median, the farthest."""
    return order[np.linspace(0, len(order) - 1, count).round().astype(int)]


def draw_gallery(rows: list[Pairs], label: str) -> Figure:
    """For each size two rows of pictures: samples, and below each its nearest training image, with the distance."""
    figure = Figure(figsize=(0.72 * COLUMNS + 0.4, 2.0 * len(rows)), layout="constrained")
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, pairs in zip(parts, rows, strict=True):
        share = f"{pairs.percentage:.1f} % of samples within an RMS distance of {pairs.threshold:.3f} ({label})"
        part.suptitle(f"{pairs.size:,} training images: {share}", fontsize=9, x=0.005, ha="left")
        above, below = part.subplots(2, COLUMNS)
        for j in range(COLUMNS):
            figures.show_image(above[j], pairs.samples[j])
            figures.show_image(below[j], pairs.training[j])
            replica = pairs.replica[j]
            text, colour = (f"✕ {pairs.distance[j]:.3f}", REPLICA) if replica else (f"{pairs.distance[j]:.3f}", INK)
            below[j].set_xlabel(text, fontsize=7, color=colour)
            frame = Rectangle(
                (0, 0), 1, 1, transform=above[j].transAxes, fill=False, clip_on=False,
                edgecolor=REPLICA if replica else OTHER, linewidth=2.2 if replica else 0.8,
            )  # fmt: skip
            above[j].add_patch(frame)
        above[0].set_ylabel("sample", fontsize=7)
        below[0].set_ylabel("nearest", fontsize=7)
    return figure


def gallery_table(rows: list[Pairs]) -> pd.DataFrame:
    """The distances under the pictures: a row for each pair, closest first, and whether it counts as a replica."""
    return pd.concat(
        pd.DataFrame(
            {
                "training_images": pairs.size,
                "place": np.arange(1, len(pairs.distance) + 1),
                "distance": pairs.distance,
                "replica": pairs.replica,
            }
        )
        for pairs in rows
    )


def main(snakemake: Any) -> None:
    images = read_npy(snakemake.input.images)
    rows = []
    files = zip(
        snakemake.params.sizes,
        snakemake.input.samples,
        snakemake.input.neighbours,
        snakemake.input.measured,
        strict=True,
    )
    for size, samples, neighbours, measured in files:
        leading = read_json(measured)["thresholds"][0]
        nearest = by_rank(read_parquet(neighbours), 1)
        distance = nearest["distance"].to_numpy()
        chosen = choose(np.argsort(distance, kind="stable"), COLUMNS)
        threshold = leading["threshold"]["rms"]
        rows.append(
            Pairs(
                size=size,
                samples=read_npy(samples)[chosen],
                training=images[nearest["index"].to_numpy()[chosen]],
                distance=distance[chosen],
                replica=distance[chosen] <= threshold,
                percentage=leading["replicas"]["percentage"],
                threshold=threshold,
            )
        )
    copies = ", ".join(f"{pairs.percentage:.1f} % with {pairs.size:,} training images" for pairs in rows)
    description = f"Generated samples, and below each its nearest training image. Replicas: {copies}."
    figures.save_figure(draw_gallery(rows, leading["label"]), snakemake.output.svg, gallery_table(rows), description)


if __name__ == "__main__":
    run(main, snakemake)
