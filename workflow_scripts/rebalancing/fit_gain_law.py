"""Fit the law by which gains fall with class similarity, over all groups and data sets. Rule: fit_gain_law."""

from typing import Any

import pandas as pd

from workflow_scripts.core.figures import save_figure
from workflow_scripts.core.files import read_csv, read_json, write_csv, write_json
from workflow_scripts.core.job import run
from workflow_scripts.rebalancing.drawing import describe_gain_law, draw_gain_law, gain_law_table
from workflow_scripts.rebalancing.gain_law import GainPoints, fit_gain_law

MEASURE = "balanced_accuracy"


def gain_points(improvements: pd.DataFrame, groups: dict[str, dict[str, Any]], arm: str) -> pd.DataFrame:
    """A row for each group: its similarity and the gain of one arm over the original set, with standard errors.

    groups: by data set and group's name, as in the improvements. The gain's error is pooled over the groups: few seeds
    of one group tell it badly.
    """
    mine = improvements[(improvements["arm"] == arm) & (improvements["measure"] == MEASURE)]
    rows = [
        {
            "group": row["group"],
            "arm": arm,
            "similarity": groups[row["group"]]["value"],
            "similarity_se": groups[row["group"]]["se"],
            "gain": row["gain"],
            "gain_se": row["se"],
            "seeds": row["seeds"],
        }
        for row in mine.to_dict("records")
    ]
    return pd.DataFrame(rows)


def main(snakemake: Any) -> None:
    improvements = read_csv(snakemake.input.improvements)
    groups = {
        f"{dataset}/{name}": about
        for dataset, path in zip(snakemake.params.datasets, snakemake.input.groups, strict=True)
        for name, about in read_json(path)["groups"].items()
    }
    tables, laws = [], {}
    for arm in snakemake.params.arms:
        table = gain_points(improvements, groups, arm)
        laws[arm] = fit_gain_law(GainPoints.of(table))
        tables.append(table)
    write_csv(snakemake.output.points, pd.concat(tables))
    leading = snakemake.params.arms[-1]
    about = {"measure": MEASURE, "leading": leading, "laws": {arm: law.summary() for arm, law in laws.items()}}
    write_json(snakemake.output.law, about)
    law = laws[leading]
    save_figure(draw_gain_law(law), snakemake.output.svg, gain_law_table(law), describe_gain_law(law))


run(main, snakemake)
