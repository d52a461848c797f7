"""What a story consists of: answers that stages wrote, figures that rules drew, and their numbers as tables.

Nothing is measured, fitted or drawn here.
"""

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import jinja2
from markupsafe import Markup

from workflow_scripts.report.study import Study
from workflow_scripts.report.tables import Table, from_frame

CAPTIONS = Path(__file__).parents[3] / "report"
MOST_ROWS = 3000  # of a table in the page; the file has all
PIXELS = 4 / 3  # a point of an SVG, in CSS pixels
SVG = "{http://www.w3.org/2000/svg}"
# How lines of an answer begin that have a place of their own in a story.
PLACES = {"Measured ": "measured", "How sure: ": "sure", "To do: ": "following"}


@dataclass(frozen=True)
class Figure:
    """A figure as a rule drew it. label: where a reader chooses among several; source: a data URI; alternative: what it
    shows, for those who do not see it; width: of the drawing, px; table: the numbers that it shows."""

    label: str
    caption: Markup
    source: str
    alternative: str
    width: float
    table: Table


@dataclass(frozen=True)
class Choice:
    """Figures of which one is shown at a time. name: what is chosen, for the control's label."""

    name: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Part:
    """A part of a story: text, figures and tables under a heading; folded: shown only when asked for."""

    title: str
    text: tuple[Markup, ...] = ()
    choices: tuple[Choice, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: bool = True


@dataclass(frozen=True)
class Answer:
    """The lines of answers by their place in a story. short: the answer in plain words, the first line of each file."""

    short: tuple[Markup, ...]
    details: tuple[Markup, ...]
    measured: tuple[Markup, ...]
    sure: tuple[Markup, ...]
    following: tuple[Markup, ...]


@dataclass(frozen=True)
class Story:
    """One question of the study. name: of its section; picture: the figures that show the answer."""

    name: str
    question: str
    idea: str
    answer: Answer
    picture: tuple[Choice, ...]
    measured: tuple[str, ...]
    more: tuple[Part, ...] = ()


def read_answer(study: Study, leading: Sequence[str], others: Sequence[str] = ()) -> Answer:
    """The answer that stages wrote to files below `results`, of which the first line of each of `leading` is short.

    Of the other lines, those that begin with a word of PLACES go where it says, and the rest are details.
    """
    files = [study.answer(path) for path in leading]
    lines = [line for file in files for line in file[1:]] + [line for path in others for line in study.answer(path)]
    places: dict[str, list[str]] = {"short": [file[0] for file in files], "details": []}
    places |= {place: [] for place in PLACES.values()}
    for line in lines:
        beginning = next((beginning for beginning in PLACES if line.startswith(beginning)), "")
        if beginning.endswith(": "):
            line = line.removeprefix(beginning)
            line = line[0].upper() + line[1:]
        places[PLACES.get(beginning, "details")].append(line)
    return Answer(**{place: tuple(map(marked, texts)) for place, texts in places.items()})


def figure(study: Study, path: str, name: str, label: str = "", **wildcards: str) -> Figure:
    """The figure `path` below `results/figures`, without its suffix. name: of its caption, filled with `wildcards`."""
    file = study.folder / "figures" / f"{path}.svg"
    content = file.read_bytes()
    root = ElementTree.fromstring(content)
    return Figure(
        label=label,
        caption=caption(name, **wildcards),
        source=f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}",
        alternative=root.findtext(f"{SVG}title", ""),
        width=float(root.attrib["width"].removesuffix("pt")) * PIXELS,
        table=csv_table(study, f"figures/{path}.csv", "The numbers of this figure"),
    )


def csv_table(study: Study, path: str, title: str) -> Table:
    """A table that a rule wrote, all columns; the caption names the file."""
    frame = study.csv(path)
    more = f"; the first {MOST_ROWS:,} of {len(frame):,} rows" if len(frame) > MOST_ROWS else ""
    headings = {name: name.replace("_", " ") for name in frame.columns}
    return from_frame(f"{title} (results/{path}{more})", frame.head(MOST_ROWS), headings)


def caption(name: str, **wildcards: str) -> Markup:
    """A figure's caption in `report/`, which Snakemake's own report shows as well, as HTML."""
    text = (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8")
    job = SimpleNamespace(wildcards=SimpleNamespace(**wildcards))
    return marked(jinja2.Template(text).render(snakemake=job))


def marked(text: str) -> Markup:
    """Text with ** for strong and `` or ` for code, as HTML."""
    safe = html.escape(" ".join(text.split()), quote=False)
    safe = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", safe)
    return Markup(re.sub(r"`+(.+?)`+", r"<code>\1</code>", safe))


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
