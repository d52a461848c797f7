"""Train one generator on one subset. Rule: train_generator."""

import shutil
from typing import Any

import numpy as np
import torch
from torch import nn

from workflow_scripts.core.devices import devices_of_job
from workflow_scripts.core.files import read_json, read_npy, write_npy, write_rows
from workflow_scripts.core.job import run
from workflow_scripts.data.image_set import open_image_set
from workflow_scripts.generators.families import save_generator
from workflow_scripts.generators.presets import SNAPSHOT_SAMPLES, settings_for
from workflow_scripts.generators.runs import TrainingRun, train_run
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.weights import save_weights


def main(snakemake: Any) -> None:
    devices = devices_of_job(snakemake)
    seed = int(snakemake.wildcards.seed)
    size = int(snakemake.wildcards.get("size", 0)) or None  # without a size the whole order is the subset
    chosen = snakemake.params.generator
    settings = settings_for(**chosen)
    image_set = open_image_set(snakemake.input.images, snakemake.input.labels, snakemake.input.manifest)
    indices = np.sort(read_npy(snakemake.input.order)[:size])
    labels = image_set.labels[indices].astype(np.int64)
    snapshot_samples = snakemake.params.get("snapshot_samples", SNAPSHOT_SAMPLES)
    classes = len(image_set.manifest["classes"]) if getattr(settings, "conditional", False) else 0

    training = TrainingRun(
        settings=settings,
        images=np.ascontiguousarray(image_set.images[indices]),
        labels=labels,
        classes=classes,
        seed=seed,
        checkpoints=Checkpoints.of_job(
            snakemake,
            devices[0],
            generator=chosen,
            seed=seed,
            images=read_json(snakemake.input.manifest)["sha256"],
            subset=indices.tolist(),
            snapshot_samples=snapshot_samples,
        ),
        snapshot_samples=snapshot_samples,
        graphs=snakemake.config["training"]["cuda_graphs"],
    )
    model, record = train_run(training, devices)

    save_generator(
        snakemake.output.weights,
        snakemake.output.network,
        chosen["family"],
        model,
        classes_trained=np.bincount(labels, minlength=classes).tolist() if classes else None,
        images_seen=settings.steps * settings.batch,
        images_at_best=record.images_at_best,
        evaluations=record.evaluations,
        snapshot_images=record.snapshot_images,
    )
    if path := snakemake.output.get("discriminator"):  # an empty file where a family has none
        save_weights(path, model.networks.get("discriminator", nn.Module()))
    write_rows(snakemake.output.curve, ["images", *model.loss_names], record.curve)
    write_npy(snakemake.output.snapshots, torch.stack(record.snapshots).numpy())
    shutil.rmtree(snakemake.params.checkpoints)


if __name__ == "__main__":  # processes that train together import this file
    run(main, snakemake)
