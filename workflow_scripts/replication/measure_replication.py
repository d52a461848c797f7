"""Measure replication of one generator on one subset, with its controls, in every space. Rule: measure_replication."""

from typing import Any

from workflow_scripts.core.files import read_column, read_csv, read_parquet, write_csv, write_json
from workflow_scripts.core.job import run
from workflow_scripts.replication.measures import copies_over_training, measure


def main(snakemake: Any) -> None:
    files = snakemake.input
    labels, groups = (read_column(files.labels, column) for column in ("label", "group"))
    paths = zip(files.neighbours, files.controls, files.membership, strict=True)
    for tables, thresholds, path in zip(paths, snakemake.params.thresholds, snakemake.output.measured, strict=True):
        neighbours, controls, scored = map(read_parquet, tables)
        write_json(path, measure(neighbours, controls, scored, labels, thresholds, groups))
    snapshots, controls = read_parquet(files.snapshots), read_parquet(files.controls[0])
    copies = copies_over_training(
        read_csv(files.moments), snapshots, controls, snakemake.params.thresholds[0][0], groups
    )
    write_csv(snakemake.output.moments, copies)


run(main, snakemake)
