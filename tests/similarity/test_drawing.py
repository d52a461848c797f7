"""The heat map of class similarities: its order, its lines, and text that can be read on every colour."""

import io
import warnings

import matplotlib.colors
import numpy as np

from workflow_scripts.similarity.drawing import draw_class_similarity


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
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png", dpi=60)


def test_text_on_every_colour_has_the_contrast_that_wcag_asks_for() -> None:
    figure = draw_class_similarity(np.linspace(0, 1, 144).reshape(12, 12), [str(i) for i in range(12)], range(12))
    (image,) = figure.axes[0].images
    cells = [text for text in figure.axes[0].texts if text.get_text()]
    assert len(cells) == 144
    for text in cells:
        column, row = (int(place) for place in text.get_position())
        channels = np.array(image.cmap(image.norm(image.get_array()[row, column]))[:3])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        luminance = float(linear @ [0.2126, 0.7152, 0.0722])
        black = matplotlib.colors.to_rgb(text.get_color()) == (0, 0, 0)
        assert ((luminance + 0.05) / 0.05 if black else 1.05 / (luminance + 0.05)) >= 4.5
