"""Fit the published figures of Feng et al. (ICCV 2021) and draw them. Rule: fit_published."""

from dataclasses import replace
from typing import Any

from workflow_scripts.core.figures import save_figure
from workflow_scripts.core.files import read_csv, write_csv
from workflow_scripts.core.job import run
from workflow_scripts.laws import drawing
from workflow_scripts.laws.decay import DIMENSION_AXIS
from workflow_scripts.laws.pairs import fit_pairs
from workflow_scripts.laws.published import (
    THRESHOLDS,
    fit_as_published,
    fit_tables,
    predict_left_out,
    published_pairs,
    read_replication,
    size_law_table,
    threshold_rms,
)


def main(snakemake: Any) -> None:
    table = read_replication(snakemake.input.replication)
    for name, rows in fit_tables(table).items():
        write_csv(snakemake.output[name], rows)
    write_csv(snakemake.output.size_laws, size_law_table(read_csv(snakemake.input.dimension)))

    threshold = THRESHOLDS[0]
    pairs = published_pairs(table, threshold, every_point=False)
    bounded = {pair: fit_as_published(points) for pair, points in pairs.items()}
    fits = {
        pair: replace(fit, reason=f"the published fit ends on {bounded[pair].bound}") if bounded[pair].bound else fit
        for pair, fit in fit_pairs(pairs, DIMENSION_AXIS, "least_squares").items()
    }
    counts = fit_pairs(pairs, DIMENSION_AXIS, "binomial")
    likelihood = drawing.Reference(
        "law (maximum likelihood)", {pair: fit.percentage for pair, fit in counts.items() if fit.identified}
    )
    law = drawing.draw_laws(fits, f"within L2 {threshold} (RMS {threshold_rms(threshold):.4f})", likelihood)
    save_figure(law, snakemake.output.law, drawing.law_table(fits), drawing.describe_laws(fits))
    shots = {pair: predict_left_out(pairs, bounded, pair) for pair in pairs}
    left_out = drawing.draw_left_out(pairs, shots)
    description = (
        "Published percentages of replicas, a panel for each generator and data set, beside those predicted from the "
        "other pairs and the smallest set."
    )
    save_figure(left_out, snakemake.output.left_out, drawing.left_out_table(pairs, shots), description)
    published_quality = read_csv(snakemake.input.quality)
    description = "Published Fréchet distances and human ratings against the size of the training set."
    save_figure(drawing.draw_quality(published_quality), snakemake.output.quality, published_quality, description)


run(main, snakemake)
