"""Take a trained network of the user's own as a teacher. Rule: take_teacher."""

from typing import Any

import torch

from workflow_scripts.classifiers.networks import save_classifier, trained_classifier
from workflow_scripts.core.files import read_npy
from workflow_scripts.core.job import run
from workflow_scripts.data.image_set import open_image_set


def main(snakemake: Any) -> None:
    files, checkpoint = snakemake.input, snakemake.params.checkpoint
    image_set = open_image_set(files.images, files.labels, files.manifest)
    classes, (_, resolution, _, channels) = image_set.manifest["classes"], image_set.images.shape
    network = trained_classifier(
        checkpoint["architecture"], files.given, checkpoint["augmentation"], resolution, channels, len(classes)
    )
    if checkpoint["normalisation"] == "training":
        network.normalise_by(torch.from_numpy(image_set.images[read_npy(files.training)]))
    save_classifier(snakemake.output.weights, snakemake.output.network, network, classes=classes)


run(main, snakemake)
