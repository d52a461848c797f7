"""Draw the samples of a diffusers pipeline that was trained elsewhere. Rule: draw_pipeline_samples."""

from pathlib import Path
from typing import Any

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import write_npy
from workflow_scripts.core.job import run
from workflow_scripts.generators.pipelines import open_pipeline, sample_pipeline


def main(snakemake: Any) -> None:
    chosen = snakemake.params.samples
    pipeline = open_pipeline(Path(snakemake.input.pipeline), device_of_job(snakemake))
    write_npy(snakemake.output[0], sample_pipeline(pipeline, chosen["count"], chosen["steps"], chosen["seed"]))


run(main, snakemake)
