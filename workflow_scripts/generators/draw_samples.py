"""Draw a trained generator's samples. Rule: draw_samples."""

from typing import Any

import numpy as np
import torch

from workflow_scripts.device import prepare_torch
from workflow_scripts.files import read_json, write_npy
from workflow_scripts.generators.families import load_generator
from workflow_scripts.job import run
from workflow_scripts.training import SAMPLES, step_seed


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    count, seed = snakemake.params.samples, int(snakemake.wildcards.seed)
    model = load_generator(snakemake.input.weights, snakemake.input.network, device)
    labels = np.full(count, -1)
    if model.shape.classes:
        # As often as in training, to the nearest image: samples then differ from the set in content, not in mixture.
        trained = np.array(read_json(snakemake.input.network)["classes_trained"])
        labels = np.repeat(np.arange(len(trained)), trained)[
            np.linspace(0, trained.sum() - 1, count).round().astype(int)
        ]
    given = torch.from_numpy(labels).to(device) if model.shape.classes else None
    images = model.sample(count, given, step_seed(seed, SAMPLES))
    write_npy(snakemake.output.images, images.cpu().numpy())
    write_npy(snakemake.output.labels, labels.astype(np.int32))


run(main, snakemake)
