"""Figures of rebalancing: what they show, what they must not, and that they are drawn without a warning."""

import io
import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from workflow_scripts.core import figures
from workflow_scripts.rebalancing.drawing import draw_counts, draw_gain_law, draw_improvements
from workflow_scripts.rebalancing.gain_law import GainPoints, fit_gain_law
from workflow_scripts.rebalancing.gains import improvements


def rendered(figure: Figure) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(file, format="png", dpi=60)
    return file.getvalue()


def words(figure: Figure) -> str:
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    return " ".join([*texts, *(text.get_text() for legend in figure.legends for text in legend.get_texts())])


def draw_law(gain, count: int = 9) -> Figure:
    random = np.random.default_rng(1)
    similarity = np.linspace(0.05, 0.35, 9)
    gains = gain(similarity) + 0.3 * random.standard_normal(9)
    groups = [f"fashion-mnist/{i}" for i in range(5)] + [f"sprites/{i}" for i in range(4)]
    columns = {"similarity": similarity, "similarity_se": 0.006, "gain": gains, "gain_se": 0.4}
    points = pd.DataFrame({"group": groups, **columns, "gain_low": gains - 1, "gain_high": gains + 1})[:count]
    law = fit_gain_law(GainPoints.of(points))
    return draw_gain_law(points, law.curve(), law.summary())


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
    shown = draw_law(lambda s: 20 * np.exp(-8 * s))
    assert "q = " in words(shown)
    assert "law p exp(−q S)" in words(shown)
    assert any(len(line.get_xdata()) > 20 for line in shown.axes[0].lines)
    hidden = draw_law(lambda s: 30.0 * s)
    assert "opposite" in words(hidden)
    assert not any(len(line.get_xdata()) > 20 for line in hidden.axes[0].lines)
    assert rendered(shown) != rendered(hidden)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_points_are_drawn_with_the_reason(count: int) -> None:
    figure = draw_law(lambda s: 20 * np.exp(-8 * s), count)
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
    assert all(line.get_markerfacecolor() == figures.PAPER for line in dots)
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
