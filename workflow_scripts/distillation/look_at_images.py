"""Keep what each network of one seed makes of the images: logits and attention, by split and view, and features.

Rules: look_with_teachers, look_with_students.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from workflow_scripts.classifiers.augmentation import draw_view
from workflow_scripts.classifiers.networks import load_classifier
from workflow_scripts.classifiers.presets import classifier_settings
from workflow_scripts.core.devices import device_of_job
from workflow_scripts.core.files import read_npy, write_npy
from workflow_scripts.core.job import run
from workflow_scripts.core.progress import progress
from workflow_scripts.distillation.looking import look_at_all
from workflow_scripts.training.order import step_seed


def main(snakemake: Any) -> None:
    device = device_of_job(snakemake)
    files, params = snakemake.input, snakemake.params
    images, student = read_npy(files.images), params.student
    validation, training = (np.ascontiguousarray(images[read_npy(path)]) for path in (files.validation, files.training))
    # One choice of crops for all: maps may only be compared on the same views.
    smallest_crop = classifier_settings(student["preset"], student["overrides"]).smallest_crop
    views = []
    for number, rung in enumerate(params.rungs):
        torch.manual_seed(step_seed(int(snakemake.wildcards.seed), number))
        views.append(draw_view(rung, len(validation), smallest_crop))
    with progress(len(files.weights), "networks", label="looked") as bar:
        for weights, description in zip(files.weights, files.networks, strict=True):
            network, folder = load_classifier(weights, description, device), Path(weights).parent
            logits, attention, features = look_at_all(network, validation, params.attention)
            write_npy(folder / "logits.npy", logits)
            write_npy(folder / "attention.npy", attention)
            write_npy(folder / "features.npy", features)
            logits, attention, _ = look_at_all(network, training, params.attention)
            write_npy(folder / "training_logits.npy", logits)
            write_npy(folder / "training_attention.npy", attention)
            shown = [look_at_all(network, validation, params.attention, view) for view in views]
            write_npy(folder / "augmented_logits.npy", np.stack([logits for logits, _, _ in shown]))
            write_npy(folder / "augmented_attention.npy", np.stack([attention for _, attention, _ in shown]))
            bar.advance()


run(main, snakemake)
