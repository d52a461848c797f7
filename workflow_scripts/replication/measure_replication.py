"""Measure replication of one generator on one subset, with its controls, in every space. Rule: measure_replication."""

from typing import Any

from workflow_scripts.core.files import read_column, read_parquet, write_json
from workflow_scripts.core.job import run
from workflow_scripts.replication.measures import measure


def main(snakemake: Any) -> None:
    files = snakemake.input
    labels = read_column(files.labels, "label")
    paths = zip(files.neighbours, files.controls, files.membership, strict=True)
    for tables, thresholds, path in zip(paths, snakemake.params.thresholds, snakemake.output, strict=True):
        neighbours, controls, scored = map(read_parquet, tables)
        write_json(path, measure(neighbours, controls, scored, labels, thresholds))


run(main, snakemake)
