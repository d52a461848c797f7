"""Figure of the estimate of a data set: measured copies, the law, its safe size, and the trial of its predictions."""

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from workflow_scripts.core import figures
from workflow_scripts.laws.drawing import X_LABELS
from workflow_scripts.laws.trials import PairEstimate

INK = "#222222"
LOWEST = 0.03  # %, the lower edge of the axis
TRIALS = {"one_shot": "predicted from the smallest size", "leave_one_out": "predicted from all other sizes"}
COLUMNS = ["generator", "kind", "size", "percentage", "low", "high"]


def draw_one_shot(estimates: Mapping[str, PairEstimate], wanted: float, threshold: str) -> Figure:
    """A column for each generator. Above: measured copies beyond chance, predicted ones with their band, safe size.

    Below: every size predicted without its own runs, beside what was measured there. threshold: what counted as a
    replica, for the axis.
    """
    styles = figures.generator_styles(estimates)
    figure = Figure(figsize=(1.3 + 3.6 * len(estimates), 6.2), layout="constrained")
    grid = figure.subplots(2, len(estimates), sharey=True, sharex="col", squeeze=False)
    for (upper, lower), (generator, estimate) in zip(grid.T, estimates.items(), strict=True):
        style, sizes = styles[generator], _measured(estimate)[0]
        end = sizes[-1]
        if estimate.reason:
            lines = textwrap.wrap(f"no safe size: {estimate.reason}", 46)
        else:
            low, middle, high = np.maximum(estimate.predicted, LOWEST)
            upper.plot(estimate.sizes, middle, color=style.colour)
            upper.fill_between(estimate.sizes, low, high, color=style.colour, alpha=0.15, linewidth=0)
            safe = estimate.safe_size
            end = min(estimate.sizes[-1], 2 * max(filter(np.isfinite, (end, safe.size, safe.high))))
            upper.plot(
                [safe.low, min(end, safe.high)], [wanted, wanted], color=INK, linewidth=2.5, solid_capstyle="butt"
            )
            upper.plot(safe.size, wanted, "|", color=INK, markersize=12, markeredgewidth=2)
            ends = f"{safe.low:,.0f}, " + ("∞" if np.isinf(safe.high) else f"{safe.high:,.0f}")
            lines = [f"{wanted:g} % at {safe.size:,.0f} images [{ends}]"]
        figures.coloured_lines(upper, generator, [(line, INK) for line in lines])
        for axes in (upper, lower):
            _with_zeros(axes, *_measured(estimate), style)
        for (trial, _), aside, colour in zip(TRIALS.items(), (1.06, 1.12), (INK, figures.CONTROL), strict=True):
            part = estimate.predictions(trial)
            value = part[["predicted", "low", "high"]].to_numpy(float)
            _with_zeros(lower, part["size"].to_numpy(float) * aside, value, figures.Style(colour, "d"))
        figures.size_axis(lower, [*sizes, end], X_LABELS["size"])
        upper.set_xlim(sizes[0] / 1.3, 1.3 * end)
    for axes in grid[:, 0]:
        figures.percentage_axis(axes, LOWEST, "copies beyond chance, %")
    handles = [
        Line2D([], [], color=INK, marker="o", linestyle="none", label=f"measured ({threshold})"),
        Line2D([], [], color=INK, label="law from all that was measured"),
        Patch(color=INK, alpha=0.15, label="its 95 % interval"),
        *(
            Line2D([], [], color=colour, marker="d", linestyle="none", label=label)
            for label, colour in zip(TRIALS.values(), (INK, figures.CONTROL), strict=True)
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=1 if len(estimates) == 1 else 2)
    return figure


def one_shot_table(estimates: Mapping[str, PairEstimate]) -> pd.DataFrame:
    """The numbers of `draw_one_shot`: columns generator, kind, size, percentage (copies beyond chance), low, high.

    Kinds: measured (intervals over training runs), law, and predictions from the smallest size and all other sizes.
    """
    parts = []
    for generator, estimate in estimates.items():
        rows = [("measured", *_measured(estimate))]
        if not estimate.reason:
            rows.append(("law", estimate.sizes, estimate.predicted[[1, 0, 2]].T))
        for trial, kind in TRIALS.items():
            part = estimate.predictions(trial)
            rows.append((kind, part["size"].to_numpy(), part[["predicted", "low", "high"]].to_numpy(float)))
        for kind, size, value in rows:
            table = pd.DataFrame(value.reshape(-1, 3), columns=COLUMNS[3:]).assign(size=size, kind=kind)
            parts.append(table.assign(generator=generator))
    return pd.concat(parts)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def _measured(estimate: PairEstimate) -> tuple[np.ndarray, np.ndarray]:
    """Sizes (s,), and copies beyond chance there with the ends of their intervals (s, 3)."""
    rows = [(excess.percentage, excess.low, excess.high) for excess in estimate.measured.values()]
    return np.array(list(estimate.measured)), np.array(rows)


def _with_zeros(axes: Axes, at: np.ndarray, value: np.ndarray, style: figures.Style) -> None:
    """Points with intervals, value (m, 3); those below the axis lie hollow on its lower edge."""
    none = value[:, 0] < LOWEST
    for chosen, hollow in ((~none, False), (none, True)):
        middle, low, high = np.maximum(value[chosen], LOWEST).T
        figures.points_with_bars(axes, at[chosen], middle, low, high, style, hollow=hollow)
