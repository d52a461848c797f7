"""Keep what one network makes of the images: logits, attention and features. Rule: look_at_images."""

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
from workflow_scripts.job import run
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
    files, output = snakemake.input, snakemake.output
    network = load_classifier(files.weights, files.network, device)
    images, rows = read_npy(files.images), read_npy(files.validation)
    validation = np.ascontiguousarray(images[rows])
    write_npy(output.logits, predict(network, validation).numpy())
    write_npy(output.training_logits, predict(network, images[read_npy(files.training)]).numpy())
    augmented: list[np.ndarray] = []
    for rung in snakemake.params.rungs:  # every network is shown the same views
        torch.manual_seed(step_seed(int(snakemake.wildcards.seed), len(augmented)))
        view = draw_view(rung, len(validation), network.settings.smallest_crop, device)
        augmented.append(predict(network, validation, view).numpy())
    write_npy(output.augmented_logits, np.stack(augmented))
    method, parts = snakemake.params.attention, []
    for start in range(0, len(validation), BATCH):
        batch = to_float(torch.from_numpy(validation[start : start + BATCH]).to(device))
        parts.append(attention_of(network, batch, method))
    write_npy(output.attention, torch.cat([part[0] for part in parts]).float().cpu().numpy())
    write_npy(output.features, torch.cat([part[1] for part in parts]).float().cpu().numpy())


run(main, snakemake)
