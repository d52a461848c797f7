"""Draw the training curves of one generator on one image set, and its samples over training. Rule: plot_training."""

from typing import Any

import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.core import figures
from workflow_scripts.core.files import read_csv, read_npy
from workflow_scripts.core.job import run

SHOWN = 16  # samples of a moment


def draw_curves(curves: dict[int, list[pd.DataFrame]]) -> Figure:
    """A row of panels, one for each loss: its mean over intervals of training against images seen, a line for each run.

    curves: size of the training set -> tables with column `images` and one column for each loss, one for each seed.
    """
    losses = [name for name in next(iter(curves.values()))[0].columns if name != "images"]
    figure = Figure(figsize=(4.6 * len(losses), 3.4), layout="constrained")
    shades = figures.sequence(len(curves))
    for axes, loss in zip(figure.subplots(1, len(losses), squeeze=False)[0], losses, strict=True):
        for (size, tables), colour in zip(curves.items(), shades, strict=True):
            for i, table in enumerate(tables):
                label = f"{size:,}" if i == 0 else None
                axes.plot(table["images"], table[loss], color=colour, linewidth=1.2, alpha=0.85, label=label)
        axes.set_xlabel("training images seen")
        axes.set_ylabel(loss.replace("_", " "))
        axes.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
    figure.legend(*axes.get_legend_handles_labels(), title="training set (images)", loc="outside right center")
    return figure


def draw_snapshots(snapshots: dict[int, np.ndarray]) -> Figure:
    """Rows: training-set sizes; columns: moments of training, evenly spaced; each cell a grid of four by four samples.

    snapshots: size -> uint8 (moments, images, H, W, C).
    """
    moments = len(next(iter(snapshots.values())))
    figure = Figure(figsize=(1.35 * moments + 0.5, 1.38 * len(snapshots) + 0.35), layout="constrained")
    grid = figure.subplots(len(snapshots), moments, squeeze=False)
    for row, (size, pictures) in zip(grid, snapshots.items(), strict=True):
        for moment, (axes, images) in enumerate(zip(row, pictures, strict=True)):
            figures.show_image(axes, figures.mosaic(images[:: max(1, len(images) // SHOWN)][:SHOWN], columns=4))
            if axes.get_subplotspec().is_first_row():
                axes.set_title(f"{(moment + 1) / moments:.0%} of training", fontsize=8)
        row[0].set_ylabel(f"{size:,} images", fontsize=8)
    return figure


def main(snakemake: Any) -> None:
    sizes, seeds = snakemake.params.sizes, snakemake.params.seeds
    tables = iter(snakemake.input.curves)
    curves = {size: [read_csv(next(tables)) for _ in seeds] for size in sizes}
    losses = pd.concat(
        table.assign(training_set=size, seed=seed)
        for size, group in curves.items()
        for seed, table in zip(seeds, group, strict=True)
    )
    description = "Losses during training against the images seen, a line for each training set and seed."
    figures.save_figure(draw_curves(curves), snakemake.output.curves, losses, description)
    snapshots = {size: read_npy(path) for size, path in zip(sizes, snakemake.input.snapshots, strict=True)}
    shown = pd.DataFrame(
        {
            "training_set": size,
            "moment": moment + 1,
            "of_moments": len(moments),
            "samples_shown": min(SHOWN, len(images)),
        }
        for size, moments in snapshots.items()
        for moment, images in enumerate(moments)
    )
    description = "Generated images at evenly spaced moments of training, a row for each size of the training set."
    figures.save_figure(draw_snapshots(snapshots), snakemake.output.snapshots, shown, description)


run(main, snakemake)
