"""Figures of rebalancing: the law of gains, the gains of each arm, class counts, and the similarity of classes."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from scipy.stats import norm

from workflow_scripts import figures
from workflow_scripts.intervals import LEVEL
from workflow_scripts.rebalancing.gain_law import GainLaw
from workflow_scripts.rebalancing.gains import ORIGINAL
from workflow_scripts.rebalancing.imbalance import GROUPS

GAIN = "gain over the original set (points)"
LAW, REAL, SYNTHETIC = "#222222", "#0072B2", "#E69F00"
COLUMNS = {  # of the figure of gains: measure and part, and its title
    ("accuracy", ""): "accuracy",
    ("balanced_accuracy", ""): "balanced accuracy",
    ("macro_f1", ""): "macro F1",
    **{("group_recall", name): f"recall, {name}" for name in GROUPS},
}
MOST_WRITTEN = 14  # classes up to which the cells of the heat map carry numbers


def draw_gain_law(law: GainLaw) -> Figure:
    """Gains against similarity with the 95 % intervals of both; the law and its band only where it is identified."""
    points = law.points
    figure = Figure(figsize=(5.8, 4.2), layout="constrained")
    axes = figure.subplots()
    reach = norm.ppf((1 + LEVEL) / 2)
    styles = figures.generator_styles(points.datasets)
    for name, style in styles.items():
        here = points.only(np.array([dataset == name for dataset in points.datasets], dtype=bool))
        axes.errorbar(
            here.similarity, here.gain, reach * here.gain_se, reach * here.similarity_se, fmt=style.marker,
            color=style.colour, elinewidth=0.9, capsize=2, linestyle="none", zorder=3,
        )  # fmt: skip
    axes.axhline(0.0, color=figures.CONTROL, linewidth=0.8)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle="none", label=name)
        for name, style in styles.items()
    ]
    if law.identified:
        left, right = axes.get_xlim()
        at = np.linspace(left, right, 121)
        low, high = law.band(at)
        limits = axes.get_ylim()
        axes.plot(at, law.gain(at), color=LAW)
        axes.fill_between(at, low, high, color=LAW, alpha=0.15, linewidth=0)
        axes.set_xlim(left, right)
        axes.set_ylim(limits[0], max(limits[1], float(law.gain(points.similarity).max()) * 1.1))
        ends = " to ".join(f"{end:.3g}".replace("inf", "∞") for end in law.q_interval)
        figures.coloured_lines(axes, "law of gains", [(f"q = {law.q:.3g} [{ends}], p = {law.p:.3g} points", LAW)])
        handles += [
            Line2D([], [], color=LAW, label="law p exp(−q S)"),
            Patch(color=LAW, alpha=0.15, label="its 95 % interval"),
        ]
    else:
        figures.coloured_lines(axes, "law of gains", [(f"not identified: {law.reason}", LAW)])
    axes.set_xlabel("similarity of the classes, SSIM-supSubCls")
    axes.set_ylabel(GAIN)
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4))
    return figure


def draw_improvements(found: pd.DataFrame, augmentations: Sequence[str], title: str = "") -> Figure:
    """A row for each arm, a column for each measure and group of classes; dots with the 95 % intervals of the pairs.

    found: rows of `improvements` for one group. augmentations: arms with synthetic images, drawn apart from the
    baselines. A hollow dot has no interval (one seed).
    """
    arms = [name for name in augmentations if name in set(found["arm"])]
    arms += [name for name in dict.fromkeys(found["arm"]) if name not in arms]
    parts = zip(found["measure"], found["part"], found["arm"], strict=True)
    rows = dict(zip(parts, found[["gain", "low", "high"]].to_numpy(float), strict=True))
    columns = {
        key: label for key, label in COLUMNS.items() if key in set(zip(found["measure"], found["part"], strict=True))
    }
    figure = Figure(figsize=(1.6 + 1.55 * len(columns), 1.7 + 0.28 * len(arms)), layout="constrained")
    grid = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    style_of = {name: figures.Style(SYNTHETIC if name in augmentations else figures.CONTROL, "o") for name in arms}
    for axes, (key, label) in zip(grid, columns.items(), strict=True):
        axes.axvline(0.0, color="#444444", linewidth=0.8)
        for place, arm in enumerate(arms):
            if (*key, arm) in rows:
                _dot(axes, place, rows[*key, arm], style_of[arm])
        axes.set_xlabel(label)
        axes.margins(x=0.15)
        axes.xaxis.set_major_locator(MaxNLocator(3))
    grid[0].set_yticks(range(len(arms)), arms)
    grid[0].set_ylim(len(arms) - 0.5, -0.5)
    what = f"gain over {ORIGINAL}, points, 95 % intervals"
    figure.suptitle(f"{title}: {what}" if title else what, fontsize=10)
    named = {"with synthetic images": SYNTHETIC, "baselines": figures.CONTROL}
    handles = [Line2D([], [], color=colour, marker="o", label=name) for name, colour in named.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def draw_counts(classes: Sequence[str], real: np.ndarray, synthetic: np.ndarray, wanted: np.ndarray) -> Figure:
    """Images of each class before (real) and after (with synthetic), from head to tail; what stayed unfilled is
    outlined and numbered.

    real, synthetic, wanted: (C,) images; wanted: synthetic ones that were to be found.
    """
    order = np.lexsort((np.arange(len(classes)), -np.asarray(real)))
    real, synthetic, wanted = (np.asarray(part)[order] for part in (real, synthetic, wanted))
    missing = np.maximum(wanted - synthetic, 0)
    place = np.arange(len(classes))
    figure = Figure(figsize=(5.8, 1.3 + 0.2 * max(len(classes), 3)), layout="constrained")
    axes = figure.subplots()
    axes.barh(place, real, color=REAL, height=0.75)
    axes.barh(place, synthetic, left=real, color=SYNTHETIC, height=0.75)
    if missing.any():
        axes.barh(
            place[missing > 0], missing[missing > 0], left=(real + synthetic)[missing > 0], height=0.75,
            facecolor="none", edgecolor="#B00020", linewidth=0.8, hatch="////",
        )  # fmt: skip
        for at in np.flatnonzero(missing):
            axes.annotate(
                f"{missing[at]:,} missing", (real[at] + synthetic[at] + missing[at], at), xytext=(4, 0),
                textcoords="offset points", va="center", fontsize=7.5, color="#B00020",
            )  # fmt: skip
    axes.set_yticks(place, [classes[one] for one in order])
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.set_xlim(0, 1.02 * float((real + synthetic + missing).max()) * (1.16 if missing.any() else 1.0))
    axes.grid(False, axis="y")
    axes.set_xlabel("images for training")
    handles = [Patch(color=REAL, label="real"), Patch(color=SYNTHETIC, label="synthetic")]
    if missing.any():
        handles.append(Patch(facecolor="none", edgecolor="#B00020", hatch="////", label="wanted, not found"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def draw_class_similarity(
    matrix: np.ndarray, classes: Sequence[str], order: Sequence[int], superclass: Sequence[str] | None = None
) -> Figure:
    """Heat map of the similarity of class pairs.

    matrix: (C, C), NaN where unknown. order: indices of the classes from top to bottom. superclass: of each class;
    lines part those that follow each other in the order.
    """
    values = np.asarray(matrix, dtype=float)[np.ix_(order, order)]
    names = [classes[one] for one in order]
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
        _part(axes, [superclass[one] for one in order], side / count)
    figure.colorbar(image, ax=axes, label="mean SSIM of image pairs", shrink=0.8)
    return figure


def _dot(axes: Axes, place: int, row: np.ndarray, style: figures.Style) -> None:
    """Draw one gain and its interval, in points."""
    gain, low, high = row
    known = bool(np.isfinite([low, high]).all())
    bars = [[gain - low], [high - gain]] if known else None
    axes.errorbar(
        [gain], [place], xerr=bars, fmt=style.marker, color=style.colour, elinewidth=1.1, capsize=2, zorder=3,
        markerfacecolor=style.colour if known else "white",
    )  # fmt: skip


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
