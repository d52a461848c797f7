"""Keep what each network of one seed makes of the images: logits and attention, by split and view, and features.

Rules: look_with_teachers, look_with_students.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.classifiers.augmentation import View, apply_view, draw_view
from workflow_scripts.classifiers.networks import Classifier, load_classifier
from workflow_scripts.classifiers.presets import classifier_settings
from workflow_scripts.classifiers.training import to_float
from workflow_scripts.core.devices import prepare_torch
from workflow_scripts.core.files import read_npy, write_npy
from workflow_scripts.core.job import run
from workflow_scripts.core.progress import progress
from workflow_scripts.distillation.attention import class_activation, grad_cam, rollout_maps
from workflow_scripts.training.order import step_seed

BATCH = 512


def look(network: Classifier, images: Tensor, method: str) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, classes), raw attention map (B, h, w), mean features (B, D) of images, float (B, C, H, W) in 0..1."""
    with torch.no_grad():
        features = network.features(images)
        pooled = features.mean((2, 3))
        if method in ("class_sum", "predicted"):
            logits = network.head(pooled)
            chosen = logits.argmax(1) if method == "predicted" else None
            return logits, class_activation(features, network.head.weight, chosen), pooled
        logits = network(images)
        if method == "rollout":
            return logits, rollout_maps(network.attention(images), (features.shape[2], features.shape[3])), pooled
    return logits, grad_cam(network, network.last_layer, images), pooled


def look_at_all(
    network: Classifier, images: np.ndarray, method: str, view: View | None = None
) -> tuple[np.ndarray, ...]:
    """The same, float32, of images, uint8 (N, H, W, C), as they are or as a view shows them."""
    device, parts = network.mean.device, []
    for start in range(0, len(images), BATCH):
        batch = to_float(torch.from_numpy(images[start : start + BATCH]).to(device))
        if view is not None:
            batch = apply_view(batch, view.at(torch.arange(start, start + len(batch), device=device)))
        parts.append([part.float().cpu().numpy() for part in look(network, batch, method)])
    return tuple(np.concatenate(some) for some in zip(*parts, strict=True))


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    files, params = snakemake.input, snakemake.params
    images, student = read_npy(files.images), params.student
    validation, training = (np.ascontiguousarray(images[read_npy(path)]) for path in (files.validation, files.training))
    # One choice of crops for all: maps may only be compared on the same views.
    smallest_crop = classifier_settings(student["preset"], student["overrides"]).smallest_crop
    views = []
    for number, rung in enumerate(params.rungs):
        torch.manual_seed(step_seed(int(snakemake.wildcards.seed), number))
        views.append(draw_view(rung, len(validation), smallest_crop, device))
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
            write_npy(folder / "augmented_logits.npy", np.stack([one[0] for one in shown]))
            write_npy(folder / "augmented_attention.npy", np.stack([one[1] for one in shown]))
            bar.advance()


if __name__ == "__main__":
    run(main, snakemake)
