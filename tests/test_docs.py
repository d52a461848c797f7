"""The site of the docs and the notebook: complete, readable without a network, and true to the code."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from nbclient import NotebookClient

from benchmarks import audits
from docs.results import PAGES, fill, read, unbacked
from tests.conftest import ROOT, not_here

# What a page loads by itself; links that a reader may follow are none of these.
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "use": "href"}


class Loaded(HTMLParser):
    """The addresses that a page loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in LOADING and values.get("rel") not in ("prev", "next", "canonical"):
            self.addresses.append(values.get(LOADING[tag]) or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site; a broken link, or a page that is not in the navigation, stops the build."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_no_page_loads_anything_from_a_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        addresses = Loaded(page).addresses
        assert addresses
        assert not [address for address in addresses if re.match(r"(https?:)?//", address)], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import\s*)[\"']?(https?:)?//", sheet.read_text()), sheet


@pytest.fixture(scope="module")
def chromium() -> str:
    return shutil.which("chromium") or not_here("browser", "there is no chromium")


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("index.html", "Will a generator copy my images?"),
        ("replication.html", 'class="formula"'),
        ("index.html?q=Wedderburn", "1 matching document"),  # the search, from the disk
    ],
)
def test_the_pages_show_in_a_browser(page: str, shown: str, site: Path, chromium: str) -> None:
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=8000")
    done = subprocess.run(
        [chromium, *options, "--dump-dom", f"{site.as_uri()}/{page}"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    assert shown in done.stdout


def test_formulas_are_pictures_with_a_text(site: Path) -> None:
    formulas = re.findall(r'<svg class="formula"[^>]*aria-label="([^"]*)"', (site / "laws.html").read_text())
    assert any("mathrm{rate}" in formula for formula in formulas)
    assert "language-math" not in (site / "laws.html").read_text()


def test_one_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", cited)
    released = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == cited


def test_the_workflow_of_github_is_that_of_any_machine() -> None:
    [workflow] = (ROOT / ".github/workflows").glob("*.yml")
    steps = yaml.safe_load(workflow.read_text())["jobs"]["ci"]["steps"]
    assert steps[-1] == {"run": ".ci/run"}


def test_the_notebook_draws_the_figures(smoke_run: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(ROOT / "notebooks/results.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in code)  # outputs are no part of the repository
    (tmp_path / "results").symlink_to(smoke_run / "results")
    (tmp_path / "notebooks").mkdir()
    NotebookClient(notebook, resources={"metadata": {"path": tmp_path / "notebooks"}}, timeout=120).execute()
    outputs = [[output.output_type for output in cell.outputs] for cell in code]
    assert outputs == [[], *[["display_data"]] * 5]  # the figures, and no warning


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_numbers_in_prose_are_those_of_the_results_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert fill(text, read()) == text  # else: make results
    assert list(unbacked(text)) == []


def test_a_number_that_no_result_backs_is_found() -> None:
    page = (
        "Copies fell to <!--r key-->3.6 %<!--/r--> of 1,024, by 12.5 % (3.1 to 20.4), a gain of +4.2; 95 % intervals."
    )
    assert list(unbacked(page)) == ["12.5 %", "(3.1 to 20.4)", "+4.2"]
    assert "<!--r key-->4.0 %<!--/r-->" in fill(page, {"key": "4.0 %"})


def test_the_table_of_audits_is_the_one_that_was_measured() -> None:
    page = audits.PAGE.read_text(encoding="utf-8")
    assert audits.fill(page, pd.read_csv(audits.TABLE)) == page  # else: python -m benchmarks.audits
