"""Compute the features of an image set or of samples in one space. Rules: extract_features, extract_sample_features."""

from typing import Any

from torch import nn

from workflow_scripts.device import prepare_torch
from workflow_scripts.features.encoders import encode, join, torchvision_encoder
from workflow_scripts.files import read_npy, write_npy
from workflow_scripts.job import run


def main(snakemake: Any) -> None:
    space = snakemake.params.space
    if space["kind"] == "joint":
        parts = zip(snakemake.input.references, snakemake.input.parts, strict=True)
        write_npy(snakemake.output[0], join([(read_npy(reference), read_npy(part)) for reference, part in parts]))
        return
    [device] = prepare_torch(snakemake.threads)
    encoder: nn.Module
    if space["kind"] == "simclr":
        from workflow_scripts.features.simclr import load_encoder

        encoder = load_encoder(snakemake.input.weights, snakemake.input.network, device)
    else:
        encoder = torchvision_encoder(space["model"], space["weights"], space["sha256"], space["resolution"], device)
    write_npy(snakemake.output[0], encode(encoder, read_npy(snakemake.input.images), device))


run(main, snakemake)
