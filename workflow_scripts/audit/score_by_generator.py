"""Ask a diffusion model itself who was in its training set: denoising losses of images. Rule: score_by_generator."""

from typing import Any

import numpy as np
import pandas as pd
import torch

from workflow_scripts.audit.search import scored_images
from workflow_scripts.audit.split import size_of, split_of
from workflow_scripts.core.devices import device_of_job, in_batches
from workflow_scripts.core.files import read_column, read_npy, write_parquet
from workflow_scripts.core.job import run
from workflow_scripts.core.progress import tracked
from workflow_scripts.generators.diffusion import Diffusion
from workflow_scripts.generators.families import load_generator
from workflow_scripts.generators.model import from_uint8

BATCH = 256


def main(snakemake: Any) -> None:
    files, params = snakemake.input, snakemake.params
    members, held_out = split_of(files, size_of(params.split))
    device = device_of_job(snakemake)
    model = load_generator(files.weights, files.network, device)
    assert isinstance(model, Diffusion)
    images, labels = read_npy(files.images), read_column(files.labels, "label")
    scored = scored_images(members, held_out, params.seed, False)

    def losses(rows: slice) -> np.ndarray:
        part = scored[rows]
        known = torch.from_numpy(labels[part].astype(np.int64)).to(device)
        return model.losses(from_uint8(torch.from_numpy(images[part]).to(device)), known).cpu().numpy()

    parts = [*tracked(in_batches(losses, len(scored), BATCH), len(scored), "images", "denoising")]
    write_parquet(snakemake.output[0], pd.DataFrame({"image": scored, "loss": np.concatenate(parts)}))


run(main, snakemake)
