"""Draw measures of a table of the study against the size of the training set, in one space. Rules: plot_quality, ..."""

from typing import Any

from workflow_scripts.core import figures
from workflow_scripts.core.files import read_csv
from workflow_scripts.core.job import run
from workflow_scripts.replication.drawing import FIGURES, KEYS, draw_measures, measures_shown


def main(snakemake: Any) -> None:
    table = read_csv(snakemake.input[0])
    shown = FIGURES[snakemake.params.figure]
    keys = [key for key in KEYS if key in table]
    rows = table[table["space"] == snakemake.wildcards.space].drop_duplicates(keys)
    figures.save_figure(
        draw_measures(rows, shown), snakemake.output.svg, measures_shown(rows, shown), shown.description
    )


run(main, snakemake)
