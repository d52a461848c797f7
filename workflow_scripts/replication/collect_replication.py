"""Collect all measurements of the study into one table. Rule: collect_replication."""

from typing import Any

import pandas as pd

from workflow_scripts.files import read_json, write_csv
from workflow_scripts.job import run
from workflow_scripts.replication.tables import study_rows


def main(snakemake: Any) -> None:
    rows: list[dict] = []
    parts = zip(snakemake.params.runs, snakemake.input.measured, snakemake.input.complexity, strict=True)
    for about, measured, complexity in parts:
        rows += study_rows(about, read_json(measured), read_json(complexity))
    write_csv(snakemake.output.table, pd.DataFrame(rows))


run(main, snakemake)
