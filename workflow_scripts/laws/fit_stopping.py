"""Find when generators begin to copy during training, and how that moves with the size. Rule: fit_stopping."""

from typing import Any

from workflow_scripts.core.figures import save_figure
from workflow_scripts.core.files import read_csv, write_csv, write_json
from workflow_scripts.core.job import run
from workflow_scripts.laws.drawing_stopping import describe_stopping, draw_stopping
from workflow_scripts.laws.stopping import read_trainings
from workflow_scripts.laws.stopping_answer import answers, onset_table, stop_all, summarise


def main(snakemake: Any) -> None:
    wanted = snakemake.params.wanted_percentage
    table = read_trainings([read_csv(path) for path in snakemake.input.moments], snakemake.params.runs)
    stops = stop_all(table, wanted)
    write_csv(snakemake.output.table, table)
    write_csv(snakemake.output.onsets, onset_table(stops))
    write_json(snakemake.output.laws, summarise(stops, wanted) | {"answers": answers(stops, wanted)})
    save_figure(draw_stopping(stops, wanted), snakemake.output.svg, table, describe_stopping(stops))


run(main, snakemake)
