"""Draw what a group of classes gained, and how many images they had before and after. Rule: plot_rebalancing."""

from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.figures import save_figure
from workflow_scripts.core.files import read_csv, read_json
from workflow_scripts.core.job import run
from workflow_scripts.rebalancing.drawing import draw_counts, draw_improvements


def main(snakemake: Any) -> None:
    wildcards, output = snakemake.wildcards, snakemake.output
    gains = read_csv(snakemake.input.improvements)
    gains = gains[gains["group"] == f"{wildcards.dataset}/{wildcards.group}"].fillna({"part": ""})
    augmented = [arm for arm in snakemake.params.arms if arm not in snakemake.params.baselines]
    figure = draw_improvements(gains, augmented, f"{wildcards.dataset}, {wildcards.group}")
    description = (
        f"Gains in accuracy over the original set on {wildcards.dataset}, {wildcards.group}, with 95 % intervals: "
        "a row for each remedy, a column for each measure."
    )
    save_figure(figure, output.gains, gains, description)
    counts, chosen = read_json(snakemake.input.counts), read_csv(snakemake.input.report)
    real, wanted = np.array(counts["counts"]), np.array(counts["wanted"])
    figure = draw_counts(counts["classes"], real, chosen["found"].to_numpy(), wanted)
    table = pd.DataFrame(
        {"class": counts["classes"], "real": real, "synthetic": chosen["found"].to_numpy(), "wanted": wanted}
    )
    description = f"Real and synthetic training images of each of {len(real)} classes, the largest class first."
    save_figure(figure, output.counts, table, description)


run(main, snakemake)
