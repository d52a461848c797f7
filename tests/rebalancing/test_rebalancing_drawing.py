"""Figures of rebalancing: what they show, what they must not, and that they are drawn without a warning."""

import io
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from workflow_scripts.rebalancing.drawing import draw_counts, draw_gain_law, draw_improvements
from workflow_scripts.rebalancing.gain_law import GainPoints, fit_gain_law
from workflow_scripts.rebalancing.gains import improvements
from workflow_scripts.similarity.drawing import _readable, draw_class_similarity


def rendered(figure: Figure) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(file, format="png", dpi=60)
    return file.getvalue()


def words(figure: Figure) -> str:
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    return " ".join([*texts, *(text.get_text() for legend in figure.legends for text in legend.get_texts())])


def points(gain) -> GainPoints:
    random = np.random.default_rng(1)
    similarity = np.linspace(0.05, 0.35, 9)
    gains = gain(similarity) + 0.3 * random.standard_normal(9)
    return GainPoints(similarity, np.full(9, 0.006), gains, np.full(9, 0.4), ("fashion-mnist",) * 5 + ("sprites",) * 4)


def runs() -> pd.DataFrame:
    random = np.random.default_rng(0)
    parts = [("accuracy", ""), ("balanced_accuracy", ""), ("macro_f1", "")]
    parts += [("group_recall", name) for name in ("head", "middle", "tail")]
    arms = {"original": 0, "generator, random": 2, "generator, classifier": 4, "class weights": 3, "repetition": 1}
    rows = [
        ("set", arm, seed, *part, 60 + gain * (2 if part[1] == "tail" else 1) + random.normal())
        for arm, gain in arms.items()
        for seed in range(4)
        for part in parts
    ]
    return pd.DataFrame(rows, columns=["group", "arm", "seed", "measure", "part", "value"])


AUGMENTED = ["generator, random", "generator, classifier"]


def test_the_law_is_drawn_only_where_it_is_identified() -> None:
    shown = draw_gain_law(fit_gain_law(points(lambda s: 20 * np.exp(-8 * s))))
    assert "q = " in words(shown)
    assert "law p exp(−q S)" in words(shown)
    assert any(len(line.get_xdata()) > 20 for line in shown.axes[0].lines)
    hidden = draw_gain_law(fit_gain_law(points(lambda s: 3.0 + 0 * s)))
    assert "not identified" in words(hidden)
    assert not any(len(line.get_xdata()) > 20 for line in hidden.axes[0].lines)
    assert rendered(shown) != rendered(hidden)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_points_are_drawn_with_the_reason(count: int) -> None:
    figure = draw_gain_law(fit_gain_law(points(lambda s: 20 * np.exp(-8 * s)).only(np.arange(count))))
    assert f"measured on {count} data sets" in words(figure)
    rendered(figure)


def test_a_panel_for_each_measure_and_a_row_for_each_arm() -> None:
    figure = draw_improvements(improvements(runs()), AUGMENTED)
    assert [axes.get_xlabel() for axes in figure.axes][-1] == "recall, tail"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][:2] == AUGMENTED
    assert len(figure.axes) == 6
    rendered(figure)


def test_one_seed_is_a_hollow_dot() -> None:
    table = runs()
    figure = draw_improvements(improvements(table[table["seed"] == 0]), AUGMENTED)
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert len(dots) == 4
    assert all(line.get_markerfacecolor() == "white" for line in dots)
    rendered(figure)


def test_counts_add_up_and_missing_images_are_marked() -> None:
    real, synthetic = np.array([20, 500, 90]), np.array([480, 0, 300])
    figure = draw_counts(["owl", "ant", "bee"], real, synthetic, 500 - real)
    ends = [bar.get_x() + bar.get_width() for bar in figure.axes[0].patches]
    assert max(ends) == 500
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["ant", "bee", "owl"]
    assert words(figure).startswith("110 missing")
    assert "missing" not in words(draw_counts(["a", "b"], np.array([5, 2]), np.array([0, 3]), np.array([0, 3])))
    rendered(figure)


def test_the_heat_map_is_in_the_given_order_with_lines_between_super_classes() -> None:
    matrix = np.arange(9.0).reshape(3, 3)
    matrix[0, 0] = np.nan
    figure = draw_class_similarity(matrix, ["a", "b", "c"], [2, 0, 1], ["bird", "bird", "fish"])
    (axes, _) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["c", "a", "b"]
    np.testing.assert_array_equal(axes.images[0].get_array().filled(-1)[0], [8, 6, 7])
    assert [text.get_text() for text in axes.texts][-2:] == ["fish", "bird"]
    assert len(axes.lines) == 2
    assert len(axes.texts) == 8 + 2  # no number in the unknown cell
    rendered(figure)


def test_text_on_every_colour_has_the_contrast_that_wcag_asks_for() -> None:
    for colour in matplotlib.colormaps["viridis"](np.linspace(0, 1, 64)):
        channels = np.where(colour[:3] <= 0.04045, colour[:3] / 12.92, ((colour[:3] + 0.055) / 1.055) ** 2.4)
        luminance = float(channels @ [0.2126, 0.7152, 0.0722])
        ratio = (luminance + 0.05) / 0.05 if _readable(colour) == "black" else 1.05 / (luminance + 0.05)
        assert ratio >= 4.5
