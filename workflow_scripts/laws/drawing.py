"""Figures of the laws: measured points with their intervals, the law where it is identified, and what it leaves
over."""

import textwrap
from collections.abc import Callable, Mapping
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
from workflow_scripts.laws.decay import DIMENSION_AXIS, DecayFit, Points
from workflow_scripts.laws.one_shot_study import PairEstimate, measured_excess
from workflow_scripts.laws.pairs import Pair
from workflow_scripts.laws.published import OneShot

PERCENTAGE = "samples that are replicas (%)"
X_LABELS = {
    "dimension": "intrinsic dimension of the training set",
    "ln_size": "size of the training set (images)",
    "size": "size of the training set (images)",
}
GRID = 61
SIZED = ("size", "value", "background")


@dataclass(frozen=True)
class Reference:
    """Another curve to compare the laws with: its name in the legend, and percentages against the axis for each
    pair."""

    name: str
    curves: Mapping[Pair, Callable[[np.ndarray], np.ndarray]]


def draw_laws(fits: Mapping[Pair, DecayFit], threshold: str, reference: Reference | None = None) -> Figure:
    """A column for each data set: above, percentages and laws on a logarithmic axis; below, the residuals.

    threshold: what counted as a replica, for the axis.

    Laws that are not identified are not drawn; the panel says why. Points without replicas lie hollow on the lower
    edge.
    """
    datasets = list(dict.fromkeys(dataset for _, dataset in fits))
    styles = figures.generator_styles(generator for generator, _ in fits)
    axis = next(iter(fits.values())).axis.name
    lowest = 45.0 / max(float(fit.points.samples.max()) for fit in fits.values())
    width = 1.1 + 3.5 * len(datasets) if len(datasets) > 1 else 5.8
    figure = Figure(figsize=(width, 5.1), layout="constrained")
    grid = figure.subplots(2, len(datasets), squeeze=False, sharex="col", sharey="row", height_ratios=[3, 1])
    for column, dataset in enumerate(datasets):
        upper, lower = grid[:, column]
        chosen = {pair: fit for pair, fit in fits.items() if pair[1] == dataset}
        figures.coloured_lines(
            upper, dataset, [(law_caption(pair[0], fit), styles[pair[0]].colour) for pair, fit in chosen.items()]
        )
        figures.percentage_axis(upper, lowest, f"{PERCENTAGE}\n{threshold}" if column == 0 else "")
        _control(upper, chosen)
        for i, (pair, fit) in enumerate(chosen.items()):
            style = styles[pair[0]]
            at = apart(fit, i - (len(chosen) - 1) / 2)
            _measured(upper, fit.points, at, style, lowest)
            if fit.identified:
                _law(upper, fit, style)
            if reference is not None and pair in reference.curves:
                along = _grid(fit)
                upper.plot(
                    along, reference.curves[pair](along), color=style.colour, linestyle=(0, (4, 2)), linewidth=1.1
                )
            if np.isfinite(fit.level):
                lower.plot(at, fit.residuals(), style.marker, color=style.colour, markersize=4)
        lower.axhline(0.0, color=figures.CONTROL, linewidth=0.8)
        if axis == "dimension":
            _dimension_axis(lower)
        else:
            figures.size_axis(lower, np.concatenate([fit.points.value for fit in chosen.values()]), X_LABELS[axis])
    grid[1, 0].set_ylabel("residual (SD)")
    reach = max(2.5, *(np.abs(fit.residuals()).max() * 1.15 for fit in fits.values() if np.isfinite(fit.level)), 0.0)
    grid[1, 0].set_ylim(-reach, reach)
    handles = _key(fits, styles, reference)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), int(width / 1.8)))
    return figure


def draw_left_out(pairs: Mapping[Pair, Points], shots: Mapping[Pair, OneShot]) -> Figure:
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
        order = np.argsort(points.value)
        value = points.value[order]
        predicted, (low, high) = shot.fit.percentage(value), shot.interval(value)
        figures.percentage_axis(axes, lowest, PERCENTAGE if column == 0 else "")
        _measured(axes, points, points.value, style, lowest)
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
        _dimension_axis(axes)
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


def draw_one_shot(found: Mapping[str, PairEstimate], wanted: float, threshold: str) -> Figure:
    """A column for each generator. Above: measured copies beyond chance, predicted ones with their band, safe size.

    Below: every size predicted without its own measurement, beside what was measured there. threshold: what counted as
    a replica, for the axis.
    """
    styles = figures.generator_styles(found)
    lowest = 0.03
    figure = Figure(figsize=(1.3 + 3.6 * len(found), 6.2), layout="constrained")
    grid = figure.subplots(2, len(found), sharey=True, sharex="col", squeeze=False)
    for (upper, lower), (generator, one) in zip(grid.T, found.items(), strict=True):
        shot, style = one.estimate, styles[generator]
        lines = [(line, "#222222") for line in textwrap.wrap(f"no estimate: {shot.reason}", 46)] if shot.reason else []
        if not shot.reason:
            upper.plot(shot.sizes, np.maximum(shot.percentage, lowest), color=style.colour)
            ends = (np.maximum(end, lowest) for end in (shot.low, shot.high))
            upper.fill_between(shot.sizes, *ends, color=style.colour, alpha=0.15, linewidth=0)
            safe = shot.safe_size
            right = min(shot.sizes[-1], safe.high)
            upper.plot([safe.low, right], [wanted, wanted], color="#222222", linewidth=2.5, solid_capstyle="butt")
            upper.plot(safe.size, wanted, "|", color="#222222", markersize=12, markeredgewidth=2)
            high = "∞" if np.isinf(safe.high) else f"{safe.high:,.0f}"
            lines = [(f"{wanted:g} % at {safe.size:,.0f} images [{safe.low:,.0f}, {high}]", "#222222")]
        figures.coloured_lines(upper, generator, lines)
        sizes = np.unique(one.points.size)
        measured = np.array([measured_excess(one.points.select(one.points.size == size)) for size in sizes])
        _with_zeros(upper, sizes, measured, style, lowest)
        _with_zeros(lower, sizes, measured, style, lowest)
        for trial, aside, colour in (("one_shot", 1.06, "#222222"), ("leave_one_out", 1.12, figures.CONTROL)):
            part = one.predictions(trial)
            value = part[["predicted", "low", "high"]].to_numpy(float)
            _with_zeros(lower, part["size"].to_numpy(float) * aside, value, figures.Style(colour, "d"), lowest)
        end = sizes[-1] if shot.reason else shot.sizes[-1]
        upper.set_xlim(sizes[0] / 1.3, 1.3 * end)
        figures.size_axis(lower, [*sizes, end], X_LABELS["size"])
    for axes in grid[:, 0]:
        figures.percentage_axis(axes, lowest, "copies beyond chance, %")
    handles = [
        Line2D([], [], color="#222222", marker="o", linestyle="none", label=f"measured ({threshold})"),
        Line2D([], [], color="#222222", label="one-shot law from all that was measured"),
        Patch(color="#222222", alpha=0.15, label="its 95 % interval"),
        Line2D([], [], color="#222222", marker="d", linestyle="none", label="predicted from the smallest size"),
        Line2D([], [], color=figures.CONTROL, marker="d", linestyle="none", label="predicted from all other sizes"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=1 if len(found) == 1 else 2)
    return figure


def _with_zeros(axes: Axes, at: np.ndarray, value: np.ndarray, style: figures.Style, lowest: float) -> None:
    """Points with intervals, value (m, 3); those below the axis lie hollow on its lower edge."""
    none = value[:, 0] < lowest
    for some, hollow in ((~none, False), (none, True)):
        middle, low, high = np.maximum(value[some], lowest).T
        figures.points_with_bars(axes, at[some], middle, low, high, style, hollow=hollow)


COLUMNS = ["generator", "dataset", "kind", "x", "percentage", "low", "high"]


def law_table(fits: Mapping[Pair, DecayFit]) -> pd.DataFrame:
    """The numbers of `draw_laws`: measured points with their intervals and residuals, laws with bands, the control.

    Columns generator, dataset, kind (measured, law, control), x (images or dimension), percentage, low, high, and of
    measured points the residual in standard deviations.
    """
    columns = [*COLUMNS, "residual"]
    parts = []
    for (generator, dataset), fit in fits.items():
        ends = wilson(fit.points.replicas, fit.points.samples)
        residual = fit.residuals() if np.isfinite(fit.level) else np.nan
        curves = [("measured", (fit.points.value, fit.points.percentage, *(100.0 * end for end in ends)), residual)]
        if fit.identified:
            curves.append(("law", law_line(fit), np.nan))
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


def describe_laws(fits: Mapping[Pair, DecayFit]) -> str:
    """What the figure of laws shows, in words: the rate of each law, or that none is identified."""
    axis = X_LABELS[next(iter(fits.values())).axis.name]
    laws = "; ".join(f"{dataset}, {law_caption(generator, fit)}" for (generator, dataset), fit in fits.items())
    return f"Percentage of samples that are replicas against the {axis}. {laws}."


def left_out_table(pairs: Mapping[Pair, Points], shots: Mapping[Pair, OneShot]) -> pd.DataFrame:
    """The numbers of `draw_left_out`: columns as in `law_table`, kinds measured and predicted."""
    parts = []
    for (generator, dataset), points in pairs.items():
        shot = shots[generator, dataset]
        low, high = (100.0 * end for end in wilson(points.replicas, points.samples))
        for kind, values in (
            ("measured", (points.value, points.percentage, low, high)),
            ("predicted", (points.value, shot.fit.percentage(points.value), *shot.interval(points.value))),
        ):
            part = pd.DataFrame(dict(zip(COLUMNS[3:], values, strict=True)))
            parts.append(part.assign(generator=generator, dataset=dataset, kind=kind))
    return pd.concat(parts)[COLUMNS]


def one_shot_table(found: Mapping[str, PairEstimate]) -> pd.DataFrame:
    """The numbers of `draw_one_shot`: columns generator, kind, size, percentage (copies beyond chance), low, high.

    Kinds: measured, law, safe size, and predictions from the smallest size and from all other sizes.
    """
    columns = ["generator", "kind", "size", "percentage", "low", "high"]
    parts = []
    for generator, pair in found.items():
        sizes = np.unique(pair.points.size)
        measured = [measured_excess(pair.points.select(pair.points.size == size)) for size in sizes]
        rows = [("measured", sizes, np.array(measured))]
        if not pair.estimate.reason:
            shot = pair.estimate
            rows.append(("law", shot.sizes, np.stack([shot.percentage, shot.low, shot.high], axis=1)))
        for trial, kind in (("one_shot", "predicted from the smallest size"), ("leave_one_out", "from other sizes")):
            part = pair.predictions(trial)
            rows.append((kind, part["size"].to_numpy(), part[["predicted", "low", "high"]].to_numpy(float)))
        for kind, size, value in rows:
            table = pd.DataFrame(value.reshape(-1, 3), columns=columns[3:]).assign(size=size, kind=kind)
            parts.append(table.assign(generator=generator))
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def draw_nothing(message: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = Figure(figsize=(6, 1.5), layout="constrained")
    figure.text(0.5, 0.5, message, ha="center", va="center", wrap=True)
    return figure


def _grid(fit: DecayFit) -> np.ndarray:
    """Values over the measured range, evenly spaced as the axis shows them."""
    low, high = fit.points.value.min(), fit.points.value.max()
    return np.linspace(low, high, GRID) if fit.axis.name == "dimension" else np.geomspace(low, high, GRID)


def apart(fit: DecayFit, place: float) -> np.ndarray:
    """The points' values, moved aside a little by the generator's place, so that equal ones do not hide each other."""
    value = fit.points.value
    if fit.axis.name == "dimension":
        return value + 0.012 * place * max(float(np.ptp(value)), 1e-9)
    return value * (value.max() / value.min()) ** (0.012 * place)


def _dimension_axis(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel(X_LABELS["dimension"])


def _measured(axes: Axes, points: Points, at: np.ndarray, style: figures.Style, lowest: float) -> None:
    low, high = (100.0 * end for end in wilson(points.replicas, points.samples))
    none = points.percentage < lowest
    for some, hollow in ((~none, False), (none, True)):
        figures.points_with_bars(
            axes, at[some], np.maximum(points.percentage, lowest)[some], np.maximum(low, lowest)[some],
            high[some], style, hollow=hollow,
        )  # fmt: skip


def law_line(fit: DecayFit) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values along the axis, the law there and the ends of its band, in percent, the points' background added."""
    at = _grid(fit)
    background = _background(fit.points, at)
    line, low, high = (100 * background + (1 - background) * part for part in (fit.percentage(at), *fit.band(at)))
    return at, line, low, high


def _law(axes: Axes, fit: DecayFit, style: figures.Style) -> None:
    at, line, low, high = law_line(fit)
    axes.plot(at, line, color=style.colour)
    axes.fill_between(at, low, high, color=style.colour, alpha=0.15, linewidth=0)


def _by_size(points: list[Points]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Mean value on the axis for each set size, and the background shares measured there."""
    size, value, background = (np.concatenate([getattr(p, name) for p in points]) for name in SIZED)
    chosen = [size == one for one in np.unique(size)]
    return np.array([value[some].mean() for some in chosen]), [background[some] for some in chosen]


def _background(points: Points, at: np.ndarray) -> np.ndarray:
    """Background share along the axis: means at each size, joined by straight lines."""
    value, shares = _by_size([points])
    return np.interp(at, value, [some.mean() for some in shares])


def control_line(fits: Mapping[Pair, DecayFit]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Percentage of held-out images that would count: values along the axis, lowest, mean and highest of the seeds."""
    value, shares = _by_size([fit.points for fit in fits.values()])
    if not any(some.any() for some in shares):
        return None
    low, mean, high = (100 * np.array([part(some) for some in shares]) for part in (np.min, np.mean, np.max))
    return value, low, mean, high


def _control(axes: Axes, fits: Mapping[Pair, DecayFit]) -> None:
    if (line := control_line(fits)) is None:
        return
    value, low, mean, high = line
    axes.plot(value, mean, color=figures.CONTROL, linestyle=":", linewidth=1.2)
    axes.fill_between(value, low, high, color=figures.CONTROL, alpha=0.2, linewidth=0)


def law_caption(generator: str, fit: DecayFit) -> str:
    if not fit.identified:
        return f"{generator}: no law, {fit.reason}"
    low, high = (f"{end:.2f}".replace("inf", "∞") for end in fit.rate_interval)
    unit = {"dimension": f"{DIMENSION_AXIS.scale:.2f} dimensions", "ln_size": "e-fold", "size": "SD"}[fit.axis.name]
    return f"{generator}: rate {fit.rate:.2f} [{low}, {high}] per {unit}"


def _key(
    fits: Mapping[Pair, DecayFit], styles: Mapping[str, figures.Style], reference: Reference | None
) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle="none", label=name)
        for name, style in styles.items()
    ]
    if any(fit.identified for fit in fits.values()):
        method = next(iter(fits.values())).model.method
        name = {"binomial": "maximum likelihood", "least_squares": "least squares"}[method]
        handles.append(Line2D([], [], color="#222222", label=f"law ({name})"))
        handles.append(Patch(color="#222222", alpha=0.15, label="its 95 % interval"))
        if reference is not None:
            handles.append(Line2D([], [], color="#222222", linestyle=(0, (4, 2)), linewidth=1.1, label=reference.name))
    if any(fit.points.background.any() for fit in fits.values()):
        handles.append(Line2D([], [], color=figures.CONTROL, linestyle=":", label="held-out images (control)"))
    return handles
