"""Store a teacher's logits on a few random views of every training image, and these views. Rule: store_views."""

from dataclasses import fields
from typing import Any

import torch
from safetensors.torch import save_file

from workflow_scripts.classifiers.augmentation import View
from workflow_scripts.classifiers.networks import load_classifier
from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import atomic_path, read_npy, write_npy
from workflow_scripts.core.job import run
from workflow_scripts.distillation.targets import look_at_views, views_to_store


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    teacher = load_classifier(snakemake.input.weights, snakemake.input.network, device)
    images = read_npy(snakemake.input.images)[read_npy(snakemake.input.training)]
    seed = int(snakemake.wildcards.seed)
    write_npy(snakemake.output.logits, look_at_views(teacher, images, snakemake.params.views, seed))
    views = list(views_to_store(teacher, len(images), snakemake.params.views, seed))
    kept = {part.name: torch.stack([getattr(view, part.name) for view in views]).cpu() for part in fields(View)}
    with atomic_path(snakemake.output.views) as temporary:
        save_file(kept, temporary)


run(main, snakemake)
