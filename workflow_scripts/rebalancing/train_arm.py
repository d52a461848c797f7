"""Train the classifier of one arm: on the long-tailed set as it is, with a remedy, or with synthetic images.

Rule: train_arm.
"""

import hashlib
import shutil
from typing import Any

import numpy as np
import pandas as pd
import torch

from workflow_scripts.classifiers.networks import save_classifier
from workflow_scripts.classifiers.presets import classifier_settings
from workflow_scripts.classifiers.training import Remedy, build_classifier, train_classifier
from workflow_scripts.data.image_set import open_image_set
from workflow_scripts.device import prepare_torch
from workflow_scripts.files import fingerprint, read_json, read_npy, read_parquet, sha256, write_csv, write_npy
from workflow_scripts.job import run
from workflow_scripts.training import Checkpoints

REMEDIES: dict[str, Remedy] = {
    "class-weights": "class-weights",
    "repetition": "repetition",
    "balanced-softmax": "balanced-softmax",
}
COLUMNS = ["step", "loss", "training_accuracy", "accuracy"]


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    files, counts, params = snakemake.input, read_json(snakemake.input.counts), snakemake.params
    arm, seed = snakemake.wildcards.arm, int(snakemake.wildcards.seed)
    settings = classifier_settings(params.classifier["preset"], params.classifier["overrides"])
    image_set = open_image_set(files.images, files.labels, files.manifest)
    subset, test = read_npy(files.subset), read_npy(files.test)
    place = np.full(max(counts["labels"]) + 1, -1)
    place[counts["labels"]] = np.arange(len(counts["classes"]))
    images, labels = image_set.images[subset], place[image_set.labels[subset]]
    if files.get("synthetic"):
        images = np.concatenate([images, read_npy(files.synthetic)])
        labels = np.concatenate([labels, read_parquet(files.synthetic_labels)["label"].to_numpy()])

    run_id = fingerprint(
        {
            "classifier": params.classifier,
            "arm": arm,
            "seed": seed,
            "images": hashlib.sha256(images.tobytes()).hexdigest(),
            "labels": labels.tolist(),
            "initial": [sha256(path) for path in files.initial],
            "torch": torch.__version__,
            "device": device.type,
        }
    )
    training = torch.from_numpy(images).to(device), torch.from_numpy(labels.astype(np.int64)).to(device)
    held_out = image_set.images[test], place[image_set.labels[test]].astype(np.int64)
    validation = torch.from_numpy(held_out[0]).to(device), torch.from_numpy(held_out[1]).to(device)
    classifier = build_classifier(settings, training[0], len(counts["classes"]), seed, device)
    checkpoints = Checkpoints.of_job(snakemake, run_id)
    record = train_classifier(classifier, *training, seed, checkpoints, validation, REMEDIES.get(arm, "none"))
    save_classifier(snakemake.output.weights, snakemake.output.network, classifier, classes=counts["classes"])
    write_csv(snakemake.output.curve, pd.DataFrame(record.curve, columns=COLUMNS))
    write_npy(snakemake.output.predictions, torch.stack([validation[1].cpu(), *record.predictions]).numpy())
    shutil.rmtree(params.checkpoints)


run(main, snakemake)
