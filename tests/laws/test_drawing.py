"""Figures of the laws: what is drawn, and what must not be."""

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.laws.decay import Axis, DecayFit, Pair, Points, fit_pairs
from workflow_scripts.laws.drawing import draw_laws, law_table
from workflow_scripts.laws.drawing_published import draw_quality
from workflow_scripts.laws.posterior import CURVES

SIZES = np.repeat([8.0, 16.0, 32.0, 64.0, 128.0], 2)
AXIS = Axis("ln_size", float(np.log(SIZES).mean()), 1.0)


def points(percentage: np.ndarray | float, background: float = 0.0) -> Points:
    share = background + (1 - background) * np.broadcast_to(percentage, SIZES.shape) / 100
    replicas = np.random.default_rng(0).binomial(1024, share).astype(float)
    return Points(SIZES, np.full(10, np.nan), replicas, np.full(10, 1024.0), np.full(10, background))


LAW = np.exp(2.2 - AXIS.standardise(SIZES))


def laws(pairs: dict[Pair, Points]) -> dict[Pair, list[DecayFit]]:
    by_curve = [fit_pairs(pairs, AXIS, curve) for curve in CURVES]
    return {pair: [fits[pair] for fits in by_curve] for pair in pairs}


def solid_lines(pairs: dict[Pair, Points]) -> list[np.ndarray]:
    figure = draw_laws(laws(pairs), "threshold")
    upper = figure.axes[0]
    return [
        np.asarray(line.get_ydata())
        for line in upper.lines
        if line.get_linestyle() == "-" and len(line.get_xdata()) > 20
    ]


def test_a_law_is_drawn_where_it_is_identified_and_nowhere_else() -> None:
    assert len(solid_lines({("biggan", "set"): points(LAW)})) == 1
    pairs = {("biggan", "set"): points(LAW), ("stylegan2", "set"): points(20.0)}
    assert len(solid_lines(pairs)) == 1
    kinds = law_table(laws(pairs)).groupby("generator")["kind"].unique()
    assert {name: set(part) for name, part in kinds.items()} == {
        "biggan": {"measured", "law"},
        "stylegan2": {"measured"},
    }


def test_the_drawn_law_contains_the_background() -> None:
    steep = np.minimum(np.exp(1.5 - 2.5 * AXIS.standardise(SIZES)), 95.0)
    (line,) = solid_lines({("biggan", "set"): points(steep, background=0.05)})
    assert line[-1] == pytest.approx(5.0, abs=0.5)
    assert np.all(np.diff(line) < 1e-9)


def test_each_data_set_has_its_column_and_its_reason() -> None:
    pairs = {("biggan", "one"): points(LAW), ("biggan", "two"): points(0.0)}
    figure = draw_laws(laws(pairs), "threshold")
    assert len(figure.axes) == 4
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any("no law, no sample counts" in text for text in texts)


def test_quality_has_a_panel_for_each_measure_and_data_set() -> None:
    figure = draw_quality(pd.read_csv("resources/published/feng2021_quality.csv"))
    assert len(figure.axes) == 6
