"""Figures of a study's laws: measured runs with their counting intervals, the law where it is identified, residuals."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from workflow_scripts.core import figures
from workflow_scripts.core.intervals import wilson
from workflow_scripts.laws.decay import DIMENSION_AXIS, DecayFit, Pair, Points
from workflow_scripts.laws.outlook import best, own_outlook

X_LABELS = {
    "dimension": "intrinsic dimension of the training set",
    "ln_size": "size of the training set (images)",
    "size": "size of the training set (images)",
}
GRID = 61
Laws = Mapping[Pair, Sequence[DecayFit]]  # of each pair all its laws on one axis


@dataclass(frozen=True)
class Reference:
    """Another curve to compare the laws with: its name in the legend, and percentages against the axis for each
    pair."""

    name: str
    curves: Mapping[Pair, Callable[[np.ndarray], np.ndarray]]


def draw_laws(laws: Laws, threshold: str, reference: Reference | None = None) -> Figure:
    """A column for each data set: above, percentages and laws on a logarithmic axis; below, the residuals.

    threshold: what counted as a replica, for the axis.

    The law that predicts held-out sizes best is named, and its residuals are drawn; the line and its band are the
    average of a pair's laws, since choosing among them makes the band of the chosen one too narrow. A pair without an
    identified law has no line; the panel says why. Points without replicas lie hollow on the lower edge.
    """
    fits = {pair: best(own) for pair, own in laws.items()}
    datasets = list(dict.fromkeys(dataset for _, dataset in fits))
    styles = figures.generator_styles(generator for generator, _ in fits)
    axis = next(iter(fits.values())).axis.name
    words = next(iter(fits.values())).points.words
    label = f"{words.axis}\n" + threshold.replace(", ", ",\n")
    lowest = min(0.5, 45.0 / max(float(fit.points.samples.max()) for fit in fits.values()))
    width = 1.1 + 3.5 * len(datasets) if len(datasets) > 1 else 5.8
    figure = Figure(figsize=(width, 5.1), layout="constrained")
    grid = figure.subplots(2, len(datasets), squeeze=False, sharex="col", sharey="row", height_ratios=[3, 1])
    for column, dataset in enumerate(datasets):
        upper, lower = grid[:, column]
        chosen = {pair: fit for pair, fit in fits.items() if pair[1] == dataset}
        figures.coloured_lines(
            upper,
            dataset,
            [
                (line, styles[pair[0]].colour)
                for pair, fit in chosen.items()
                for line in textwrap.wrap(law_caption(pair[0], fit), 62)
            ],
        )
        figures.percentage_axis(upper, lowest, label if column == 0 else "")
        _control(upper, chosen)
        for i, (pair, fit) in enumerate(chosen.items()):
            style = styles[pair[0]]
            at = apart(fit, i - (len(chosen) - 1) / 2)
            measured(upper, fit.points, at, style, lowest)
            if fit.identified:
                _law(upper, laws[pair], style)
            if reference is not None:
                along = _grid(fit)
                upper.plot(
                    along, reference.curves[pair](along), color=style.colour, linestyle=(0, (4, 2)), linewidth=1.1
                )
            if fit.posterior is not None:
                lower.plot(at, fit.residuals, style.marker, color=style.colour, markersize=4)
        lower.axhline(0.0, color=figures.CONTROL, linewidth=0.8)
        if axis == "dimension":
            dimension_axis(lower)
        else:
            figures.size_axis(lower, np.concatenate([fit.points.size for fit in chosen.values()]), X_LABELS[axis])
    grid[1, 0].set_ylabel("residual (SD)")
    reach = max(2.5, *(np.abs(fit.residuals).max() * 1.15 for fit in fits.values() if fit.posterior is not None), 0.0)
    grid[1, 0].set_ylim(-reach, reach)
    handles = _key(fits, styles, reference)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), int(width / 1.8)))
    return figure


COLUMNS = ["generator", "dataset", "kind", "x", "percentage", "low", "high"]


def law_table(laws: Laws, reference: Reference | None = None) -> pd.DataFrame:
    """The numbers of `draw_laws`: measured points with their intervals and residuals, laws with bands, the control.

    Columns generator, dataset, kind (measured, law, control, and the reference's name), x (images or dimension),
    percentage, low, high, and of measured points the residual in standard deviations.
    """
    columns = [*COLUMNS, "residual"]
    parts = []
    fits = {pair: best(own) for pair, own in laws.items()}
    for (generator, dataset), fit in fits.items():
        ends = wilson(fit.points.replicas, fit.points.samples)
        residual = fit.residuals if fit.posterior is not None else np.nan
        curves = [("measured", (fit.values, fit.points.percentage, *(100.0 * end for end in ends)), residual)]
        if fit.identified:
            curves.append(("law", law_line(laws[generator, dataset]), np.nan))
        if reference is not None:
            at = _grid(fit)
            none = np.full(len(at), np.nan)
            curves.append((reference.name, (at, reference.curves[generator, dataset](at), none, none), np.nan))
        for kind, values, left in curves:
            part = pd.DataFrame(dict(zip(COLUMNS[3:], values, strict=True)))
            parts.append(part.assign(generator=generator, dataset=dataset, kind=kind, residual=left))
    for dataset in dict.fromkeys(dataset for _, dataset in fits):
        control = control_line({pair: fit for pair, fit in fits.items() if pair[1] == dataset})
        if control is not None:
            value, low, mean, high = control
            part = pd.DataFrame({"x": value, "percentage": mean, "low": low, "high": high})
            parts.append(part.assign(generator="", dataset=dataset, kind="control", residual=np.nan))
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def describe_laws(laws: Laws) -> str:
    """What the figure of laws shows, in words: the rate of each leading law, or that none is identified."""
    fits = {pair: best(own) for pair, own in laws.items()}
    axis = X_LABELS[next(iter(fits.values())).axis.name]
    captions = "; ".join(f"{dataset}, {law_caption(generator, fit)}" for (generator, dataset), fit in fits.items())
    counted = next(iter(fits.values())).points.words.axis.removesuffix(" (%)")
    return f"Percentage of {counted} against the {axis}. {captions}."


def draw_nothing(message: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = Figure(figsize=(6, 1.5), layout="constrained")
    figure.text(0.5, 0.5, message, ha="center", va="center", wrap=True)
    return figure


def _grid(fit: DecayFit) -> np.ndarray:
    """Values over the measured range, evenly spaced as the axis shows them."""
    low, high = fit.values.min(), fit.values.max()
    return np.linspace(low, high, GRID) if fit.axis.name == "dimension" else np.geomspace(low, high, GRID)


def apart(fit: DecayFit, place: float) -> np.ndarray:
    """The points' values, moved aside a little by the generator's place, so that equal ones do not hide each other."""
    value = fit.values
    if fit.axis.name == "dimension":
        return value + 0.012 * place * max(float(np.ptp(value)), 1e-9)
    return value * (value.max() / value.min()) ** (0.012 * place)


def dimension_axis(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel(X_LABELS["dimension"])


def measured(axes: Axes, points: Points, at: np.ndarray, style: figures.Style, lowest: float) -> None:
    low, high = (100.0 * end for end in wilson(points.replicas, points.samples))
    none = points.percentage < lowest
    for chosen, hollow in ((~none, False), (none, True)):
        figures.points_with_bars(
            axes, at[chosen], np.maximum(points.percentage, lowest)[chosen], np.maximum(low, lowest)[chosen],
            high[chosen], style, hollow=hollow,
        )  # fmt: skip


def law_line(fits: Sequence[DecayFit]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values along the axis, a pair's averaged law there and the ends of its band, in percent, background added."""
    leading = best(fits)
    at = _grid(leading)
    background = _background(leading, at)
    low, line, high = 100 * background + (1 - background) * own_outlook(fits).percentage(at)
    return at, line, low, high


def _law(axes: Axes, fits: Sequence[DecayFit], style: figures.Style) -> None:
    at, line, low, high = law_line(fits)
    axes.plot(at, line, color=style.colour)
    axes.fill_between(at, low, high, color=style.colour, alpha=0.15, linewidth=0)


def _by_size(fits: list[DecayFit]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Mean value on the axis for each set size, and the background shares measured there."""
    size, background = (np.concatenate([getattr(fit.points, name) for fit in fits]) for name in ("size", "background"))
    value = np.concatenate([fit.values for fit in fits])
    chosen = [size == distinct for distinct in np.unique(size)]
    return np.array([value[here].mean() for here in chosen]), [background[here] for here in chosen]


def _background(fit: DecayFit, at: np.ndarray) -> np.ndarray:
    """Background share along the axis, as far as samples reach it: means at each size, joined by straight lines."""
    value, shares = _by_size([fit])
    return fit.chance * np.interp(at, value, [share.mean() for share in shares])


def control_line(fits: Mapping[Pair, DecayFit]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Percentage of held-out images that would count: values along the axis, lowest, mean and highest of the seeds."""
    value, shares = _by_size(list(fits.values()))
    if not any(share.any() for share in shares):
        return None
    low, mean, high = (100 * np.array([part(share) for share in shares]) for part in (np.min, np.mean, np.max))
    return value, low, mean, high


def _control(axes: Axes, fits: Mapping[Pair, DecayFit]) -> None:
    if (line := control_line(fits)) is None:
        return
    value, low, mean, high = line
    axes.plot(value, mean, color=figures.CONTROL, linestyle=":", linewidth=1.2)
    axes.fill_between(value, low, high, color=figures.CONTROL, alpha=0.2, linewidth=0)


def law_caption(generator: str, fit: DecayFit) -> str:
    if not fit.identified:
        return f"{generator}: no law, {fit.reason.split(':')[0]}"
    unit = {"dimension": f"{DIMENSION_AXIS.scale:.2f} dimensions", "ln_size": "e-fold", "size": "image"}[fit.axis.name]
    return f"{generator}: {fit.curve} fits best, rate {fit.rate:.2g} per {unit}"


def _key(
    fits: Mapping[Pair, DecayFit], styles: Mapping[str, figures.Style], reference: Reference | None
) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle="none", label=name)
        for name, style in styles.items()
    ]
    if any(fit.identified for fit in fits.values()):
        handles.append(Line2D([], [], color="#222222", label="law"))
        handles.append(Patch(color="#222222", alpha=0.15, label="its 95 % interval"))
        if reference is not None:
            handles.append(Line2D([], [], color="#222222", linestyle=(0, (4, 2)), linewidth=1.1, label=reference.name))
    if any(fit.points.background.any() for fit in fits.values()):
        control = next(iter(fits.values())).points.words.control
        handles.append(Line2D([], [], color=figures.CONTROL, linestyle=":", label=control))
    return handles
