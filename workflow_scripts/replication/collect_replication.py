"""Collect all measurements of the study into one table. Rule: collect_replication."""

from typing import Any

import pandas as pd

from workflow_scripts.core.files import read_json, write_csv
from workflow_scripts.core.job import run
from workflow_scripts.replication.tables import study_rows


def main(snakemake: Any) -> None:
    rows: list[dict] = []
    files = snakemake.input
    for about, *parts in zip(snakemake.params.runs, files.measured, files.quality, files.complexity, strict=True):
        rows += study_rows(about, *map(read_json, parts))
    write_csv(snakemake.output.table, pd.DataFrame(rows))


run(main, snakemake)
