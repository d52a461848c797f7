"""Draw the intrinsic dimension of a data set against its size and against the scale. Rule: plot_curve."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from workflow_scripts.core import figures
from workflow_scripts.core.files import read_json
from workflow_scripts.core.job import run


def draw_curve(points: list[dict[str, Any]], line: dict[str, list[float]], first: int, last: int) -> Figure:
    """Left: dimension with its interval and TwoNN against size, and the line. Right: against k, for each size.

    points, line: those of estimate_curve. first, last: the range of k that the left side averages over, shaded on the
    right.
    """
    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    known = [point for point in points if point["dimension"] is not None]
    if not known:
        left.set_title("too few images to measure a dimension")
        return figure
    size, value, low, high, two_nn = (
        np.array([point[key] for point in known], dtype=float) for key in ("size", "dimension", "low", "high", "two_nn")
    )
    style = figures.Style("#222222", "o")
    figures.points_with_bars(left, size, value, low, high, style, f"maximum likelihood, k = {first} to {last}")
    left.plot(size, two_nn, "x", color=figures.CONTROL, label="TwoNN")
    if line:
        label = "line in ln size, 95 % interval"
        left.plot(line["size"], line["dimension"], color="#222222", linewidth=1.2, label=label)
        left.fill_between(line["size"], line["low"], line["high"], color="#222222", alpha=0.15, linewidth=0)
    figures.size_axis(left, size.tolist(), "images")
    left.set_ylabel("intrinsic dimension")
    left.set_ylim(0, None)
    left.legend(loc="lower right")
    right.axvspan(first, last, color="#222222", alpha=0.08, linewidth=0)
    for point, colour in zip(known, figures.sequence(len(known)), strict=True):
        scales = {int(k): value for k, value in point["by_scale"].items()}
        right.plot(list(scales), list(scales.values()), ".-", color=colour, linewidth=1.2, label=f"{point['size']:,}")
    right.set_xscale("log")
    right.xaxis.set_major_formatter(ScalarFormatter())
    right.xaxis.set_minor_formatter(NullFormatter())
    right.set_xticks([3, 5, 10, 20, 50, 100])
    right.set_xlabel("neighbours k (scale)")
    right.legend(title="images", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def curve_table(points: list[dict[str, Any]]) -> pd.DataFrame:
    """What is drawn: a row for each size (dimension, interval, TwoNN), and a row for each size and scale k."""
    averages = [{key: point[key] for key in ("size", "dimension", "low", "high", "two_nn")} for point in points]
    scales = [
        {"size": point["size"], "k": int(k), "dimension": value}
        for point in points
        if point["dimension"] is not None
        for k, value in point["by_scale"].items()
    ]
    return pd.DataFrame([*averages, *scales], columns=["size", "k", "dimension", "low", "high", "two_nn"])


def main(snakemake: Any) -> None:
    curve = read_json(snakemake.input[0])
    description = "Intrinsic dimension of the training images against their number and against the scale (neighbours)."
    figure = draw_curve(curve["points"], curve["line"], *snakemake.params.neighbours)
    figures.save_figure(figure, snakemake.output.svg, curve_table(curve["points"]), description)


run(main, snakemake)
