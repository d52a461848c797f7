"""Ask a model itself who was in its training set: losses of images. Rule: score_by_generator.

They are denoising losses, or what the discriminator says. Where they cannot be measured, the table has none.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workflow_scripts.audit.search import scored_images
from workflow_scripts.audit.split import size_of, split_of
from workflow_scripts.core.devices import device_of_job, in_batches
from workflow_scripts.core.files import read_column, read_npy, write_parquet
from workflow_scripts.core.job import run
from workflow_scripts.core.progress import tracked
from workflow_scripts.generators.families import load_generator
from workflow_scripts.generators.model import from_uint8
from workflow_scripts.generators.pipelines import PipelineLosses, open_pipeline
from workflow_scripts.generators.presets import SAMPLED_AT_ONCE

Losses = Callable[[Tensor, Tensor], Tensor]  # of images (B, C, H, W) in -1..1 and their classes (B,)


def main(snakemake: Any) -> None:
    files, params = snakemake.input, snakemake.params
    members, held_out = split_of(files, size_of(params.split))
    device = device_of_job(snakemake)
    pipeline = files.get("pipeline")
    losses_of, asked = of_pipeline(Path(pipeline), device) if pipeline else of_generator(files, device)
    images, labels = read_npy(files.images), read_column(files.labels, "label")
    scored = scored_images(members, held_out, params.seed, False)

    def losses(rows: slice) -> np.ndarray:
        part = scored[rows]
        known = torch.from_numpy(labels[part].astype(np.int64)).to(device)
        return losses_of(from_uint8(torch.from_numpy(images[part]).to(device)), known).cpu().numpy()

    parts = [*tracked(in_batches(losses, len(scored), SAMPLED_AT_ONCE), len(scored), "images", "asking")]
    table = pd.DataFrame({"image": scored, asked: np.concatenate(parts)})
    write_parquet(snakemake.output[0], table.dropna())


def of_generator(files: Any, device: torch.device) -> tuple[Losses, str]:
    """Those of a generator of the config, and what they are."""
    model = load_generator(files.weights, files.network, device, files.get("discriminator"))
    return model.losses, model.asked


def of_pipeline(folder: Path, device: torch.device) -> tuple[Losses, str]:
    """Those of a pipeline; none is known where its scheduler does not say how noise is added."""
    losses = PipelineLosses(open_pipeline(folder, device))
    if losses.known:
        return (lambda images, _: losses.losses(images)), losses.asked
    return (lambda images, _: torch.full((len(images),), torch.nan)), losses.asked


run(main, snakemake)
