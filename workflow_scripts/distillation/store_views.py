"""Store a teacher's logits on a few random views of every training image. Rule: store_views."""

from typing import Any

from workflow_scripts.classifiers.networks import load_classifier
from workflow_scripts.device import prepare_torch
from workflow_scripts.distillation.targets import look_at_views
from workflow_scripts.files import read_npy, write_npy
from workflow_scripts.job import run


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    teacher = load_classifier(snakemake.input.weights, snakemake.input.network, device)
    images = read_npy(snakemake.input.images)[read_npy(snakemake.input.training)]
    seed = int(snakemake.wildcards.seed)
    write_npy(snakemake.output[0], look_at_views(teacher, images, snakemake.params.views, seed))


run(main, snakemake)
