"""Estimate how the intrinsic dimension of a data set grows with the number of images. Rule: estimate_curve."""

from dataclasses import asdict
from typing import Any

from workflow_scripts.core.devices import prepare_torch
from workflow_scripts.core.files import read_npy, write_json
from workflow_scripts.core.job import run
from workflow_scripts.core.progress import progress
from workflow_scripts.data.resolution import shrink
from workflow_scripts.metrics.dimension import curve_sizes, estimate_dimension


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    settings, order = snakemake.params.settings, read_npy(snakemake.input.order)
    first, last = settings["neighbours"]
    sizes = curve_sizes(len(order), last, snakemake.params.sizes)
    images = shrink(read_npy(snakemake.input.images)[order[: sizes[-1]]], settings["resolution"])
    points = []
    with progress(len(sizes), "sizes", label="dimension") as bar:
        for size in sizes:
            found = estimate_dimension(images[:size], first, last, settings["bootstraps"], size, device)
            points.append({"size": size, **asdict(found)})
            bar.advance()
    write_json(snakemake.output[0], {"points": points})


run(main, snakemake)
