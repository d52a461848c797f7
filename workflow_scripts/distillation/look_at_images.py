"""Keep what each network of one seed makes of the images: logits, attention and features.

Rules: look_with_teachers, look_with_students.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.classifiers.augmentation import draw_view
from workflow_scripts.classifiers.networks import Classifier, load_classifier
from workflow_scripts.classifiers.training import predict, to_float
from workflow_scripts.device import prepare_torch
from workflow_scripts.distillation.attention import class_activation, grad_cam, rollout_maps
from workflow_scripts.files import read_npy, write_npy
from workflow_scripts.job import progress, run
from workflow_scripts.training import step_seed

BATCH = 512


def attention_of(network: Classifier, images: Tensor, method: str) -> tuple[Tensor, Tensor]:
    """Raw attention map (B, h, w) and mean features (B, D) of images, float (B, C, H, W) in 0..1."""
    with torch.no_grad():
        features = network.features(images)
        pooled = features.mean((2, 3))
        chosen = network.head(pooled).argmax(1) if method != "class_sum" else None
        if method in ("class_sum", "predicted"):
            return class_activation(features, network.head.weight, chosen), pooled
        if method == "rollout":
            return rollout_maps(network.attention(images), (features.shape[2], features.shape[3])), pooled
    return grad_cam(network, network.last_layer, images, chosen), pooled


def main(snakemake: Any) -> None:
    [device] = prepare_torch(snakemake.threads)
    files, params = snakemake.input, snakemake.params
    images, rows = read_npy(files.images), read_npy(files.validation)
    validation, training = np.ascontiguousarray(images[rows]), images[read_npy(files.training)]
    with progress(len(files.weights), "networks", label="looked") as bar:
        for weights, description in zip(files.weights, files.networks, strict=True):
            network, folder = load_classifier(weights, description, device), Path(weights).parent
            write_npy(folder / "logits.npy", predict(network, validation).numpy())
            write_npy(folder / "training_logits.npy", predict(network, training).numpy())
            augmented: list[np.ndarray] = []
            for rung in params.rungs:  # every network is shown the same views
                torch.manual_seed(step_seed(int(snakemake.wildcards.seed), len(augmented)))
                view = draw_view(rung, len(validation), network.settings.smallest_crop, device)
                augmented.append(predict(network, validation, view).numpy())
            write_npy(folder / "augmented_logits.npy", np.stack(augmented))
            parts = []
            for start in range(0, len(validation), BATCH):
                batch = to_float(torch.from_numpy(validation[start : start + BATCH]).to(device))
                parts.append(attention_of(network, batch, params.attention))
            write_npy(folder / "attention.npy", torch.cat([part[0] for part in parts]).float().cpu().numpy())
            write_npy(folder / "features.npy", torch.cat([part[1] for part in parts]).float().cpu().numpy())
            bar.advance()


run(main, snakemake)
