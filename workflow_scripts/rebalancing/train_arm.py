"""Train the classifiers of arms: on the long-tailed set as it is, with a remedy, or with synthetic images.

Rules: train_baselines, train_arm.
"""

import hashlib
import shutil
from typing import Any

import numpy as np
import torch

from workflow_scripts.classifiers.networks import save_classifier
from workflow_scripts.classifiers.presets import classifier_settings
from workflow_scripts.classifiers.training import Remedy, build_classifier, train_classifier
from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_column, read_json, read_npy, sha256, write_npy, write_rows
from workflow_scripts.core.job import run
from workflow_scripts.data.image_set import open_image_set
from workflow_scripts.training.checkpoints import Checkpoints

REMEDIES: dict[str, Remedy] = {
    "class-weights": "class-weights",
    "repetition": "repetition",
    "balanced-softmax": "balanced-softmax",
}
COLUMNS = ["step", "loss", "training_accuracy", "accuracy"]


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    files, counts, params = snakemake.input, read_json(snakemake.input.counts), snakemake.params
    output, seed = snakemake.output, int(snakemake.wildcards.seed)
    settings = classifier_settings(params.classifier["preset"], params.classifier["overrides"])
    image_set = open_image_set(files.images, files.labels, files.manifest)
    subset, test = read_npy(files.subset), read_npy(files.test)
    place = np.full(max(counts["labels"]) + 1, -1)
    place[counts["labels"]] = np.arange(len(counts["classes"]))
    images, labels = image_set.images[subset], place[image_set.labels[subset]]
    if files.get("synthetic"):
        images = np.concatenate([images, read_npy(files.synthetic)])
        labels = np.concatenate([labels, read_column(files.synthetic_labels, "label")])

    definition = {
        "classifier": params.classifier,
        "seed": seed,
        "images": hashlib.sha256(images.tobytes()).hexdigest(),
        "labels": labels.tolist(),
        "initial": [sha256(path) for path in files.initial],
    }
    training = torch.from_numpy(images).to(device), torch.from_numpy(labels.astype(np.int64)).to(device)
    held_out = image_set.images[test], place[image_set.labels[test]].astype(np.int64)
    validation = torch.from_numpy(held_out[0]).to(device), torch.from_numpy(held_out[1]).to(device)
    for i, arm in enumerate(params.arms):
        classifier = build_classifier(settings, training[0], len(counts["classes"]), seed, device)
        checkpoints = Checkpoints.of_job(snakemake, device, **definition, arm=arm)
        record = train_classifier(classifier, *training, seed, checkpoints, validation, REMEDIES.get(arm, "none"))
        save_classifier(output.weights[i], output.networks[i], classifier, classes=counts["classes"])
        write_rows(output.curves[i], COLUMNS, record.curve)
        write_npy(output.predictions[i], torch.stack([validation[1].cpu(), *record.predictions]).numpy())
    # Only now: a job that was stopped finds the arms that it had trained.
    shutil.rmtree(params.checkpoints)


run(main, snakemake)
