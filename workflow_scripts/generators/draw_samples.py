"""Draw a trained generator's samples. Rule: draw_samples."""

from typing import Any

import numpy as np
import torch

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_json, write_npy
from workflow_scripts.core.job import run
from workflow_scripts.generators.evaluation import labels_as_in
from workflow_scripts.generators.families import load_generator
from workflow_scripts.training.order import SAMPLES, step_seed


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    count, seed = snakemake.params.samples, int(snakemake.wildcards.seed)
    model = load_generator(snakemake.input.weights, snakemake.input.network, device)
    labels = None
    if model.shape.classes:
        trained = torch.tensor(read_json(snakemake.input.network)["classes_trained"])
        labels = labels_as_in(torch.arange(len(trained)).repeat_interleave(trained), count).to(device)
    images = model.sample(count, labels, step_seed(seed, SAMPLES))
    write_npy(snakemake.output.images, images.cpu().numpy())
    write_npy(snakemake.output.labels, np.full(count, -1, np.int32) if labels is None else labels.int().cpu().numpy())


run(main, snakemake)
