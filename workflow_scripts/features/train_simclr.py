"""Train the SimCLR encoder of one data set. Rule: train_simclr."""

import shutil
from typing import Any

import torch

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_json, read_npy, write_rows
from workflow_scripts.core.job import run
from workflow_scripts.features.presets import simclr_settings
from workflow_scripts.features.simclr import save_encoder, train_encoder
from workflow_scripts.training.checkpoints import Checkpoints

SEED = 0


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    space = snakemake.params.space
    settings = simclr_settings(space["preset"], space["overrides"])
    digest = read_json(snakemake.input.manifest)["sha256"]
    checkpoints = Checkpoints.of_job(snakemake, device, space=space, images=digest)
    images = torch.from_numpy(read_npy(snakemake.input.images, mmap=False)).to(device)
    encoder, curve = train_encoder(images, settings, SEED, checkpoints)
    save_encoder(snakemake.output.weights, snakemake.output.network, encoder)
    write_rows(snakemake.output.curve, ["images", "loss"], curve)
    shutil.rmtree(snakemake.params.checkpoints)


run(main, snakemake)
