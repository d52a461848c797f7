"""Estimate the smallest safe training set of one data set, and draw the estimate. Rule: estimate_one_shot."""

from typing import Any

from workflow_scripts.core.figures import save_figure
from workflow_scripts.core.files import read_json, write_json, write_text
from workflow_scripts.core.job import run
from workflow_scripts.laws.answer import answer, summarise
from workflow_scripts.laws.drawing_one_shot import draw_one_shot, one_shot_table
from workflow_scripts.laws.published import PUBLISHED, read_replication
from workflow_scripts.laws.study import read_table
from workflow_scripts.laws.trials import curve_of, estimate_pairs


def main(snakemake: Any) -> None:
    name, wanted = snakemake.wildcards.dataset, snakemake.params.wanted_percentage
    table = read_table(snakemake.input.table)
    leading = {key: table[key].iloc[0] for key in ("space", "threshold")}
    table = table[(table["space"] == leading["space"]) & (table["threshold"] == leading["threshold"])]
    points = read_json(snakemake.input.curve)["points"]
    curve = curve_of(points)
    estimates = estimate_pairs(table, name, curve, read_replication(PUBLISHED / "feng2021_replication.csv"), wanted)
    verdicts = read_json(snakemake.input.verdicts)["verdicts"]
    further = (read_json(snakemake.input[part])["answers"][name] for part in ("membership", "stopping"))
    lines = [*answer(estimates, name, wanted, verdicts), *(line for part in further for line in part)]
    head = {"dataset": name, **leading, "wanted_percentage": wanted, "answer": lines}
    write_json(snakemake.output.estimate, summarise(estimates, curve, points, head))
    write_text(snakemake.output.answer, "\n".join(f"- {line}" for line in lines) + "\n")
    figure = draw_one_shot(estimates, wanted, f"space {leading['space']}, threshold {leading['threshold']}")
    description = (
        f"Percentage of copies against the number of training images, measured and predicted, for "
        f"{', '.join(estimates)}, and the size at which {wanted:g} % are copies."
    )
    save_figure(figure, snakemake.output.svg, one_shot_table(estimates), description)


run(main, snakemake)
