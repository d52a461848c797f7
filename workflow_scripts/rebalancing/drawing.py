"""Figures of rebalancing: the law of gains, the gains of each arm, class counts, and the similarity of classes."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy.stats import norm

from workflow_scripts.core import figures
from workflow_scripts.core.intervals import LEVEL
from workflow_scripts.data.imbalance import GROUPS
from workflow_scripts.rebalancing.gains import ORIGINAL

GAIN = "gain over the original set (points)"
LAW, REAL, SYNTHETIC = "#222222", "#0072B2", "#E69F00"
COLUMNS = {  # of the figure of gains: measure and part, and its title
    ("accuracy", ""): "accuracy",
    ("balanced_accuracy", ""): "balanced accuracy",
    ("macro_f1", ""): "macro F1",
    **{("group_recall", name): f"recall, {name}" for name in GROUPS},
}


def draw_gain_law(points: pd.DataFrame, curve: pd.DataFrame, law: Mapping[str, Any]) -> Figure:
    """Gains against similarity with the 95 % intervals of both; the law and its band only where it has a curve.

    points: of `gain_table`. curve, law: curve and summary of a `GainLaw`.
    """
    figure = Figure(figsize=(5.8, 4.2), layout="constrained")
    axes = figure.subplots()
    datasets = points["group"].str.split("/").str[0]
    handles: list[Line2D | Patch] = []
    for name, style in figures.generator_styles(datasets).items():
        mine = points[(datasets == name) & points["gain_se"].notna()]
        x, y, low, high = (mine[key].to_numpy() for key in ("similarity", "gain", "gain_low", "gain_high"))
        figures.points_with_bars(axes, x, y, low, high, style)
        across = norm.ppf((1 + LEVEL) / 2) * mine["similarity_se"]
        axes.errorbar(
            mine["similarity"], mine["gain"], xerr=across, color=style.colour, elinewidth=0.9, linestyle="none"
        )
        handles.append(Line2D([], [], color=style.colour, marker=style.marker, linestyle="none", label=name))
    axes.axhline(0.0, color=figures.CONTROL, linewidth=0.8)
    if len(curve):
        axes.plot(curve["similarity"], curve["gain"], color=LAW)
        axes.fill_between(curve["similarity"], curve["low"], curve["high"], color=LAW, alpha=0.15, linewidth=0)
        axes.set_xlim(curve["similarity"].iloc[0], curve["similarity"].iloc[-1])
        label = "law p exp(−q S)" if law["identified"] else "mean gain"
        handles += [Line2D([], [], color=LAW, label=label), Patch(color=LAW, alpha=0.15, label="its 95 % interval")]
    said = [law["verdict"], *wrap(law["reason"], 90)]
    if law["identified"]:
        ends = " to ".join("∞" if end is None else f"{end:.3g}" for end in law["q_interval"])
        said = [f"q = {law['q']:.3g} ({ends}), p = {law['p']:.3g} points"]
    figures.coloured_lines(axes, "law of gains", [(line, LAW) for line in said])
    axes.set_xlabel("similarity of the classes, SSIM-supSubCls")
    axes.set_ylabel(GAIN)
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4))
    return figure


def gain_law_table(points: pd.DataFrame, curve: pd.DataFrame) -> pd.DataFrame:
    """The numbers of `draw_gain_law`: columns kind (measured, law), group, similarity, gain, low, high (points)."""
    measured = points.rename(columns={"gain_low": "low", "gain_high": "high"})
    columns = ["group", "similarity", "gain", "low", "high"]
    parts = [measured.assign(kind="measured"), curve.assign(kind="law", group="")]
    return pd.concat(part[["kind", *columns]] for part in parts if len(part))


def describe_gain_law(law: Mapping[str, Any]) -> str:
    """What the figure of the law of gains shows, in words."""
    verdict = f"the law is {law['verdict']}" if law["verdict"] != "not enough" else "no law is drawn"
    return f"Gain over the original set against the similarity of the classes; {verdict}: {law['reason']}."


def draw_improvements(gains: pd.DataFrame, augmentations: Sequence[str], title: str = "") -> Figure:
    """A row for each arm, a column for each measure and group of classes; dots with the 95 % intervals of the pairs.

    gains: rows of `improvements` for one group. augmentations: arms with synthetic images, drawn apart from the
    baselines. A hollow dot has no interval (one seed).
    """
    arms = [name for name in augmentations if name in set(gains["arm"])]
    arms += [name for name in dict.fromkeys(gains["arm"]) if name not in arms]
    parts = zip(gains["measure"], gains["part"], gains["arm"], strict=True)
    rows = dict(zip(parts, gains[["gain", "low", "high"]].to_numpy(float), strict=True))
    columns = {
        key: label for key, label in COLUMNS.items() if key in set(zip(gains["measure"], gains["part"], strict=True))
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
    axes.set_yticks(place, [classes[index] for index in order])
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.set_xlim(0, 1.02 * float((real + synthetic + missing).max()) * (1.16 if missing.any() else 1.0))
    axes.grid(False, axis="y")
    axes.set_xlabel("images for training")
    handles = [Patch(color=REAL, label="real"), Patch(color=SYNTHETIC, label="synthetic")]
    if missing.any():
        handles.append(Patch(facecolor="none", edgecolor="#B00020", hatch="////", label="wanted, not found"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _dot(axes: Axes, place: int, row: np.ndarray, style: figures.Style) -> None:
    """Draw one gain and its interval, in points."""
    gain, low, high = row
    known = bool(np.isfinite([low, high]).all())
    bars = [[gain - low], [high - gain]] if known else None
    axes.errorbar(
        [gain], [place], xerr=bars, fmt=style.marker, color=style.colour, elinewidth=1.1, capsize=2, zorder=3,
        markerfacecolor=style.colour if known else figures.PAPER,
    )  # fmt: skip
