"""Draw image quality and variety against the size of the training set, in one space. Rule: plot_quality."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.core import figures
from workflow_scripts.core.files import read_csv
from workflow_scripts.core.job import run

ROWS = {  # label of the axis, and the column of its line and of its control
    "Fréchet distance\nto held-out images": ("frechet", "frechet_control"),
    "Fréchet distance\nto the training set": ("frechet_training", None),
    "precision": ("precision", None),
    "recall": ("recall", None),
}


def draw_quality(table: pd.DataFrame) -> Figure:
    """A column for each data set, a row for each measure; lines join the means of the seeds, bars are their range.

    table: columns generator, dataset, size, seed and those of ROWS, a row for each generator trained on each subset.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    styles = figures.generator_styles(table["generator"])
    figure = Figure(figsize=(1.4 + 3.4 * len(datasets), 0.8 + 1.7 * len(ROWS)), layout="constrained")
    grid = figure.subplots(len(ROWS), len(datasets), sharex="col", sharey="row", squeeze=False)
    for column, dataset in enumerate(datasets):
        part = table[table["dataset"] == dataset]
        grid[0, column].set_title(dataset)
        for axes, (measure, control) in zip(grid[:, column], ROWS.values(), strict=True):
            for place, (generator, line) in enumerate(part.groupby("generator")):
                _line(axes, line, measure, styles[str(generator)], 1 + 0.03 * place)
            if control:
                means = part.groupby("size")[control].mean()
                axes.plot(means.index, means, ":", color=figures.CONTROL, linewidth=1.2)
            axes.update_datalim([(part["size"].min(), 0.0)])  # distances from zero on, with a margin above the largest
            axes.autoscale_view()
        figures.size_axis(grid[-1, column], part["size"], "training images")
    for axes, (label, (measure, _)) in zip(grid[:, 0], ROWS.items(), strict=True):
        axes.set_ylabel(label)
        axes.set_ylim(0, None if "frechet" in measure else 1.02)  # last: it ends the scaling of the whole row
    handles = [Line2D([], [], color=style.colour, marker=style.marker, label=name) for name, style in styles.items()]
    handles.append(Line2D([], [], color=figures.CONTROL, linestyle=":", label="training images themselves"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 1 + 2 * len(datasets)))
    return figure


def _line(axes: Axes, line: pd.DataFrame, measure: str, style: figures.Style, aside: float) -> None:
    """Means of the seeds with their range, moved aside a little so that equal ones do not hide each other."""
    seeds = line.groupby("size")[measure].agg(["mean", "min", "max"]).dropna()
    at = seeds.index.to_numpy(float) * aside
    axes.plot(at, seeds["mean"], color=style.colour, linewidth=1.2)
    mean, low, high = (seeds[name].to_numpy() for name in ("mean", "min", "max"))
    figures.points_with_bars(axes, at, mean, low, high, style)


def main(snakemake: Any) -> None:
    table = read_csv(snakemake.input[0])
    table = table[table["space"] == snakemake.wildcards.space]
    one_threshold = table.drop_duplicates(["generator", "dataset", "size", "seed"])
    shown = [name for columns in ROWS.values() for name in columns if name]
    numbers = one_threshold[["generator", "dataset", "size", "seed", *shown]]
    description = "Quality and variety of the samples against the number of training images, a panel for each measure."
    figures.save_figure(draw_quality(one_threshold), snakemake.output.svg, numbers, description)


if __name__ == "__main__":
    run(main, snakemake)
