"""Draw a conditional generator's images of the classes that lack some. Rule: draw_candidates."""

from typing import Any

import numpy as np
import torch

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_json
from workflow_scripts.core.job import run
from workflow_scripts.data.image_set import ImageSet, write_generated_set
from workflow_scripts.generators.families import load_generator
from workflow_scripts.training.order import SAMPLES, step_seed


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    wildcards, counts = snakemake.wildcards, read_json(snakemake.input.counts)
    model = load_generator(snakemake.input.weights, snakemake.input.network, device)
    if not model.shape.classes:
        raise InputError(
            f"generators.{wildcards.generator}: it knows no classes; set `conditional: true` in its overrides, and "
            "give a data set with classes"
        )
    within = np.repeat(np.arange(len(counts["classes"])), counts["candidates"])
    labels = torch.tensor(counts["labels"], device=device)[torch.from_numpy(within).to(device)]
    images = model.sample(len(labels), labels, step_seed(int(wildcards.seed), SAMPLES)).cpu().numpy()
    manifest = {"name": f"{wildcards.dataset}-candidates", "source": wildcards.generator, "classes": counts["classes"]}
    output = snakemake.output
    write_generated_set(output.images, output.labels, output.manifest, ImageSet(images, within, manifest))


run(main, snakemake)
