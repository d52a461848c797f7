"""Fit the law by which gains fall with class similarity, over all groups and data sets. Rule: fit_gain_law."""

from typing import Any

import pandas as pd

from workflow_scripts.core.figures import save_figure
from workflow_scripts.core.files import read_csv, read_json, write_csv, write_json
from workflow_scripts.core.job import run
from workflow_scripts.rebalancing.drawing import describe_gain_law, draw_gain_law, gain_law_table
from workflow_scripts.rebalancing.gain_law import GainPoints, fit_gain_law, gain_table
from workflow_scripts.rebalancing.gains import MEASURE


def main(snakemake: Any) -> None:
    improvements, output, arms = read_csv(snakemake.input.improvements), snakemake.output, snakemake.params.arms
    groups = {
        f"{dataset}/{name}": group
        for dataset, path in zip(snakemake.params.datasets, snakemake.input.groups, strict=True)
        for name, group in read_json(path)["groups"].items()
    }
    tables = {arm: gain_table(improvements, groups, arm) for arm in arms}
    laws = {arm: fit_gain_law(GainPoints.of(table)) for arm, table in tables.items()}
    curves = {arm: law.curve() for arm, law in laws.items()}
    write_csv(output.points, pd.concat(tables.values()))
    write_csv(output.curves, pd.concat(curve.assign(arm=arm) for arm, curve in curves.items()))
    summaries = {arm: law.summary() for arm, law in laws.items()}
    write_json(output.law, {"measure": MEASURE, "leading": arms[-1], "laws": summaries})
    points, curve, law = tables[arms[-1]], curves[arms[-1]], summaries[arms[-1]]
    save_figure(draw_gain_law(points, curve, law), output.svg, gain_law_table(points, curve), describe_gain_law(law))


run(main, snakemake)
