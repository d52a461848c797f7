"""Train one student: from an ensemble of teachers, or alone. Rule: train_student."""

from typing import Any

import torch

from workflow_scripts.classifiers.networks import load_classifier
from workflow_scripts.classifiers.training import Target
from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_npy
from workflow_scripts.core.job import run
from workflow_scripts.distillation.runs import open_split, train_and_save
from workflow_scripts.distillation.targets import fresh_target, stored_target

SMOOTHING = 0.1


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    teaching, files = snakemake.params.teaching, snakemake.input
    ensemble, view = snakemake.wildcards.student.split(".")
    split = open_split(files, device)
    changes: dict[str, Any] = {"augmentation": view}
    loss: Target | None = None
    if ensemble == "smoothed":
        changes["label_smoothing"] = SMOOTHING
    elif ensemble != "alone":
        if teaching["protocol"] == "stored":
            stored = [torch.from_numpy(read_npy(path, mmap=False)) for path in files.stored]
            loss = stored_target(torch.stack(stored).to(device), teaching)
        else:
            networks = zip(files.weights, files.networks, strict=True)
            loss = fresh_target([load_classifier(*paths, device) for paths in networks], split.training[0], teaching)
    taught = files.get("stored") or files.get("weights") or []
    seed = int(snakemake.wildcards.seed)
    train_and_save(snakemake, split, snakemake.params.student, changes, seed, loss, [*taught], **teaching)


run(main, snakemake)
