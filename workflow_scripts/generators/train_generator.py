"""Train one generator on one subset. Rule: train_generator."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from workflow_scripts.data.image_set import open_image_set
from workflow_scripts.device import prepare_torch
from workflow_scripts.files import fingerprint, provenance, read_json, read_npy, write_csv, write_npy
from workflow_scripts.generators.families import build_model, save_generator
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.generators.presets import settings_for
from workflow_scripts.generators.training import INITIAL_WEIGHTS, Checkpoints, step_seed, train
from workflow_scripts.job import run


def main(snakemake: Any) -> None:
    device = prepare_torch(snakemake.threads)
    size, seed = int(snakemake.wildcards.size), int(snakemake.wildcards.seed)
    chosen = snakemake.params.generator
    settings = settings_for(**chosen)
    image_set = open_image_set(snakemake.input.images, snakemake.input.labels, snakemake.input.manifest)
    indices = read_npy(snakemake.input.order)[:size]
    images = torch.from_numpy(np.ascontiguousarray(image_set.images[np.sort(indices)])).to(device)
    labels = torch.from_numpy(image_set.labels[np.sort(indices)].astype(np.int64)).to(device)
    classes = len(image_set.manifest["classes"]) if getattr(settings, "conditional", False) else 0
    shape = ImageShape(images.shape[1], images.shape[3], classes)

    # All that the run depends on: a checkpoint is taken up only by the run that left it.
    run_id = fingerprint(
        {
            "generator": chosen,
            "seed": seed,
            "images": read_json(snakemake.input.manifest)["sha256"],
            "subset": indices.tolist(),
            "torch": torch.__version__,
            "device": device.type,
        }
    )
    torch.manual_seed(step_seed(seed, INITIAL_WEIGHTS))
    model = build_model(chosen["family"], settings, shape, device)
    checkpoints = Checkpoints(Path(snakemake.params.checkpoints) / run_id)
    record = train(model, images, labels, seed, checkpoints)

    save_generator(
        snakemake.output.weights,
        snakemake.output.network,
        chosen["family"],
        model,
        classes_trained=np.bincount(labels.cpu().numpy(), minlength=classes).tolist() if classes else None,
        images_seen=settings.steps * settings.batch,
        snapshot_images=record.snapshot_images,
        provenance=provenance(generator=chosen, size=size, seed=seed, run=run_id, device=device.type),
    )
    write_csv(snakemake.output.curve, pd.DataFrame(record.curve, columns=["images", *model.loss_names]))
    write_npy(snakemake.output.snapshots, torch.stack(record.snapshots).numpy())
    shutil.rmtree(snakemake.params.checkpoints)


run(main, snakemake)
