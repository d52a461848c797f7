"""The plotting style: files that repeat byte for byte, and colours and markers that are always the same."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from workflow_scripts.core import figures, svg


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
        figures.save_figure(draw(), tmp_path / f"{name}.svg", pd.DataFrame({"size": [1.5]}), "Three points.")
    for kind in ("svg", "png", "csv"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert (tmp_path / "a.csv").read_text() == "size\n1.5\n"
    assert len(list(tmp_path.iterdir())) == 6


def test_an_svg_says_what_it_shows_and_what_is_written_in_it_stays_text(tmp_path: Path) -> None:
    figure = draw()
    figure.axes[0].set_title("<script>alert(1)</script>")
    figures.save_figure(figure, tmp_path / "a.svg", pd.DataFrame(), "Points < 5 & <b>markup</b>.")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert root.get("role") == "img"
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "Points < 5 & <b>markup</b>."
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_stands_out_on_a_dark_page_as_it_does_on_a_light_one(channels: tuple[int, int, int]) -> None:
    colour = "#{:02x}{:02x}{:02x}".format(*channels)
    on_light = svg.contrast(colour, svg.PAPER)
    assert svg.contrast(svg.on_dark(colour), svg.DARK_PAPER) >= 0.95 * min(on_light, svg.CONTRAST)


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
    point = np.array([1.0])
    figures.points_with_bars(axes, point, point, point, point, figures.GENERATORS["biggan"], hollow=True)
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
