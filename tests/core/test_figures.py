"""The plotting style: files that repeat byte for byte, and colours and markers that are always the same."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from workflow_scripts.core import figures


def draw() -> Figure:
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    x = np.array([1.0, 10.0, 100.0])
    figures.points_with_bars(axes, x, x, x / 2, np.minimum(2 * x, 100), figures.GENERATORS["biggan"], "points")
    figures.percentage_axis(axes, 0.1, "samples (%)")
    figures.size_axis(axes, x, "images")
    figures.coloured_lines(axes, "title", [("one", "#000000"), ("two", "#ff0000")])
    return figure


def test_the_same_figure_is_the_same_bytes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for name in ("a", "b"):
        figures.save_figure(draw(), tmp_path / f"{name}.svg", tmp_path / f"{name}.png")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_family_keeps_its_colour_and_marker_in_any_company() -> None:
    alone = figures.generator_styles(["stylegan2"])["stylegan2"]
    among = figures.generator_styles(["mine", "biggan", "stylegan2", "another"])
    assert among["stylegan2"] == alone
    assert len({style.colour for style in among.values()}) == 4
    assert len({style.marker for style in among.values()}) == 4


@given(st.integers(1, 12))
def test_a_sequence_grows_lighter(count: int) -> None:
    shades = [sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in figures.sequence(count)]
    assert len(shades) == count
    assert shades[0] <= shades[-1]


def test_points_on_the_edge_are_not_cut_and_no_points_are_no_artists() -> None:
    axes = Figure().subplots()
    empty = np.array([])
    figures.points_with_bars(axes, empty, empty, empty, empty, figures.GENERATORS["biggan"])
    assert not axes.containers
    one = np.array([1.0])
    figures.points_with_bars(axes, one, one, one, one, figures.GENERATORS["biggan"], hollow=True)
    assert not axes.containers[0].lines[0].get_clip_on()


def test_ticks_stand_at_the_sizes_but_do_not_crowd() -> None:
    axes = Figure().subplots()
    figures.size_axis(axes, [8, 16, 32, 64], "images")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["8", "16", "32", "64"]
    figures.size_axis(axes, [1000, 1010, 8189], "images")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1,000", "8,189"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_mosaic_holds_every_image(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 200, (5, 4, 3, channels), dtype=np.uint8)
    sheet = figures.mosaic(images, columns=2)
    assert sheet.shape == (14, 7, channels)
    np.testing.assert_array_equal(sheet[5:9, 4:7], images[3])
    assert np.all(sheet[4] == 255)
    axes = Figure().subplots()
    figures.show_image(axes, sheet)
    assert len(axes.images) == 1
