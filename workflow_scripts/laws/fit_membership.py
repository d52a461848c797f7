"""Fit the laws of membership and draw those of the study's first space, by distance. Rule: fit_membership."""

from typing import Any

import pandas as pd

from workflow_scripts.core.figures import save_figure
from workflow_scripts.core.files import plain, write_csv, write_json
from workflow_scripts.core.job import run
from workflow_scripts.laws import drawing
from workflow_scripts.laws.membership import answers, fit_membership, private_sizes, read_members


def main(snakemake: Any) -> None:
    table, wanted = read_members(snakemake.input.table), snakemake.params.wanted_percentage
    laws = fit_membership(table, wanted)
    sizes = private_sizes(table, laws)
    write_csv(snakemake.output.sizes, pd.DataFrame(sizes))
    summary = plain({**laws.summary, "fits": laws.fits.to_dict("records")}) if laws else {}
    write_json(snakemake.output.laws, summary | {"private_sizes": sizes, "answers": answers(sizes, wanted)})
    fits = laws.leading["size"] if laws else {}
    if fits:
        figure, description = drawing.draw_laws(fits, "by distance, at 1 % false alarms"), drawing.describe_laws(fits)
    else:
        description = f"No training images are told: {table['reason'].iloc[-1]}."
        figure = drawing.draw_nothing(description)
    save_figure(figure, snakemake.output.svg, drawing.law_table(fits), description)


run(main, snakemake)
