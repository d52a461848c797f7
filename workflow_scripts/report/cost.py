"""What a study cost, by stage and rule, from its benchmarks and records: jobs, time, memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from workflow_scripts.report.records import Record


@dataclass(frozen=True)
class Stage:
    """A file of rules: its name, what it does, and its rules in order."""

    name: str
    purpose: str
    rules: Sequence[str]


def rule_costs(folder: Path, records: Sequence[Record]) -> pd.DataFrame:
    """A row for each rule that ran: rule, jobs, hours, cpu_hours, gpu_hours, memory_gb (largest), threads.

    folder: `results`, whose benchmarks are read. GPU hours are the run time of a rule's jobs times the GPUs that they
    computed on, as their records say.
    """
    rows = []
    for path in sorted((folder / "benchmarks").rglob("*.tsv")):
        table = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
        rule = path.relative_to(folder / "benchmarks").parts[0].removesuffix(".tsv")
        rows.append(
            {"rule": rule, "hours": table["s"].sum() / 3600, "cpu_hours": table["cpu_time"].sum() / 3600,
             "memory_gb": table["max_rss"].max() / 1024}
        )  # fmt: skip
    if not rows:
        return pd.DataFrame(columns=["rule", "jobs", "hours", "cpu_hours", "gpu_hours", "memory_gb"])
    costs = pd.DataFrame(rows).groupby("rule", sort=False)
    table = costs.agg({"hours": "sum", "cpu_hours": "sum", "memory_gb": "max"}).assign(jobs=costs.size()).reset_index()
    gpus: dict[str, list[int]] = {}
    for record in records:
        gpus.setdefault(record.rule, []).append(len(record.hardware.get("gpus", [])))
    share = [sum(gpus.get(rule, [0])) / max(len(gpus.get(rule, [0])), 1) for rule in table["rule"]]
    return table.assign(gpu_hours=table["hours"] * share)


def stage_costs(rules: pd.DataFrame, known: Sequence[Stage]) -> pd.DataFrame:
    """The same for each stage, in order; rules of no known stage together at the end."""
    place = {rule: stage.name for stage in known for rule in stage.rules}
    named = rules.assign(stage=[place.get(rule, "others") for rule in rules["rule"]])
    sums = dict.fromkeys(("jobs", "hours", "cpu_hours", "gpu_hours"), "sum") | {"memory_gb": "max"}
    table = named.groupby("stage", sort=False).agg(sums).reset_index()
    order = [stage.name for stage in known] + ["others"]
    return table.sort_values("stage", key=lambda column: column.map(order.index), kind="stable").reset_index(drop=True)
