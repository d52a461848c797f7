"""The figures of measures: no line leaves its panel, also where data sets differ by orders of magnitude."""

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.replication.drawing import FIGURES, at_even_quantiles, draw_measures, measures_shown


@pytest.mark.parametrize("name", FIGURES)
def test_every_point_lies_inside_its_panel(name: str) -> None:
    shown = FIGURES[name]
    columns = [column for panel in shown.panels for column in panel.columns]
    table = pd.DataFrame(
        {"generator": generator, "dataset": dataset, "size": size, "seed": seed}
        | {column: scale * (30 + size / 100) if "frechet" in column else 0.9 for column in columns}
        for dataset, scale in (("small", 1.0), ("large", 40.0), ("unknown", np.nan))
        for generator in ("biggan", "diffusion")
        for size in (12, 24)
        for seed in (0, 1)
    )
    figure = draw_measures(table, shown)
    assert len(figure.axes) == 3 * len(shown.panels)
    for axes in figure.axes:
        low, high = axes.get_ylim()
        for line in axes.lines:
            values = np.asarray(line.get_ydata(), dtype=float)
            assert np.all(np.isnan(values) | ((values >= low) & (values <= high)))
    assert set(columns) <= set(measures_shown(table, shown))


def test_a_panel_without_values_is_left_out() -> None:
    shown = FIGURES["membership"]
    columns = ["generator", "dataset", "size", *(name for panel in shown.panels for name in panel.columns)]
    table = pd.DataFrame({"generator": "gan", "dataset": "set", "size": [8, 16], "auc": [0.9, 0.6]})
    assert len(draw_measures(table.reindex(columns=columns), shown).axes) == 1


def test_even_quantiles_hold_the_closest_the_median_and_the_farthest() -> None:
    assert at_even_quantiles(np.array([5.0, 1.0, 4.0, 2.0, 3.0]), 3).tolist() == [1, 4, 0]
