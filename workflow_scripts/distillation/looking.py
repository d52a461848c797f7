"""What a network makes of images: logits, an attention map and features, in batches."""

from copy import deepcopy
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from workflow_scripts.classifiers.augmentation import View, apply_view
from workflow_scripts.classifiers.networks import Classifier
from workflow_scripts.classifiers.training import to_float
from workflow_scripts.core.devices import in_batches
from workflow_scripts.distillation.attention import class_activation, grad_cam, rollout_maps

BATCH = 512

Method = Literal["class_sum", "predicted", "grad_cam", "rollout"]


def look(network: Classifier, images: Tensor, method: Method) -> tuple[Tensor, Tensor, Tensor]:
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
    network: Classifier, images: np.ndarray, method: Method, view: View | None = None
) -> tuple[np.ndarray, ...]:
    """The same, float32, of images, uint8 (N, H, W, C), as they are or as a view shows them."""

    def show(rows: slice) -> list[np.ndarray]:
        batch = to_float(torch.from_numpy(images[rows]).to(network.mean.device))
        if view is not None:
            batch = apply_view(batch, view.at(torch.arange(rows.start, rows.stop)))
        return [part.float().cpu().numpy() for part in look(network, batch, method)]

    parts = in_batches(show, len(images), BATCH)
    return tuple(np.concatenate(kind) for kind in zip(*parts, strict=True))


def with_another_start(network: Classifier, seed: int) -> Classifier:
    """The network that the same training would have given had the sum of the head's class weights started elsewhere.

    No loss of this package has a gradient for that sum (see docs/distillation.md): adding one vector to the weights of
    all classes moves all logits of an image alike. So the start's other direction can be put in afterwards, at the
    length that weight decay has left; the predicted probabilities stay what they are.
    """
    other = deepcopy(network)
    weight = other.head.weight
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        start = nn.Linear(weight.shape[1], weight.shape[0]).weight.mean(0).to(weight)
        mean = weight.mean(0)
        weight += start * (mean.norm() / start.norm()) - mean
    return other
