"""The report in a browser, from the disk: what it shows is what was measured, and everyone can use it."""

import json
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from tests.conftest import not_here
from tests.report.browser import Browser
from tests.test_docs import Loaded
from workflow_scripts.core.figures import save_figure
from workflow_scripts.core.files import read_csv, write_csv
from workflow_scripts.report.page import write_page
from workflow_scripts.similarity.drawing import draw_class_similarity, similarity_table

OPEN_ALL = "document.querySelectorAll('details').forEach(details => { details.open = true; })"

# Contrast of every visible text with the ground that it stands on (WCAG 2.2), the least of each kind of text.
CONTRAST = """(() => {
  const channels = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const fill = channels(getComputedStyle(element).backgroundColor);
      if (fill.length === 3 || fill[3] > 0.99) return fill;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("script, style, noscript")) continue;
    const style = getComputedStyle(element);
    const colour = channels(element.closest("svg") ? style.fill : style.color);
    const [dark, light] = [luminance(colour), luminance(ground(element.closest("svg")?.parentElement ?? element))].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if ((light + 0.05) / (dark + 0.05) < (large ? 3 : 4.5)) poor.push(`${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 40)}`);
  }
  return poor;
})()"""  # noqa: E501


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or not_here("browser", "there is no chromium")
    running = Browser(program, tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture
def page(smoke_run: Path) -> Path:
    return smoke_run / "results/report.html"


def words(text: str) -> str:
    """Text with single spaces."""
    return " ".join(text.split())


def test_nothing_is_asked_for_and_nothing_goes_wrong(browser: Browser, page: Path) -> None:
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page)
    browser.run(OPEN_ALL)
    pictures = """Promise.all([...document.querySelectorAll("figure img")].map(async (picture) => {
      await picture.decode();
      return picture.naturalWidth > 100;
    }))"""
    loaded = browser.run(pictures)
    assert len(loaded) > 10
    assert all(loaded)
    assert browser.complaints == []
    assert {re.split(r"[:,]", address)[0] for address in browser.requests} == {"file", "data"}
    assert [address for address in browser.requests if address.startswith("file")] == [page.as_uri()]
    assert all(address.startswith("data:") for address in Loaded(page).addresses if address)
    assert page.stat().st_size < 5e6


def first_percentage(text: str) -> float:
    """The first percentage in a text."""
    match = re.search(r"([\d.]+) %", text)
    assert match, text
    return float(match[1])


def test_the_slider_shows_the_share_of_the_samples(browser: Browser, page: Path, smoke_run: Path) -> None:
    browser.open(page)
    chosen = browser.run("Object.fromEntries(new FormData(document.getElementById('gallery-controls')))")
    run = f"{chosen['space']}/{chosen['generator']}/{chosen['dataset']}/size-{chosen['size']}/seed-0"
    nearest = pd.read_parquet(smoke_run / f"results/neighbours/{run}.parquet").query("rank == 1")["distance"].to_numpy()
    controls = run.replace(f"{chosen['generator']}/", "")
    held_out = pd.read_parquet(smoke_run / f"results/controls/{controls}.parquet")
    held_out = held_out.query("kind == 'held_out' and rank == 1")["distance"].to_numpy()
    shown = """[document.getElementById("share").textContent, document.getElementById("chance").textContent,
      document.querySelectorAll(".pairs .copy").length,
      document.querySelectorAll('.pairs [aria-label$="a copy"]').length,
      [...document.querySelectorAll(".pairs span")].map((span) => span.textContent)]"""
    seen = set()
    for quantile in (0.0, 0.3, 0.8, 1.0):
        wanted = float(np.quantile(nearest, quantile))
        slider = 'document.getElementById("threshold")'
        browser.run(f"{slider}.value = {wanted}; {slider}.dispatchEvent(new Event('input'))")
        threshold = browser.run(f"Number({slider}.value)")
        share, chance, marked, told, distances = browser.run(shown)
        # JavaScript rounds halves up, Python to even.
        assert first_percentage(share) == pytest.approx(100 * np.mean(nearest <= threshold), abs=0.051)
        assert f" % of {len(nearest)} samples" in share
        assert first_percentage(chance) == pytest.approx(100 * np.mean(held_out <= threshold), abs=0.051)
        assert marked == told == sum(text.startswith("✕") for text in distances)
        # The pairs are even quantiles of all, so their share is the share of all but for rounding.
        assert abs(marked / len(distances) - np.mean(nearest <= threshold)) <= 1 / len(distances)
        seen.add(share)
    assert len(seen) >= 3

    table = pd.read_csv(smoke_run / "results/replication/table.csv").query(
        "space == @chosen['space'] and generator == @chosen['generator'] and dataset == @chosen['dataset']"
        " and size == @chosen['size'] and seed == 0",
        local_dict={"chosen": chosen | {"size": int(chosen["size"])}},
    )
    for place, row in enumerate(table.to_dict("records")):
        browser.run(f"document.querySelectorAll('.presets button')[{place}].click()")
        share = browser.run(shown)[0]
        low, high = (
            f"{row[key]:.1f} %" for key in ("counting_low", "counting_high")
        )  # the slider knows no other error
        assert first_percentage(share) == pytest.approx(row["percentage"], abs=0.051)
        assert f"(95 % interval {low} to {high})" in share

    browser.run("document.getElementById('threshold').focus()")
    before = browser.run("document.getElementById('threshold-value').textContent")
    browser.press("ArrowRight")
    assert browser.run("document.getElementById('threshold-value').textContent") > before


def test_tables_sort_by_mouse_and_by_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run("window.table = document.querySelector('#cost table')")
    column = """[...table.tBodies[0].rows].map((row) => Number(row.cells[2].dataset.key))"""
    order = "table.tHead.rows[0].cells[2].getAttribute('aria-sort')"
    before = browser.run(column)
    assert browser.run(order) == "none"
    browser.run("table.tHead.rows[0].cells[2].querySelector('button').click()")
    assert browser.run(column) == sorted(before) != before
    assert browser.run(order) == "ascending"
    browser.run("table.tHead.rows[0].cells[1].querySelector('button').focus()")
    browser.press("Tab")
    browser.press("Enter")
    assert browser.run(column) == sorted(before, reverse=True)
    assert browser.run(order) == "descending"
    browser.run("table.tHead.rows[0].cells[0].querySelector('button').click()")
    names = browser.run("[...table.tBodies[0].rows].map((row) => row.cells[0].textContent)")
    assert names == sorted(names)
    assert browser.run(order) == "none"

    browser.run("window.all = document.querySelector('#provenance .table')")
    browser.run(
        "const input = all.querySelector('input'); input.value = 'LAWS/'; input.dispatchEvent(new Event('input'))"
    )
    left = browser.run(
        "[...all.querySelectorAll('tbody tr')].filter((row) => !row.hidden).map((row) => row.textContent)"
    )
    assert left
    assert all("laws/" in path for path in left)


def test_whoever_cannot_see_it_is_told(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run(OPEN_ALL)
    lacking = browser.run("""[
      ...[...document.querySelectorAll("img")].filter((element) => element.alt.length < 20),
      ...[...document.querySelectorAll("[role=img]")].filter((element) => (element.ariaLabel || "").length < 20),
      ...[...document.querySelectorAll("figure")].filter((box) => !box.querySelector("figcaption").textContent.trim()),
      ...[...document.querySelectorAll("table")].filter((element) => !element.caption.textContent.trim()),
      ...[...document.querySelectorAll("select, input")].filter((element) => !element.labels.length),
      ...[...document.querySelectorAll("[role=region], [role=group]")].filter((element) => !element.ariaLabel),
    ].map((element) => element.outerHTML.slice(0, 200))""")
    assert lacking == []
    landmarks = browser.run("['header', 'nav', 'main', 'footer'].map((tag) => document.querySelectorAll(tag).length)")
    assert landmarks == [1, 1, 1, 1]
    levels = browser.run("[...document.querySelectorAll('h1, h2, h3, h4')].map((node) => Number(node.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    named = browser.run("[...document.querySelectorAll('nav a')].every((link) => document.querySelector(link.hash))")
    assert named


def test_the_focus_is_seen(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("document.activeElement.getBoundingClientRect().left >= 0")
    for _ in range(3):
        browser.press("Tab")
        outline = browser.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_stand_out(dark: bool, browser: Browser, page: Path) -> None:
    browser.open(page, dark=dark)
    browser.run(OPEN_ALL)
    assert browser.run(CONTRAST) == []


def test_figures_are_light_or_dark_as_the_page_is(browser: Browser, page: Path, tmp_path: Path) -> None:
    def ground_and_ink() -> tuple[int, int]:
        """Grey values of the first figure: the most frequent, and the farthest from it among axes and text."""
        picture = "document.querySelector('#replication img')"
        browser.run(f"{picture}.scrollIntoView({{block: 'start', behavior: 'instant'}})")
        left, top, right, bottom = browser.run(
            f"(({{left, top, right, bottom}}) => [left, top, right, bottom])({picture}.getBoundingClientRect())"
        )
        browser.screenshot(tmp_path / "window.png")
        seen = np.asarray(Image.open(tmp_path / "window.png").convert("L"))
        grey = seen[max(0, round(top)) : round(bottom), round(left) : round(right)]
        ground = int(np.bincount(grey.ravel()).argmax())
        return ground, int(grey.min() if ground > 127 else grey.max())

    browser.open(page, dark=False)
    light = ground_and_ink()
    browser.open(page, dark=True)
    dark = ground_and_ink()
    assert light[0] > 240 > 60 > light[1]
    assert dark[0] < 60 < 200 < dark[1]
    browser.run("document.getElementById('theme').click()")
    assert ground_and_ink() == light


def test_it_fits_a_phone(browser: Browser, page: Path) -> None:
    browser.open(page, width=360, height=780)
    browser.run(OPEN_ALL)
    assert browser.run("document.documentElement.scrollWidth") == 360
    wide = browser.run("""[...document.querySelectorAll("main *")].filter((element) =>
      element.getBoundingClientRect().right > 361 && !element.closest(".scroll, .drawn, pre"))
      .map((element) => element.outerHTML.slice(0, 120))""")
    assert wide == []


def test_the_text_has_the_numbers_of_the_study(browser: Browser, page: Path, smoke_run: Path) -> None:
    results = smoke_run / "results"
    browser.open(page)
    browser.run(OPEN_ALL)
    text = words(browser.run("document.querySelector('main').innerText"))
    text = text.casefold()
    files = [
        *(results / "one_shot").glob("*.md"),
        *(results / "advice").glob("*.md"),
        results / "distillation/trends.md",
    ]
    told = [line.removeprefix("- ") for path in files for line in path.read_text().splitlines()]
    told = [line.removeprefix("How sure: ").removeprefix("To do: ").replace("`", "") for line in told]
    assert len(told) > 8
    told.append(f"{pd.read_csv(results / 'replication/table.csv')['excess_percentage'][0]:.4g}")
    told += pd.read_csv(results / "published/fits.csv")["generator"].unique().tolist()
    record = json.loads((results / "provenance/data/fashion-mnist/images.npy.json").read_text())
    told += [record["sha256"], record["revision"], f"numpy {record['versions']['numpy']}"]
    told.append(words((results / "config.yaml").read_text().splitlines()[-1]))
    assert [caption for caption in told if words(caption).casefold() not in text] == []
    jobs = [path for path in (results / "benchmarks").rglob("*.tsv") if path.stem != "write_report"]
    assert f"jobs {len(jobs)} " in text


def partly(results: Path, folder: Path, **sections: Any) -> Path:
    """The same results as those of a study with other sections in its config."""
    folder.mkdir()
    for path in results.iterdir():
        if path.name != "config.yaml":
            (folder / path.name).symlink_to(path)
    config = yaml.safe_load((results / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | sections))
    return folder


NOTHING = {
    "replication": {"generators": [], "datasets": {}},
    "similarity": {"datasets": []},
    "rebalancing": {"datasets": []},
    "distillation": {"datasets": []},
}
SECTIONS = {"replication", "rebalancing", "distillation", "gallery", "training", "published", "cost", "provenance"}


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ([], set()),
        (["replication", "distillation"], {"replication", "distillation", "gallery", "training"}),
        (["similarity"], {"rebalancing"}),
    ],
    ids=["nothing", "two questions", "similarity alone"],
)
def test_what_was_not_asked_is_absent(asked: list[str], shown: set[str], smoke_run: Path, tmp_path: Path) -> None:
    left_out = {name: value for name, value in NOTHING.items() if name not in asked}
    text = write_page(partly(smoke_run / "results", tmp_path / "results", **left_out))
    sections = set(re.findall(r'<section id="(\w+)"', text))
    assert sections & SECTIONS == shown | {"published", "cost", "provenance"}
    links = set(re.findall(r'<a href="#(\w+)">', text))
    assert links <= sections | {"main"}
    assert "gains are paired" not in text


def test_names_are_text_and_nothing_else(browser: Browser, smoke_run: Path, tmp_path: Path) -> None:
    results, name = smoke_run / "results", "<img src=x onerror=alert(1)></script>"
    folder = partly(results, tmp_path / "results")
    (folder / "figures").unlink()
    shutil.copytree(results / "figures", folder / "figures")
    names = [name, "other"]
    figure = draw_class_similarity(np.eye(2), names, [0, 1])
    table = similarity_table(np.eye(2), names)
    save_figure(figure, folder / "figures/similarity/fashion-mnist.svg", table, f"Heat map of {name}.")
    (folder / "near_duplicates").unlink()
    twins = read_csv(results / "near_duplicates/fashion-mnist.csv").reindex([0]).fillna(0)
    write_csv(folder / "near_duplicates/fashion-mnist.csv", twins.assign(held_out_file=name, training_file=name))
    page = tmp_path / "report.html"
    page.write_text(write_page(folder))
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page)
    browser.run(OPEN_ALL)
    assert browser.run("document.querySelectorAll('img[src=x]').length") == 0
    assert browser.run(f"[...document.querySelectorAll('td')].some((cell) => cell.textContent === {json.dumps(name)})")
    assert browser.run("[...document.images].some((image) => image.alt.includes('<img src=x onerror'))")
    assert browser.run(f"[...document.querySelectorAll('th')].some((cell) => cell.textContent === {json.dumps(name)})")
    assert browser.complaints == []
    assert [address for address in browser.requests if address.startswith("file")] == [page.as_uri()]
