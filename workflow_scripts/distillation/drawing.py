"""Figures of the distillation study: trends, attention over images, and what kinds of maps have in common."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.classifiers.presets import LADDER
from workflow_scripts.core import figures

# Measures that are drawn against the teachers' augmentation, and their labels.
RESPONSES = {
    "iou": "attention overlap\nof the teachers (IoU)",
    "agreement": "fidelity: agreement\nwith the teachers",
    "mutual_information": "adjusted mutual infor-\nmation with the teachers",
    "gap": "overfitting: training\nminus validation accuracy",
    "accuracy": "validation\naccuracy",
}
BASELINES: dict[str, tuple[Literal[":", "--"], str]] = {
    "alone": (":", "student without teachers"),
    "smoothed": ("--", "the same, labels smoothed"),
}
VIEW_STYLES = (
    figures.Style("#0072B2", "o"), figures.Style("#D55E00", "s"), figures.Style("#009E73", "^"),
    figures.Style("#CC79A7", "D"),
)  # fmt: skip
METHODS: dict[Literal["class_sum", "predicted", "grad_cam"], str] = {
    "class_sum": "sum over classes\n(as published)",
    "predicted": "predicted\nclass",
    "grad_cam": "Grad-CAM",
}
PAIRS = {
    "same start": "same initial weights",
    "same body": "the same, heads started apart",
    "different starts": "different initial weights",
}


def draw_trends(table: pd.DataFrame, students: pd.DataFrame, answers: Mapping[str, str]) -> Figure:
    """A panel for each measure against the teachers' strength: a point for each student, lines join the means.

    table: of collect_distillation; students: its distilled ones; answers: a verdict for each primary measure.
    """
    views = sorted(set(table["view"]), key=LADDER.index)
    styles = dict(zip(views, VIEW_STYLES, strict=False))
    figure = Figure(figsize=(2.5 * len(RESPONSES), 3.4), layout="constrained")
    grid = figure.subplots(1, len(RESPONSES), squeeze=False)[0]
    for axes, (response, label) in zip(grid, RESPONSES.items(), strict=True):
        for place, (view, style) in enumerate(styles.items()):
            part = students[students["view"] == view]
            aside = 0.05 * (place - (len(views) - 1) / 2)
            axes.plot(
                part["strength"] + aside, part[response], style.marker, color=style.colour, alpha=0.45, markersize=4
            )
            means = part.groupby("strength")[response].mean()
            axes.plot(means.index + aside, means, color=style.colour)
            for baseline, (line, _) in BASELINES.items() if response in ("gap", "accuracy") else ():
                level = table[(table["ensemble"] == baseline) & (table["view"] == view)][response].mean()
                axes.axhline(level, color=style.colour, linestyle=line, linewidth=1)
        figures.coloured_lines(axes, "", [(answers.get(response, "exploratory"), "#222222")])
        axes.set_ylabel(label)
        axes.set_xlabel("teachers' augmentation")
        axes.set_xticks(range(len(LADDER)), LADDER, rotation=30, ha="right")
        # Mixed ensembles lie between two rungs: both are named.
        axes.set_xlim(np.floor(students["strength"].min()) - 0.3, np.ceil(students["strength"].max()) + 0.3)
    handles = [Line2D([], [], color=style.colour, marker=style.marker, label=f"student's view: {view}")
               for view, style in styles.items()]  # fmt: skip
    handles += [Line2D([], [], color=figures.CONTROL, linestyle=line, label=what) for line, what in BASELINES.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def draw_overlays(images: np.ndarray, maps: Sequence[np.ndarray], names: Sequence[str], threshold: float) -> Figure:
    """A row for each image, a column for each network: its attention over the image, its mask's outline in orange.

    images: uint8 (n, H, W, C). maps: for each network scaled maps (n, H, W) in 0..1.
    """
    figure = Figure(figsize=(1.1 * (len(names) + 1), 1.15 * len(images) + 0.4), layout="constrained")
    grid = figure.subplots(len(images), len(names) + 1, squeeze=False)
    for row, image in enumerate(images):
        figures.show_image(grid[row, 0], image)
        for axes, attention in zip(grid[row, 1:], maps, strict=True):
            figures.show_image(axes, image)
            axes.imshow(attention[row], cmap="viridis", vmin=0, vmax=1, alpha=0.55)
            if attention[row].min() <= threshold < attention[row].max():
                axes.contour(attention[row], [threshold], colors="#E69F00", linewidths=1.2)
    for axes, name in zip(grid[0], ["image", *names], strict=True):
        axes.set_title(name, fontsize=8)
    return figure


def draw_methods(overlaps: pd.DataFrame) -> Figure:
    """Corrected overlap by kind of map and of pair: a point for each seed, the mean over seeds with its interval.

    overlaps: rows of method, pairs, seed and iou_corrected, and of the mean, seed None, with low and high.
    """
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color=figures.CONTROL, linestyle="--", linewidth=1, label="chance")
    for place, ((pairs, label), style) in enumerate(zip(PAIRS.items(), VIEW_STYLES, strict=False)):
        part = overlaps[overlaps["pairs"] == pairs]
        x = part["method"].map(list(METHODS).index).to_numpy() + 0.22 * (place - 1)
        seeds = part["seed"].notna().to_numpy()
        axes.plot(x[seeds], part["iou_corrected"][seeds], style.marker, color=style.colour, alpha=0.35, markersize=3)
        mean, *ends = (part[name][~seeds].to_numpy(float) for name in ("iou_corrected", "low", "high"))
        low, high = (np.where(np.isnan(end), mean, end) for end in ends)
        figures.points_with_bars(axes, x[~seeds], mean, low, high, style, label)
    axes.set_xticks(range(len(METHODS)), METHODS.values())
    axes.set_ylabel("overlap (IoU)\ncorrected for chance")
    figure.legend(loc="outside lower center", ncols=2)
    return figure
