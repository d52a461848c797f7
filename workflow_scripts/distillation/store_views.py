"""Store a teacher's logits on a few random views of every training image. Rule: store_views."""

from typing import Any

import numpy as np
import torch

from workflow_scripts.classifiers.augmentation import draw_view
from workflow_scripts.classifiers.networks import load_classifier
from workflow_scripts.classifiers.training import predict
from workflow_scripts.device import prepare_torch
from workflow_scripts.files import read_npy, write_npy
from workflow_scripts.job import run
from workflow_scripts.training import step_seed


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    teacher = load_classifier(snakemake.input.weights, snakemake.input.network, device)
    images = read_npy(snakemake.input.images)[read_npy(snakemake.input.training)]
    settings, found = teacher.settings, []
    for number in range(snakemake.params.views):
        torch.manual_seed(step_seed(int(snakemake.wildcards.seed), number))
        view = draw_view(settings.augmentation, len(images), settings.smallest_crop, device)
        found.append(predict(teacher, images, view).numpy())
    write_npy(snakemake.output[0], np.stack(found))


run(main, snakemake)
