"""The one style of all figures: colours, markers, fonts, and how a figure becomes files.

Importing this module sets Matplotlib's defaults (they are read when artists are made), so a script that draws imports
it first and makes `matplotlib.figure.Figure` objects; pyplot and its state are not used. Same data, same bytes.
"""

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from workflow_scripts.core.files import atomic_path, write_csv, write_text
from workflow_scripts.core.svg import INK, PAPER, finish

if TYPE_CHECKING:  # half a second to import, and only its tables pass through here
    import pandas as pd

matplotlib.rcParams.update(
    {
        "font.family": "DejaVu Sans",  # comes with Matplotlib, so that figures look alike on every machine
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.labelsize": 10,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "legend.fontsize": 9,
        "legend.title_fontsize": 9,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.6,
        "axes.edgecolor": "#444444",
        "axes.linewidth": 0.8,
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
        "figure.facecolor": "white",
        "axes.facecolor": "none",
        "savefig.dpi": 160,
        "svg.hashsalt": "copycat",
        "svg.fonttype": "path",
    }
)

CONTROL = "#6b6b6b"  # controls and reference lines


@dataclass(frozen=True)
class Style:
    """Colour and marker of one kind of thing in every figure."""

    colour: str
    marker: str


# Okabe and Ito's palette: told apart with any colour vision, and the marker says the same again.
GENERATORS = {
    "biggan": Style("#0072B2", "o"),
    "stylegan2": Style("#D55E00", "s"),
    "diffusion": Style("#009E73", "^"),
}
_OTHERS = (Style("#CC79A7", "D"), Style("#E69F00", "v"), Style("#56B4E9", "P"), Style(INK, "X"))


def generator_styles(names: Iterable[str]) -> dict[str, Style]:
    """Style for each generator: the fixed one for a family's own name, the others in turn by alphabet."""
    chosen = sorted(set(names))
    others = [name for name in chosen if name not in GENERATORS]
    return {
        name: GENERATORS[name] if name in GENERATORS else _OTHERS[others.index(name) % len(_OTHERS)] for name in chosen
    }


def sequence(count: int) -> list[str]:
    """Colours (hex) for an ordered quantity, dark to light; light enough at the end, dark enough at the start."""
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, count))
    return [matplotlib.colors.to_hex(shade) for shade in shades]


def points_with_bars(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    style: Style,
    label: str | None = None,
    hollow: bool = False,
) -> None:
    """Draw points (m,) with the bars of their intervals, ends `low` and `high` in the units of y.

    Hollow points may lie on the edge of the axes and are not cut off there.
    """
    if len(x) == 0:  # without points Matplotlib would give their artists a box at infinity, and the layout fails
        return
    bars = np.stack([np.maximum(y - low, 0.0), np.maximum(high - y, 0.0)])
    axes.errorbar(
        x, y, bars, fmt=style.marker, color=style.colour, markerfacecolor=PAPER if hollow else style.colour,
        markeredgewidth=1.0, elinewidth=0.9, capsize=2, linestyle="none", label=label, zorder=3, clip_on=not hollow,
    )  # fmt: skip


def percentage_axis(axes: Axes, lowest: float, label: str) -> None:
    """Logarithmic y-axis of percentages from `lowest` (above 0) to 100, with plain numbers."""
    axes.set_yscale("log")
    axes.set_ylim(lowest, 135)
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 3.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel(label)


def size_axis(axes: Axes, sizes: Iterable[float], label: str) -> None:
    """Logarithmic x-axis with a tick at each of the measured sizes, where they do not crowd."""
    ticks = sorted(set(sizes))
    axes.set_xscale("log")
    span = np.log(ticks[-1] / ticks[0]) if len(ticks) > 1 else 1.0
    kept = ticks[:1]
    for tick in ticks[1:]:
        if np.log(tick / kept[-1]) > span / 8:
            kept.append(tick)
    axes.set_xticks(kept, [f"{tick:,.0f}" for tick in kept])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)


def coloured_lines(axes: Axes, title: str, lines: Iterable[tuple[str, str]]) -> None:
    """Title of a panel, and below it a line for each (text, colour), all above the axes, clear of the data."""
    shown = list(lines)
    axes.set_title(title, pad=6 + 12 * len(shown))
    for i, (text, colour) in enumerate(reversed(shown)):
        axes.annotate(
            text, (0.5, 1.0), xytext=(0, 4 + 12 * i), xycoords="axes fraction", textcoords="offset points",
            ha="center", va="bottom", fontsize=8.5, color=colour,
        )  # fmt: skip


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Show an image, uint8 (H, W, 1 or 3), pixel by pixel; labels of the axes stay possible."""
    grey = image.shape[-1] == 1
    axes.imshow(image[..., 0] if grey else image, cmap="gray" if grey else None, vmin=0, vmax=255, interpolation="none")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def mosaic(images: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Put images, uint8 (n, H, W, C), side by side in rows of `columns`, white pixels between: uint8 (H', W', C)."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def save_figure(figure: Figure, path: str | os.PathLike[str], numbers: "pd.DataFrame", description: str) -> None:
    """Write a figure to `path`, an SVG, and beside it as PNG, with the numbers that it shows as CSV.

    numbers: what is drawn, a row for each point, bar, cell or picture, and of curves and bands a row for each place
    where they were computed; the report shows them as a table. description: one or two sentences that say to someone
    who does not see the figure what it shows. Each file is written whole or not at all, without dates or versions.
    """
    target = Path(path)
    svg = io.StringIO()
    figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    write_text(target, finish(svg.getvalue(), description))
    figure.set_layout_engine("none")  # laid out once, for both files
    with atomic_path(target.with_suffix(".png")) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    write_csv(target.with_suffix(".csv"), numbers)
