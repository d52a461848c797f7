"""Say whether to rebalance a data set with a generator, in a few lines and as JSON. Rule: give_advice."""

from dataclasses import replace
from typing import Any

import numpy as np

from workflow_scripts.core.files import read_column, read_csv, read_json, write_json, write_text
from workflow_scripts.core.job import run
from workflow_scripts.rebalancing.advice import advise, copied_share, measured_gain
from workflow_scripts.rebalancing.gain_law import predicted_gain


def main(snakemake: Any) -> None:
    files, name = snakemake.input, snakemake.wildcards.dataset
    similarity = read_json(files.similarity)
    classes, value = similarity["classes"], similarity["flat"][similarity["measure"]]
    counts = np.bincount(read_column(files.labels, "label"), minlength=len(classes))
    law = prediction = measured = None
    if files.law:
        laws, curves = read_json(files.law), read_csv(files.curves)
        law = laws["laws"][laws["leading"]]
        curve = curves[curves["arm"] == laws["leading"]]
        prediction = predicted_gain(curve, value["value"], (value["low"], value["high"]))
    if files.counts:
        seeds = [read_json(path) for path in files.counts]
        thirds = [dict(zip(seed["classes"], seed["thirds"], strict=True)) for seed in seeds]
        measured = measured_gain(
            read_csv(files.improvements), read_csv(files.over_baselines), f"{name}/all", len(laws["laws"]), thirds
        )
        generator, choice = measured.arm.split(".", 1)
        quality = read_csv(files.quality[snakemake.params.generators.index(generator)])
        quality = quality[quality["choice"] == choice]
        measured = replace(measured, synthetic=int(quality["synthetic"].sum()), copies=copied_share(quality))
        counts, classes = np.array(seeds[0]["counts"]), seeds[0]["classes"]
    matrix = np.array(similarity["matrix"], dtype=float)
    advice = advise((value["value"], value["low"], value["high"]), law, prediction, measured, counts, classes, matrix)
    write_json(snakemake.output.advice, {"dataset": name, **advice.summary})
    write_text(snakemake.output.answer, "\n".join(f"- {line}" for line in advice.lines) + "\n")


run(main, snakemake)
