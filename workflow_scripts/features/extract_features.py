"""Compute the features of an image set, of a part of it, or of samples in one space.

Rules: extract_features, extract_feature_shard, extract_sample_features, extract_snapshot_features.
"""

from typing import Any

import numpy as np
from torch import nn

from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_npy, write_npy
from workflow_scripts.core.job import run
from workflow_scripts.data.resolution import shrink
from workflow_scripts.data.subsets import shard_of
from workflow_scripts.features.encoders import BATCH, build_encoder, encode, join


def main(snakemake: Any) -> None:
    space = snakemake.params.space
    if space["kind"] == "joint":
        parts = zip(snakemake.input.references, snakemake.input.parts, strict=True)
        write_npy(snakemake.output[0], join([(read_npy(reference), read_npy(part)) for reference, part in parts]))
        return
    if shards := snakemake.input.get("shards"):
        write_npy(snakemake.output[0], np.concatenate([part for path in shards if len(part := read_npy(path))]))
        return
    images = read_npy(snakemake.input.images)
    images = images.reshape(-1, *images.shape[-3:])  # of snapshots all moments, one after the other
    if snakemake.wildcards.get("shard"):
        # Whole batches: what a network makes of an image may differ in the last bit between batches of other sizes.
        images = images[shard_of(len(images), int(snakemake.wildcards.shard), snakemake.params.shards, BATCH)]
    if space["kind"] == "pixel":
        write_npy(snakemake.output[0], shrink(images, space["resolution"]))
        return
    device = device_of_job(snakemake)
    encoder: nn.Module
    if space["kind"] == "simclr":
        from workflow_scripts.features.simclr import load_encoder

        encoder = load_encoder(snakemake.input.weights, snakemake.input.network, device)
    else:
        encoder = build_encoder(space, device)
    write_npy(snakemake.output[0], encode(encoder, images, device))


run(main, snakemake)
