"""The figures of the replication stage: measures against size, each beside its control, and nearest pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from workflow_scripts.core import figures

COLUMNS = 12  # pairs of a gallery's row
REPLICA, OTHER, INK = "#D55E00", "#bbbbbb", "#444444"
KEYS = ["generator", "dataset", "size", "seed"]


@dataclass(frozen=True)
class Panel:
    """One row of panels: a column of a table, and what chance gives, a column of it or a number.

    lowest, highest: ends of the axis; None: as the values are. intervals: bars are those of the columns _low and _high,
    and points without them hollow; else bars are the range of the seeds.
    """

    label: str
    column: str
    control: str | float | None
    lowest: float | None = 0.0
    highest: float | None = None
    intervals: bool = False

    @property
    def columns(self) -> list[str]:
        """All that it shows, of the table."""
        ends = [f"{self.column}_low", f"{self.column}_high"] if self.intervals else []
        return [self.column, *ends, *([self.control] if isinstance(self.control, str) else [])]


@dataclass(frozen=True)
class MeasuresFigure:
    """What a figure of measures against size shows; control: what its dotted lines are."""

    panels: tuple[Panel, ...]
    control: str
    description: str


# A further figure of the table is an entry here, an output of the rule plot_measures, and its caption.
FIGURES = {
    "quality": MeasuresFigure(
        (
            Panel("Fréchet distance\nto held-out images", "frechet", "frechet_held_out"),
            Panel("Fréchet distance\nto the training set", "frechet_training", "frechet_control"),
            Panel("kernel distance\nto held-out images", "kernel", "kernel_held_out", None),
            Panel("precision", "precision", "precision_held_out", 0.0, 1.02),
            Panel("recall", "recall", "recall_held_out", 0.0, 1.02),
        ),
        "held-out images",
        "Quality and variety of the samples against the number of training images, beside what held-out images get.",
    ),
    "memorisation": MeasuresFigure(
        (
            Panel("authentic samples, %", "authenticity_percentage", "authenticity_percentage_held_out", 0.0, 102.0),
            Panel("lone neighbours, %", "lone_neighbour_percentage", "lone_neighbour_percentage_held_out", 0.0, 102.0),
            Panel("C_T", "data_copying_z", "data_copying_z_held_out", None),
        ),
        "held-out images",
        "Measures of memorisation against the number of training images, each beside what held-out images get.",
    ),
    "membership": MeasuresFigure(
        (
            Panel("area under the curve", "auc", 0.5, 0.0, 1.02, True),
            Panel("training images told at\n1 % false alarms, %", "told_at_1", 1.0, 0.0, 102.0, True),
            Panel("area under the curve,\nLiRA", "lira_auc", 0.5, 0.0, 1.02, True),
            Panel("told by LiRA at\n1 % false alarms, %", "lira_told_at_1", 1.0, 0.0, 102.0, True),
        ),
        "chance",
        "How well training images are told from others by the samples, against the number of training images: the area "
        "under the curve, and the share told at 1 % false alarms, by distance and by LiRA, with 95 % intervals over "
        "seeds.",
    ),
}


def draw_measures(table: pd.DataFrame, shown: MeasuresFigure) -> Figure:
    """A column for each data set, a row for each panel that has values; lines join the means of the seeds.

    table: columns generator, dataset, size and those of the panels, a row for each generator on each subset.
    """
    panels = [panel for panel in shown.panels if table[panel.column].notna().any()] or [*shown.panels[:1]]
    datasets = list(dict.fromkeys(table["dataset"]))
    styles = figures.generator_styles(table["generator"])
    rows = len(panels)
    figure = Figure(figsize=(1.4 + 3.4 * len(datasets), 0.8 + 1.7 * rows), layout="constrained")
    grid = figure.subplots(rows, len(datasets), sharex="col", sharey="row", squeeze=False)
    for column, dataset in enumerate(datasets):
        part = table[table["dataset"] == dataset]
        grid[0, column].set_title(dataset)
        for axes, panel in zip(grid[:, column], panels, strict=True):
            for place, (generator, line) in enumerate(part.groupby("generator")):
                _line(axes, line, panel, styles[str(generator)], 1 + 0.03 * place)
            if isinstance(panel.control, str):
                means = part.groupby("size")[panel.control].mean()
                axes.plot(means.index, means, ":", color=figures.CONTROL, linewidth=1.2)
            elif panel.control is not None:
                axes.axhline(panel.control, color=figures.CONTROL, linestyle=":", linewidth=1.2)
            axes.update_datalim([(part["size"].min(), 0.0)])  # zero is shown, with a margin above the largest
            axes.autoscale_view()
        figures.size_axis(grid[-1, column], part["size"], "training images")
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        axes.set_ylabel(panel.label)
        axes.set_ylim(panel.lowest, panel.highest)  # last: it ends the scaling of the whole row
    handles = [Line2D([], [], color=style.colour, marker=style.marker, label=name) for name, style in styles.items()]
    handles.append(Line2D([], [], color=figures.CONTROL, linestyle=":", label=shown.control))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 1 + 2 * len(datasets)))
    return figure


def measures_shown(table: pd.DataFrame, shown: MeasuresFigure) -> pd.DataFrame:
    """The numbers of such a figure: a row for each run, or for each size over seeds."""
    keys = [key for key in KEYS if key in table]
    return table[[*keys, *(column for panel in shown.panels for column in panel.columns)]]


def _line(axes: Axes, line: pd.DataFrame, panel: Panel, style: figures.Style, aside: float) -> None:
    """Means of the seeds with their bars, moved aside a little so that equal ones do not hide each other."""
    value, low, high = (panel.columns if panel.intervals else [panel.column] * 3)[:3]
    sizes = line.dropna(subset=value).groupby("size").agg(mean=(value, "mean"), low=(low, "min"), high=(high, "max"))
    at, mean = sizes.index.to_numpy(float) * aside, sizes["mean"].to_numpy(float)
    axes.plot(at, mean, color=style.colour, linewidth=1.2)
    bars = sizes["low"].notna().to_numpy()
    for chosen in (bars, ~bars):
        lowest, highest = (sizes[end].fillna(sizes["mean"]).to_numpy(float)[chosen] for end in ("low", "high"))
        hollow = chosen is not bars
        figures.points_with_bars(axes, at[chosen], mean[chosen], lowest, highest, style, hollow=hollow)


@dataclass(frozen=True)
class Pairs:
    """Samples with their nearest training images, uint8 (m, H, W, C) each; distance (m,), replica bool (m,).

    title: of the row, by default the number of training images, `size`.
    """

    size: int
    samples: np.ndarray
    training: np.ndarray
    distance: np.ndarray
    replica: np.ndarray
    percentage: float
    threshold: float
    title: str = ""


def at_even_quantiles(distance: np.ndarray, count: int) -> np.ndarray:
    """Numbers of `count` samples at even quantiles of their distances (m,): the closest, the median, the farthest."""
    order = np.argsort(distance, kind="stable")
    return order[np.linspace(0, len(order) - 1, count).round().astype(int)]


def draw_gallery(rows: Sequence[Pairs], label: str) -> Figure:
    """For each size two rows of pictures: samples, and below each its nearest training image, with the distance."""
    figure = Figure(figsize=(0.72 * COLUMNS + 0.4, 2.0 * len(rows)), layout="constrained")
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, pairs in zip(parts, rows, strict=True):
        share = f"{pairs.percentage:.1f} % of samples within an RMS distance of {pairs.threshold:.3f} ({label})"
        part.suptitle(f"{pairs.title or f'{pairs.size:,} training images'}: {share}", fontsize=9, x=0.005, ha="left")
        height, width = pairs.samples.shape[1:3]
        gap = max(1, width // 8)
        left = np.arange(len(pairs.distance)) * (width + gap) - 0.5
        between = figures.mosaic(np.zeros_like(pairs.samples[..., :1]), COLUMNS, gap)[..., 0]  # shows the page through
        above, below = part.subplots(2, 1)
        for axes, images, name in ((above, pairs.samples, "sample"), (below, pairs.training, "nearest")):
            figures.show_image(axes, figures.mosaic(images, COLUMNS, gap))
            axes.images[0].set_alpha(1.0 - between / 255)
            axes.set_ylabel(name, fontsize=7)
        texts = [
            f"✕ {far:.3f}" if hit else f"{far:.3f}" for far, hit in zip(pairs.distance, pairs.replica, strict=True)
        ]
        below.set_xticks(left + width / 2, texts, fontsize=7)
        below.tick_params(length=0)
        for start, replica, text in zip(left, pairs.replica, below.get_xticklabels(), strict=True):
            text.set_color(REPLICA if replica else INK)
            frame = Rectangle(
                (start, -0.5), width, height, fill=False, clip_on=False,
                edgecolor=REPLICA if replica else OTHER, linewidth=2.2 if replica else 0.8,
            )  # fmt: skip
            above.add_patch(frame)
    return figure


def gallery_shown(rows: Sequence[Pairs]) -> pd.DataFrame:
    """The distances under the pictures: a row for each pair, closest first, and whether it counts as a replica."""
    return pd.concat(
        pd.DataFrame(
            {
                "training_images": pairs.size,
                "place": np.arange(1, len(pairs.distance) + 1),
                "distance": pairs.distance,
                "replica": pairs.replica,
            }
        )
        for pairs in rows
    )
