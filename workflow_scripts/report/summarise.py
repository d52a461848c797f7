"""Write the headline numbers of the study as Markdown: what was measured, what it means. Rule: summarise."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workflow_scripts.core.files import read_csv, read_json, write_text
from workflow_scripts.core.job import run
from workflow_scripts.report import headlines


def answers(title: str, paths: Iterable[str]) -> list[str]:
    """The answers that other rules have written as Markdown lists, under one title."""
    texts = [Path(path).read_text(encoding="utf-8").strip() for path in paths]
    return [f"### {title}", "", *texts, ""] if texts else []


def main(snakemake: Any) -> None:
    files = snakemake.input
    lines = ["## Copycat: headline numbers", ""]
    if files.table:
        for one in headlines.copies(read_csv(files.table), read_json(files.laws)):
            title = f"### {one.generator} on {one.dataset}"
            lines += [title, "", one.sentence, "", one.table.markdown(), "", one.law, ""]
    lines += answers("Smallest safe training set", files.one_shot)
    lines += answers("Rebalance with synthetic images?", files.advice)
    lines += answers("What goes with the teachers' augmentation", [files.trends] if files.trends else [])
    lines += answers("Whom to distil from", files.diagnosis)
    table = headlines.published(read_csv(files.published), read_csv(files.leave_one_out))
    lines += [f"### {table.caption}", "", headlines.PUBLISHED, "", table.markdown()]
    write_text(snakemake.output[0], "\n".join(lines) + "\n")


run(main, snakemake)
