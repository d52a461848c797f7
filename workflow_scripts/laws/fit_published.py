"""Fit the published figures of Feng et al. (ICCV 2021) and draw them. Rule: fit_published."""

from typing import Any

from workflow_scripts.core.figures import save_figure
from workflow_scripts.core.files import read_csv, write_csv
from workflow_scripts.core.job import run
from workflow_scripts.laws.decay import DIMENSION_AXIS, fit_pairs
from workflow_scripts.laws.drawing import Reference, describe_laws, draw_laws, law_table
from workflow_scripts.laws.drawing_published import draw_left_out, draw_quality, left_out_table
from workflow_scripts.laws.published import (
    PUBLISHED,
    THRESHOLDS,
    bounded_fits,
    fit_tables,
    predict_left_out,
    published_pairs,
    read_replication,
    size_law_table,
    threshold_rms,
)


def main(snakemake: Any) -> None:
    table = read_replication(PUBLISHED / "feng2021_replication.csv")
    for name, rows in fit_tables(table).items():
        write_csv(snakemake.output[name], rows)
    write_csv(snakemake.output.size_laws, size_law_table(read_csv(PUBLISHED / "feng2021_intrinsic_dimension.csv")))

    threshold = THRESHOLDS[0]
    pairs = published_pairs(table, threshold, every_point=False)
    bounded = bounded_fits(pairs, threshold)
    fits = {pair: [fit] for pair, fit in fit_pairs(pairs, DIMENSION_AXIS).items()}
    published = Reference("least squares, as published", {pair: fit.percentage for pair, fit in bounded.items()})
    law = draw_laws(fits, f"within L2 {threshold} (RMS {threshold_rms(threshold):.4f})", published)
    save_figure(law, snakemake.output.law, law_table(fits, published), describe_laws(fits))
    shots = {pair: predict_left_out(pairs, bounded, pair) for pair in pairs}
    description = (
        "Published percentages of replicas, a panel for each generator and data set, beside those predicted from the "
        "other pairs and the smallest set."
    )
    left_out = draw_left_out(pairs, shots)
    save_figure(left_out, snakemake.output.left_out, left_out_table(pairs, shots), description)
    quality = read_csv(PUBLISHED / "feng2021_quality.csv")
    description = "Published Fréchet distances and human ratings against the size of the training set."
    save_figure(draw_quality(quality), snakemake.output.quality, quality, description)


run(main, snakemake)
