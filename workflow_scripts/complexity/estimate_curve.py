"""Estimate how the intrinsic dimension of a data set grows with the number of images. Rule: estimate_curve."""

from dataclasses import asdict
from typing import Any

import numpy as np

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_npy, write_json
from workflow_scripts.core.job import run
from workflow_scripts.core.progress import progress
from workflow_scripts.data.resolution import shrink
from workflow_scripts.laws.size_law import fit_dimension_curve
from workflow_scripts.metrics.dimension import curve_sizes, estimate_dimension


def fitted_line(points: list[dict[str, Any]]) -> dict[str, list[float]]:
    """The line in ln size with its 95 % band, at sizes between the measured ones; empty below two sizes."""
    measured = ("size", "dimension", "low", "high")
    known = np.array([[point[key] for key in measured] for point in points if point["low"] is not None], float)
    if len(known) < 2:
        return {}
    curve = fit_dimension_curve(*known.T)
    size = np.geomspace(known[0, 0], known[-1, 0], 50)
    lines = curve.draws(1000, [0])
    band = np.quantile(lines[:, :1] + lines[:, 1:] * np.log(size), [0.025, 0.975], axis=0)
    values = (size, curve.dimension(size), *band)
    return {key: value.tolist() for key, value in zip(measured, values, strict=True)}


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    settings, order = snakemake.params.settings, read_npy(snakemake.input.order)
    first, last = settings["neighbours"]
    sizes = curve_sizes(len(order), last, snakemake.params.sizes)
    images = shrink(read_npy(snakemake.input.images)[order[: sizes[-1]]], settings["resolution"])
    points = []
    with progress(len(sizes), "sizes", label="dimension") as bar:
        for size in sizes:
            dimension = estimate_dimension(
                images[:size], first, last, settings["resamples"], size, device, settings["resampling"]
            )
            points.append({"size": size, **asdict(dimension)})
            bar.advance()
    write_json(snakemake.output[0], {"points": points, "line": fitted_line(points)})


run(main, snakemake)
