"""Figures of the laws: what is drawn, and what must not be."""

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.laws.decay import Axis, Points, law
from workflow_scripts.laws.drawing import draw_laws, draw_quality
from workflow_scripts.laws.pairs import Pair, fit_pairs

SIZES = np.repeat([8.0, 16.0, 32.0, 64.0, 128.0], 2)
AXIS = Axis("ln_size", float(np.log(SIZES).mean()), 1.0)


def points(percentage: np.ndarray | float, background: float = 0.0) -> Points:
    share = background + (1 - background) * np.broadcast_to(percentage, SIZES.shape) / 100
    replicas = np.random.default_rng(0).binomial(1024, share).astype(float)
    return Points(SIZES, SIZES, replicas, np.full(10, 1024.0), np.full(10, background))


LAW = law(2.2, 1.0, AXIS.standardise(SIZES))


def solid_lines(pairs: dict[Pair, Points]) -> list[np.ndarray]:
    figure = draw_laws(fit_pairs(pairs, AXIS, "binomial"), "threshold")
    upper = figure.axes[0]
    return [
        np.asarray(line.get_ydata())
        for line in upper.lines
        if line.get_linestyle() == "-" and len(line.get_xdata()) > 20
    ]


def test_a_law_is_drawn_where_it_is_identified_and_nowhere_else() -> None:
    assert len(solid_lines({("biggan", "set"): points(LAW)})) == 1
    assert len(solid_lines({("biggan", "set"): points(LAW), ("stylegan2", "set"): points(20.0)})) == 1
    assert solid_lines({("biggan", "set"): points(20.0)}) == []


def test_the_drawn_law_contains_the_background() -> None:
    steep = law(1.5, 2.5, AXIS.standardise(SIZES))
    (line,) = solid_lines({("biggan", "set"): points(steep, background=0.05)})
    assert line[-1] == pytest.approx(5.0, abs=0.5)
    assert np.all(np.diff(line) < 1e-9)


def test_each_data_set_has_its_column_and_its_reason() -> None:
    pairs = {("biggan", "one"): points(LAW), ("biggan", "two"): points(0.0)}
    figure = draw_laws(fit_pairs(pairs, AXIS, "binomial"), "threshold")
    assert len(figure.axes) == 4
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any("no law, no sample counts" in text for text in texts)


def test_quality_has_a_panel_for_each_measure_and_data_set() -> None:
    figure = draw_quality(pd.read_csv("resources/published/feng2021_quality.csv"))
    assert len(figure.axes) == 6
