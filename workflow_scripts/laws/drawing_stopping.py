"""The figure of copies over training: when copying begins, a panel for each generator and data set."""

from collections.abc import Mapping

import matplotlib.ticker
from matplotlib.figure import Figure

from workflow_scripts.core import figures
from workflow_scripts.laws.stopping_answer import Pair, Stop

LABEL = "copies (% of samples)"


def draw_stopping(stops: Mapping[Pair, Stop], wanted: float) -> Figure:
    """Percentages of copies against steps, a line for each run, coloured by size; bars: 95 % intervals.

    Triangles on the lower edge mark when the law expects a run of a size to begin, where there is a law. Dotted: chance
    and the wanted percentage together. Percentages below the axis lie hollow on its edge.
    """
    generators, datasets = (list(dict.fromkeys(names)) for names in zip(*stops, strict=True))
    lowest = 45.0 / max(float(stop.table["samples"].max()) for stop in stops.values())
    sizes = sorted({size for stop in stops.values() for size in stop.sizes})
    colours = dict(zip(sizes, figures.sequence(len(sizes)), strict=True))
    figure = Figure(figsize=(1.6 + 3.1 * len(generators), 0.4 + 3.2 * len(datasets)), layout="constrained")
    grid = figure.subplots(len(datasets), len(generators), squeeze=False, sharey=True)
    for (generator, dataset), stop in stops.items():
        axes = grid[datasets.index(dataset), generators.index(generator)]
        figures.percentage_axis(axes, lowest, LABEL if axes.get_subplotspec().is_first_col() else "")
        for _, part in stop.table.groupby(["size", "seed"]):
            size, seed = float(part["size"].iloc[0]), part["seed"].iloc[0]
            shown = part.assign(**{key: part[key].clip(lower=lowest) for key in ("percentage", "low")})
            label = f"{size:,.0f}" if seed == stop.table["seed"].min() else None
            axes.plot(shown["step"], shown["percentage"], color=colours[size], label=label, linewidth=1.3)
            for hollow in (False, True):
                points = shown[(part["percentage"] < lowest) == hollow]
                x, y, low, high = (points[key].to_numpy(float) for key in ("step", "percentage", "low", "high"))
                figures.points_with_bars(axes, x, y, low, high, figures.Style(colours[size], "o"), hollow=hollow)
        if not stop.law.reason:
            for size in stop.sizes:
                middle = stop.law.steps(size)[1]
                if middle <= stop.table["step"].max():
                    axes.plot(middle, lowest, "^", color=colours[size], markersize=8, clip_on=False, zorder=4)
        level = wanted + float(stop.table["background_percentage"].fillna(0.0).mean())
        axes.axhline(level, color=figures.CONTROL, linestyle=":", linewidth=1.1)
        axes.set_title(f"{generator}, {dataset}" if len(datasets) > 1 else generator)
        axes.set_xlabel("steps of training")
        axes.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
        axes.set_xlim(left=0)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, title="training set\n(images)", loc="outside right center")
    return figure


def describe_stopping(stops: Mapping[Pair, Stop]) -> str:
    """What the figure shows, for those who do not see it."""
    names = ", ".join(dict.fromkeys(generator for generator, _ in stops))
    return (
        f"Percentage of samples that are copies against the steps of training, for {names}: a line for each run, "
        "coloured by the size of its training set."
    )
