"""The heat map of how alike the classes of an image set are."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

MOST_WRITTEN = 14  # classes up to which the cells of the heat map carry numbers


def draw_class_similarity(
    matrix: np.ndarray, classes: Sequence[str], order: Sequence[int], superclass: Sequence[str] | None = None
) -> Figure:
    """Heat map of the similarity of class pairs.

    matrix: (C, C), NaN where unknown. order: indices of the classes from top to bottom. superclass: of each class;
    lines part those that follow each other in the order.
    """
    values = np.asarray(matrix, dtype=float)[np.ix_(order, order)]
    names = [classes[index] for index in order]
    count = len(names)
    side = max(3.4, 0.34 * count if count <= MOST_WRITTEN else 0.19 * count) if count <= 60 else 11.0
    figure = Figure(figsize=(side + 2.2, side + 1.2), layout="constrained")
    axes = figure.subplots()
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="#e4e4e4")
    image = axes.imshow(values, cmap=colours, interpolation="none")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    size = 8 if count <= 30 else (6 if count <= 60 else 4)
    axes.set_xticks(range(count), names, rotation=90, fontsize=size)
    axes.set_yticks(range(count), names, fontsize=size)
    axes.tick_params(length=0)
    if count <= MOST_WRITTEN:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                axes.text(
                    column, row, f"{value:.2f}", ha="center", va="center", fontsize=7 if count <= 10 else 6.5,
                    color=_readable(colours(image.norm(value))),
                )  # fmt: skip
    if superclass is not None:
        _part(axes, [superclass[index] for index in order], side / count)
    figure.colorbar(image, ax=axes, label="mean SSIM of image pairs", shrink=0.8)
    return figure


def similarity_table(matrix: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """The numbers of the heat map: a row for each pair of classes, each class with itself included."""
    rows, columns = np.triu_indices(len(classes))
    names = np.array(classes, dtype=object)
    return pd.DataFrame({"class": names[rows], "other": names[columns], "similarity": matrix[rows, columns]})


def _part(axes: Axes, superclass: Sequence[str], cell: float) -> None:
    """Lines between neighbouring super-classes, and their names above, slanted where one is too long for its columns.

    cell: width of a column, in inches.
    """
    count = len(superclass)
    changes = [i for i in range(1, count) if superclass[i] != superclass[i - 1]]
    for at in changes:
        axes.axhline(at - 0.5, color="white", linewidth=2.0)
        axes.axvline(at - 0.5, color="white", linewidth=2.0)
    spans = list(zip([0, *changes], [*changes, count], strict=True))
    slanted = any(0.08 * len(superclass[first]) > (last - first) * cell for first, last in spans)
    for first, last in spans:
        axes.annotate(
            superclass[first], ((first + last - 1) / 2, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 4),
            textcoords="offset points", ha="left" if slanted else "center", va="bottom", fontsize=8,
            rotation=40 if slanted else 0, rotation_mode="anchor",
        )  # fmt: skip


def _readable(colour: ArrayLike) -> str:
    """Black or white, whichever stands out against an RGBA colour (WCAG's relative luminance)."""
    channels = np.asarray(colour, dtype=float)[:3]
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ [0.2126, 0.7152, 0.0722] > 0.179 else "white"
