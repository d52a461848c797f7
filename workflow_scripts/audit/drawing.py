"""The figures of an audit: distances of samples beside those of held-out images, and the nearest pairs."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from workflow_scripts.audit.variety import spread
from workflow_scripts.core import figures

POINTS = 200  # of a curve
SAMPLES = "#D55E00"


def curves(rows: pd.DataFrame, controls: pd.DataFrame, spaces: Iterable[str]) -> pd.DataFrame:
    """Shares of samples, and of held-out images, within rising distances: columns space, of, distance, percentage.

    rows, controls: of kind `query`, the latter of held-out images alone.
    """
    parts = []
    for space in spaces:
        for name, both in (("samples", rows), ("held-out images", controls)):
            table = both[both["space"] == space]
            if len(table):
                values = np.sort(table["distance"].to_numpy())
                places = spread(np.arange(len(values)), POINTS)
                share = 100 * (places + 1) / len(values)
                parts.append(
                    pd.DataFrame({"space": space, "of": name, "distance": values[places], "percentage": share})
                )
    return pd.concat(parts, ignore_index=True)


def draw_distances(table: pd.DataFrame, limits: Mapping[str, float]) -> Figure:
    """A panel for each space: cumulative percentages on a logarithmic axis, with the threshold."""
    spaces = list(dict.fromkeys(table["space"]))
    figure = Figure(figsize=(1.0 + 2.5 * len(spaces), 2.9), layout="constrained")
    grid = figure.subplots(1, len(spaces), sharey=True, squeeze=False)[0]
    for axes, space in zip(grid, spaces, strict=True):
        part = table[table["space"] == space]
        for name, colour, line in (("samples", SAMPLES, "-"), ("held-out images", figures.CONTROL, "--")):
            curve = part[part["of"] == name]
            axes.plot(curve["distance"], curve["percentage"], line, color=colour, drawstyle="steps-post", label=name)
        if space in limits:
            axes.axvline(limits[space], color=figures.CONTROL, linewidth=0.9, linestyle=":", label="threshold")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlim(left=0)
        axes.set_title(space)
        axes.set_xlabel("distance")
    grid[0].set_ylabel("within it, %")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
