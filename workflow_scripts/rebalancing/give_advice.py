"""Say whether to rebalance a data set with a generator, in a few lines and as JSON. Rule: give_advice."""

from dataclasses import replace
from typing import Any

import numpy as np

from workflow_scripts.core.files import read_column, read_csv, read_json, write_json, write_text
from workflow_scripts.core.job import run
from workflow_scripts.rebalancing.advice import advise, copied_share, measured_gain
from workflow_scripts.rebalancing.gain_law import GainPoints, fit_gain_law


def main(snakemake: Any) -> None:
    files, name = snakemake.input, snakemake.wildcards.dataset
    similarity = read_json(files.similarity)
    law = measured = None
    counts = np.bincount(read_column(files.labels, "label"), minlength=len(similarity["classes"]))
    classes, value = similarity["classes"], similarity["overall"][similarity["measure"]]
    matrix = np.array(similarity["matrix"], dtype=float)
    group = f"{name}/all"
    if files.points:
        points = read_csv(files.points)
        points = points[points["arm"] == read_json(files.law)["leading"]]
        law = fit_gain_law(GainPoints.of(points))
        improvements = read_csv(files.improvements)
        if group in set(improvements["group"]):
            measured = measured_gain(improvements, read_csv(files.over_baselines), group)
            generator, choice = measured.arm.split(".", 1)
            quality = read_csv(files.quality[snakemake.params.generators.index(generator)])
            quality = quality[quality["choice"] == choice]
            measured = replace(measured, synthetic=int(quality["synthetic"].sum()), copies=copied_share(quality))
            about = read_json(files.counts[0])
            counts, classes = np.array(about["counts"]), about["classes"]
    found = advise(value["value"], (value["low"], value["high"]), law, measured, counts, classes, matrix)
    write_json(snakemake.output.advice, {"dataset": name, **found.summary})
    write_text(snakemake.output.answer, "\n".join(f"- {line}" for line in found.lines) + "\n")


run(main, snakemake)
