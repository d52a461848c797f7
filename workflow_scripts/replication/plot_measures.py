"""Draw measures of the study against the size of the training set, in one space."""

from typing import Any

from workflow_scripts.core import figures
from workflow_scripts.core.files import read_csv
from workflow_scripts.core.job import run
from workflow_scripts.replication.drawing import FIGURES, KEYS, draw_measures, measures_shown


def main(snakemake: Any) -> None:
    for name, shown in FIGURES.items():
        table = read_csv(snakemake.input.membership if name == "membership" else snakemake.input.table)
        keys = [key for key in KEYS if key in table]
        rows = table[table["space"] == snakemake.wildcards.space].drop_duplicates(keys)
        path = snakemake.output[name]
        figures.save_figure(draw_measures(rows, shown), path, measures_shown(rows, shown), shown.description)


run(main, snakemake)
