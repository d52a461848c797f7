"""The report: one HTML file that needs nothing else, from the folder of a study's results."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from workflow_scripts.core.words import duration
from workflow_scripts.report import pictures
from workflow_scripts.report.cost import Stage, rule_costs, stage_costs
from workflow_scripts.report.records import Record, machines, read_records, rule_graph
from workflow_scripts.report.stories import others, stories
from workflow_scripts.report.study import Study
from workflow_scripts.report.tables import Cell, Table, cell

PARTS = Path(__file__).parents[2] / "report"
COLUMNS = ("jobs", "run time", "processor time", "GPU time", "most memory, GB")


@dataclass(frozen=True)
class Arc:
    """A stage that reads what another one made: rows of both, from 0."""

    first: int
    last: int


def write_page(folder: str | os.PathLike[str], known: Sequence[Stage] = ()) -> str:
    """The report of the study whose results lie in `folder`, as HTML. known: the stages of the workflow, in order."""
    study = Study(folder)
    records = read_records(study.folder)
    rules = rule_costs(study.folder, records)
    gallery = pictures.gallery(study) if study.replicated else None
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            stories=stories(study),
            gallery_data=_script(vars(gallery)) if gallery else "",
            training=others.training(study) if study.replicated else None,
            published=others.published(study),
            datasets=sorted({*study.replicated, *study.similar, *study.distilled}),
            totals=_totals(rules, records),
            stage_table=_stage_table(stage_costs(rules, known)),
            rule_table=_rule_table(rules, rule_graph(records)),
            stages=[stage for stage in known if set(stage.rules) & {record.rule for record in records}],
            arcs=_arcs(records, known),
            config=study.config_text,
            versions=_versions(records),
            revisions=sorted({record.revision for record in records}),
            machines=machines(records),
            made=max((record.made for record in records), default="")[:10],
            artifacts=_artifacts(records),
            style=Markup((PARTS / "page.css").read_text(encoding="utf-8")),
            script=Markup((PARTS / "page.js").read_text(encoding="utf-8")),
        )
    )


def _script(value: Any) -> Markup:
    """JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c"))


def environment() -> jinja2.Environment:
    """Where the templates of pages are."""
    loader = jinja2.FileSystemLoader(PARTS)
    return jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )


def _totals(rules: pd.DataFrame, records: Sequence[Record]) -> list[tuple[str, str]]:
    """The costs of the whole study, as names and values."""
    hours, cpu, gpu = (float(rules[name].sum()) for name in ("hours", "cpu_hours", "gpu_hours"))
    memory = float(rules["memory_gb"].max()) if len(rules) else 0.0
    made = [
        ("jobs", f"{int(rules['jobs'].sum()):,}"),
        ("run time of all jobs", duration(3600 * hours)),
        ("processor time", duration(3600 * cpu)),
        ("GPU time", duration(3600 * gpu) if gpu else "none used"),
        ("most memory of a job", f"{memory:.1f} GB"),
        ("artifacts", f"{len(records):,}, {sum(record.size for record in records) / 1e9:.2f} GB"),
    ]
    return made if len(rules) else made[-1:]


def _cost_cells(row: Mapping[Any, Any]) -> tuple[Cell, ...]:
    times = (Cell(duration(3600 * row[name]), float(row[name])) for name in ("hours", "cpu_hours", "gpu_hours"))
    return cell(row["jobs"]), *times, cell(row["memory_gb"], ".2f")


def _stage_table(costs: pd.DataFrame) -> Table:
    rows = tuple((cell(row["stage"]), *_cost_cells(row)) for row in costs.to_dict("records"))
    return Table("Cost of each stage", ("stage", *COLUMNS), rows)


def _rule_table(rules: pd.DataFrame, graph: dict[str, list[str]]) -> Table:
    rows = tuple(
        (cell(row["rule"]), *_cost_cells(row), cell(", ".join(graph.get(row["rule"], [])) or "–"))
        for row in rules.to_dict("records")
    )
    header = ("rule", *COLUMNS, "reads what these rules made")
    return Table("Every rule: its cost, and from which rules its inputs come", header, rows)


def _arcs(records: Sequence[Record], known: Sequence[Stage]) -> list[Arc]:
    """Which stage reads from which, among those that ran."""
    ran = {record.rule for record in records}
    shown = [stage for stage in known if set(stage.rules) & ran]
    place = {rule: row for row, stage in enumerate(shown) for rule in stage.rules}
    pairs = {
        (place[other], place[rule])
        for rule, others in rule_graph(records).items()
        for other in others
        if rule in place and other in place and place[other] < place[rule]
    }
    return [Arc(*pair) for pair in sorted(pairs)]


def _versions(records: Iterable[Record]) -> dict[str, str]:
    """Versions of all packages that jobs used; several where jobs differed."""
    versions: dict[str, set[str]] = {}
    for record in records:
        for name, version in record.versions.items():
            versions.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(used)) for name, used in sorted(versions.items())}


def _artifacts(records: Sequence[Record]) -> Table:
    rows = tuple(
        (
            cell(record.path),
            cell(record.rule),
            cell(record.size),
            cell(record.sha256),
            cell(record.made.replace("+00:00", "Z")),
        )
        for record in records
    )
    header = ("artifact", "rule", "bytes", "SHA-256", "made")
    return Table("Every artifact below results/, with the digest that its job recorded", header, rows)
