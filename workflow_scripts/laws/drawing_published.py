"""Figures of the published analysis: one-shot predictions beside what was measured, and image quality."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from workflow_scripts.core import figures
from workflow_scripts.core.intervals import wilson
from workflow_scripts.laws.decay import COPIES, Pair, Points
from workflow_scripts.laws.drawing import COLUMNS, X_LABELS, dimension_axis, measured
from workflow_scripts.laws.published import LeftOut


def draw_left_out(pairs: Mapping[Pair, Points], shots: Mapping[Pair, LeftOut]) -> Figure:
    """A panel for each pair: measured percentages, and those predicted from other pairs and the pair's smallest set."""
    generators = list(dict.fromkeys(generator for generator, _ in pairs))
    datasets = list(dict.fromkeys(dataset for _, dataset in pairs))
    styles = figures.generator_styles(generators)
    lowest = 0.03
    figure = Figure(figsize=(1.1 + 3.2 * len(datasets), 0.6 + 2.5 * len(generators)), layout="constrained")
    grid = figure.subplots(len(generators), len(datasets), squeeze=False, sharey=True)
    for (generator, dataset), points in pairs.items():
        row, column = generators.index(generator), datasets.index(dataset)
        axes, shot, style = grid[row, column], shots[generator, dataset], styles[generator]
        order = np.argsort(points.dimension)
        value = points.dimension[order]
        predicted, (low, high) = shot.fit.percentage(value), shot.interval(value)
        figures.percentage_axis(axes, lowest, COPIES.axis if column == 0 else "")
        measured(axes, points, points.dimension, style, lowest)
        shift = 0.03 * np.ptp(value)
        figures.points_with_bars(
            axes, value[1:] + shift, np.maximum(predicted, lowest)[1:], np.maximum(low, lowest)[1:], high[1:],
            figures.Style(figures.CONTROL, "D"), hollow=True,
        )  # fmt: skip
        axes.plot(
            value[:1], points.percentage[order][:1], marker="o", markersize=12, markerfacecolor="none",
            markeredgecolor=figures.CONTROL, linestyle="none", zorder=2, clip_on=False,
        )  # fmt: skip
        goodness = f"R² {shot.fit.r2:.3f}, median error {shot.fit.median_absolute_error:.2f} points"
        figures.coloured_lines(axes, f"{generator}, {dataset}", [(goodness, "#222222")])
        dimension_axis(axes)
        if row < len(generators) - 1:
            axes.set_xlabel("")
    handles = [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle="none", label=f"{name}, measured")
        for name, style in styles.items()
    ]
    handles.append(
        Line2D(
            [],
            [],
            color=figures.CONTROL,
            marker="D",
            markerfacecolor=figures.PAPER,
            linestyle="none",
            label="predicted",
        )
    )
    handles.append(
        Line2D(
            [], [], color=figures.CONTROL, marker="o", markersize=10, markerfacecolor="none", linestyle="none",
            label="the one shot: smallest set",
        )
    )  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def left_out_table(pairs: Mapping[Pair, Points], shots: Mapping[Pair, LeftOut]) -> pd.DataFrame:
    """The numbers of `draw_left_out`: columns as in `law_table`, kinds measured and predicted."""
    parts = []
    for (generator, dataset), points in pairs.items():
        shot = shots[generator, dataset]
        low, high = (100.0 * end for end in wilson(points.replicas, points.samples))
        for kind, values in (
            ("measured", (points.dimension, points.percentage, low, high)),
            ("predicted", (points.dimension, shot.fit.percentage(points.dimension), *shot.interval(points.dimension))),
        ):
            part = pd.DataFrame(dict(zip(COLUMNS[3:], values, strict=True)))
            parts.append(part.assign(generator=generator, dataset=dataset, kind=kind))
    return pd.concat(parts)[COLUMNS]


def draw_quality(table: pd.DataFrame) -> Figure:
    """A column for each data set: Fréchet distance above, human rating below, against size.

    table: columns generator, dataset, size, fid, human_rating_1to5, human_ci95_low, human_ci95_high.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    styles = figures.generator_styles(table["generator"])
    figure = Figure(figsize=(1.1 + 3.2 * len(datasets), 5.0), layout="constrained")
    grid = figure.subplots(2, len(datasets), sharex="col", sharey="row", squeeze=False)
    for column, dataset in enumerate(datasets):
        upper, lower = grid[:, column]
        upper.set_title(dataset)
        part = table[table["dataset"] == dataset]
        for generator, line in part.groupby("generator"):
            style, line = styles[str(generator)], line.sort_values("size")
            size = line["size"].to_numpy(float)
            upper.plot(size, line["fid"], style.marker + "-", color=style.colour)
            rating = line["human_rating_1to5"].to_numpy(float)
            lower.plot(size, rating, color=style.colour)
            low, high = line["human_ci95_low"].to_numpy(float), line["human_ci95_high"].to_numpy(float)
            figures.points_with_bars(lower, size, rating, low, high, style)
        figures.size_axis(lower, part["size"], X_LABELS["size"])
    grid[0, 0].set_ylim(0, None)
    grid[0, 0].set_ylabel("Fréchet Inception distance")
    grid[1, 0].set_ylim(1, 5)
    grid[1, 0].yaxis.set_major_locator(MaxNLocator(4, integer=True))
    grid[1, 0].set_ylabel("human rating (1 worst, 5 best)")
    handles = [Line2D([], [], color=style.colour, marker=style.marker, label=name) for name, style in styles.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure
