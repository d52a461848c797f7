"""What the site adds to Markdown: the README as home page, pages of the files that the docs link to, drawn formulas.

Nothing is fetched from a network, neither when the site is built nor when it is read.
"""

import io
import os
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<=\]\()([^)#\s:]+)")
FORMULA = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".smk": "python", ".yaml": "yaml", ".yml": "yaml"}
IN_NAVIGATION = {ROOT / "README.md": "index.md", **{ROOT / name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md")}}


def on_files(files: Files, config: Any) -> Files:
    """Add a page for every file of the repository outside `docs/` that a page links to."""
    waiting = [*IN_NAVIGATION, *(DOCS / page.src_uri for page in files.documentation_pages())]
    for source in waiting:  # it grows
        if not source.is_relative_to(DOCS):
            level = InclusionLevel.INCLUDED if source in IN_NAVIGATION else InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, _page_of(source), content=_text_of(source), inclusion=level))
        if source.suffix == ".md":
            targets = (_target(source, link[1]) for link in LINK.finditer(source.read_text(encoding="utf-8")))
            waiting += sorted({file for file in targets if file and not file.is_relative_to(DOCS)} - set(waiting))
    _SOURCES.update({_page_of(source): source for source in waiting})
    return files


_SOURCES: dict[str, Path] = {}  # of every page


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links from files of the repository to their pages, and draw the formulas."""
    source = _SOURCES[page.file.src_uri]
    here = Path(page.file.src_uri).parent

    def lead(link: re.Match[str]) -> str:
        target = _target(source, link[1])
        return os.path.relpath(_page_of(target), here) if target else link[1]

    return FORMULA.sub(lambda match: _drawn(match[1]), LINK.sub(lead, markdown) if source.suffix == ".md" else markdown)


def _target(source: Path, link: str) -> Path | None:
    """The file of the repository that a link of `source` leads to, if there is one."""
    path = Path(os.path.normpath(source.parent / link))
    return path if path.is_file() and path.is_relative_to(ROOT) else None


def _page_of(source: Path) -> str:
    """The page of a file, relative to the site."""
    if source.is_relative_to(DOCS):
        return source.relative_to(DOCS).as_posix()
    return (
        IN_NAVIGATION.get(source) or f"files/{source.relative_to(ROOT).as_posix().removesuffix('.md').lstrip('.')}.md"
    )


def _text_of(source: Path) -> str:
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".md":
        return text
    return f"# `{source.relative_to(ROOT)}`\n\n````{LANGUAGES.get(source.suffix, 'text')}\n{text}````\n"


def _drawn(tex: str) -> str:
    """Formulas, one a line, as SVG in the colour of the text; their source is what screen readers read."""
    return "\n".join(['<div class="formula">', *(f"<p>{_svg(line)}</p>" for line in tex.splitlines()), "</div>"])


def _svg(tex: str) -> str:
    with plt.rc_context({"mathtext.fontset": "stix", "svg.hashsalt": tex}):
        figure = plt.figure(figsize=(0.01, 0.01))
        figure.text(0, 0, f"${tex}$", fontsize=13)
        text = io.StringIO()
        metadata = {"Date": None, "Creator": None}
        figure.savefig(text, format="svg", bbox_inches="tight", pad_inches=0.02, transparent=True, metadata=metadata)
        plt.close(figure)
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text.getvalue(), flags=re.DOTALL)
    svg = " ".join(svg[svg.index("<svg") :].split())
    label = tex.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg", f'<svg class="formula" role="img" aria-label="{label}" fill="currentColor"', 1)
