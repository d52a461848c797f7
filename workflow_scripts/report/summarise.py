"""Write the headline numbers of the study as Markdown: what was measured, what it means. Rule: summarise."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workflow_scripts.core.files import read_csv, write_text
from workflow_scripts.core.job import run
from workflow_scripts.report import headlines
from workflow_scripts.report.tables import Table


def answers(title: str, paths: Iterable[str]) -> list[str]:
    """The answers that other rules have written as Markdown lists, under one title."""
    texts = [Path(path).read_text(encoding="utf-8").strip() for path in paths]
    return [f"### {title}", "", *texts, ""] if texts else []


def shown(table: Table, text: str = "") -> list[str]:
    return [f"### {table.caption}", "", *([text, ""] if text else []), table.markdown(), ""]


def main(snakemake: Any) -> None:
    files = snakemake.input
    lines = ["## Copycat: headline numbers", ""]
    lines += answers("Will a generator copy these images?", files.one_shot)
    lines += answers("Which generators copy?", [files.verdicts] if files.verdicts else [])
    lines += answers("Will synthetic images help rare classes?", files.advice)
    lines += answers("What do teachers' augmentations do?", [files.trends] if files.trends else [])
    lines += answers("Whom to distil from", files.choice)
    if files.over_seeds:
        lines += shown(headlines.copies(read_csv(files.over_seeds)))
        lines += shown(headlines.membership(read_csv(files.membership)))
    published = headlines.published(read_csv(files.published), read_csv(files.leave_one_out))
    lines += shown(published, headlines.PUBLISHED)
    write_text(snakemake.output[0], "\n".join(lines))


run(main, snakemake)
