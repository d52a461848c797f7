"""Draw measures of the study's table against the size of the training set, in one space. Rules: plot_quality, ..."""

from typing import Any

from workflow_scripts.core import figures
from workflow_scripts.core.files import read_csv
from workflow_scripts.core.job import run
from workflow_scripts.replication.drawing import FIGURES, KEYS, draw_measures, measures_shown


def main(snakemake: Any) -> None:
    table = read_csv(snakemake.input[0])
    shown = FIGURES[snakemake.params.figure]
    by_run = table[table["space"] == snakemake.wildcards.space].drop_duplicates(KEYS)
    numbers = measures_shown(by_run, shown)
    figures.save_figure(draw_measures(by_run, shown), snakemake.output.svg, numbers, shown.description)


run(main, snakemake)
