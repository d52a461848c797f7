"""Fit the laws of the study and draw those at its first space and threshold. Rule: fit_decay."""

from typing import Any

from workflow_scripts.core.figures import save_figure
from workflow_scripts.core.files import write_csv, write_json
from workflow_scripts.core.job import run
from workflow_scripts.laws import drawing
from workflow_scripts.laws.study import fit_study, read_table


def main(snakemake: Any) -> None:
    study = fit_study(read_table(snakemake.input.table), snakemake.params.wanted_percentage)
    write_csv(snakemake.output.fits, study.fits)
    write_json(snakemake.output.laws, study.summary)
    leading = study.summary["leading"]
    threshold = f"space {leading['space']}, threshold {leading['threshold']}"
    for axis in ("size", "dimension"):
        laws = study.leading.get(axis, {})
        if laws:
            figure, description = drawing.draw_laws(laws, threshold), drawing.describe_laws(laws)
        else:
            description = "The intrinsic dimension of the training sets was not measured."
            figure = drawing.draw_nothing(description)
        save_figure(figure, snakemake.output[axis], drawing.law_table(laws), description)


run(main, snakemake)
