"""Collect the study: all measurements in one table, summaries over seeds, and verdicts. Rule: collect_replication."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from workflow_scripts.core.files import (
    read_column,
    read_csv,
    read_json,
    read_parquet,
    write_csv,
    write_json,
    write_text,
)
from workflow_scripts.core.job import run
from workflow_scripts.replication.leakage import sentences, without_leaks
from workflow_scripts.replication.membership import attack, membership_of_runs, membership_over_seeds
from workflow_scripts.replication.summary import copies_over_seeds
from workflow_scripts.replication.tables import study_rows
from workflow_scripts.replication.verdicts import RULE, answer, verdicts


def main(snakemake: Any) -> None:
    files, results, runs = snakemake.input, snakemake.output, snakemake.params.runs
    measured = [*map(read_json, files.measured)]
    parts = zip(
        runs,
        measured,
        *(map(read_json, part) for part in (files.quality, files.controls, files.complexity)),
        strict=True,
    )
    write_csv(results.table, pd.DataFrame([row for part in parts for row in study_rows(*part)]))
    copies = copies_over_seeds(runs, measured)
    write_csv(results.over_seeds, copies)
    held_out = snakemake.params.held_out
    pairs = dict(zip(held_out, map(read_csv, files.near_duplicates), strict=True))
    groups = {name: read_column(path, "group") for name, path in zip(held_out, files.labels, strict=True)}

    def scored(path: str, run: Mapping[str, Any]) -> pd.DataFrame:
        twins = pairs[run["dataset"]]
        table = without_leaks(read_parquet(path), twins[twins["seed"] == run["seed"]])
        return table.assign(group=groups[run["dataset"]][table["image"]])

    attacked = attack(runs, measured, [*map(scored, files.membership, runs)])
    write_csv(results.membership, membership_over_seeds(attacked))
    write_csv(results.membership_of_runs, membership_of_runs(attacked))
    judged = verdicts(runs, measured, copies)
    write_json(results.verdicts, {"rule": RULE, "verdicts": [*map(asdict, judged)]})
    spaces = list(dict.fromkeys(run["space"] for run in runs))
    write_text(results.answer, answer(judged) + sentences(pairs, held_out, spaces))


run(main, snakemake)
