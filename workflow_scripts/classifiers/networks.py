"""Classifiers: a network of any architecture with the normalisation of its images, as files too.

Each gives its logits and, by `features`, its last feature map, which is there for every measure. Where a linear `head`
on the mean of that map gives the logits, class activation maps mean the same for each network.
"""

import os
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from workflow_scripts.classifiers.architectures import SmallResNet, SmallViT
from workflow_scripts.classifiers.presets import ClassifierSettings, Rung
from workflow_scripts.classifiers.torchvision_networks import Torchvision, take_weights, tensors_of
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_json
from workflow_scripts.training.normalisation import channel_statistics
from workflow_scripts.training.weights import load_weights, save_network

SMALL = 96  # px below which the stem of torchvision's ResNets keeps the resolution, unless the settings say otherwise
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Classifier(nn.Module):
    """Images float (B, C, H, W) in 0..1 to logits (B, classes). mean, std: of the training images' channels, 0..1."""

    mean: Tensor
    std: Tensor

    def __init__(self, settings: ClassifierSettings, resolution: int, channels: int, classes: int) -> None:
        super().__init__()
        self.settings, self.resolution, self.channels, self.classes = settings, resolution, channels, classes
        self.body = _body(settings, resolution, channels, classes)
        self.register_buffer("mean", torch.full((channels, 1, 1), 0.5))
        self.register_buffer("std", torch.full((channels, 1, 1), 0.25))

    @property
    def head(self) -> nn.Linear:
        """The linear layer on the mean of the feature map. Raises InputError for networks that have another end."""
        if self.body.head is None:
            raise InputError(
                f"architecture {self.settings.architecture!r}: no class activation map, since its logits are not "
                "linear on the mean of its feature map; set attention.method to grad_cam"
            )
        return self.body.head  # type: ignore[return-value]

    def normalise_by(self, images: Tensor) -> None:
        """Take mean and standard deviation of images, uint8 (N, H, W, C)."""
        mean, deviation = channel_statistics(images)
        self.mean.copy_(mean)
        self.std.copy_(deviation)

    def features(self, x: Tensor) -> Tensor:
        """The last feature map (B, D, h, w)."""
        return self.body.features((x - self.mean) / self.std)  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        return self.body((x - self.mean) / self.std)

    @property
    def last_layer(self) -> nn.Module:
        """The module that gives the feature map, for Grad-CAM. Raises InputError for a `vit`, which has roll-out."""
        if isinstance(self.body, SmallViT):
            raise InputError("Grad-CAM is for torchvision's and for residual networks, not for 'vit'; take roll-out")
        return self.body.stages if isinstance(self.body, SmallResNet) else self.body.layer  # type: ignore[return-value]

    def attention(self, x: Tensor) -> Tensor:
        """Attention weights (layers, B, heads, T, T) of a vision transformer. Raises InputError for others."""
        if not isinstance(self.body, SmallViT):
            raise InputError(f"attention roll-out is for a `vit`, not for {self.settings.architecture!r}")
        return self.body.attention((x - self.mean) / self.std)

    def describe(self) -> dict[str, Any]:
        """What rebuilds the network, beside its weights."""
        shape = {"resolution": self.resolution, "channels": self.channels, "classes": self.classes}
        return {"settings": asdict(self.settings), "shape": shape}


def _body(settings: ClassifierSettings, resolution: int, channels: int, classes: int) -> nn.Module:
    name, width = settings.architecture, settings.width
    depth = name.removeprefix("resnet")
    if name == "vit":
        return SmallViT(width, resolution, channels, classes)
    # resnet50 and resnet152 are torchvision's; no other of its depths is 6 n + 2.
    if name.startswith("resnet") and depth.isdigit() and (int(depth) - 2) % 6 == 0 and depth not in ("50", "152"):
        return SmallResNet(int(depth), width, channels, classes)
    from torchvision.models import list_models  # a second or two to import, and only needed here

    if name not in list_models():
        raise InputError(
            f"architecture: {name!r} given, expected resnet8, resnet14, ..., vit, or one of torchvision's models"
        )
    small = resolution < SMALL if settings.stem == "auto" else settings.stem == "small"
    body = Torchvision(name, classes, resolution, small)
    if settings.weights:
        take_weights(body, settings.weights)
    return body


def trained_classifier(
    architecture: str, weights: str, augmentation: Rung, resolution: int, channels: int, classes: int
) -> Classifier:
    """A trained network of one's own, one of torchvision's, from its file of weights, which must hold all of them.

    augmentation: the rung that it was trained at. Normalised as torchvision's, by ImageNet's mean and deviation.
    Raises InputError if the file is not that network's, or knows other classes than `classes` in number.
    """
    tensors = tensors_of(weights)
    kernel = getattr(tensors.get("conv1.weight"), "shape", (0,))[-1]
    settings = ClassifierSettings(
        architecture=architecture, steps=1, batch=1, augmentation=augmentation, stem="small" if kernel == 3 else "full"
    )
    classifier = Classifier(settings, resolution, channels, classes)
    if not isinstance(classifier.body, Torchvision):
        raise InputError(f"architecture: {architecture!r} given, expected one of torchvision's models for {weights}")
    own = classifier.body.network.state_dict()
    wrong = [name for name, value in own.items() if getattr(tensors.get(name), "shape", None) != value.shape]
    if wrong:
        shape, expected = getattr(tensors.get(wrong[-1]), "shape", None), tuple(own[wrong[-1]].shape)
        what = "is missing" if shape is None else f"has the shape {tuple(shape)}"
        raise InputError(
            f"{weights}: not the weights of {architecture} for {classes} classes: {wrong[-1]} {what}, expected "
            f"{expected} ({len(wrong)} of {len(own)} tensors do not fit)"
        )
    classifier.body.network.load_state_dict({name: tensors[name] for name in own})
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    if channels == 1:
        mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    classifier.mean.copy_(mean.view(-1, 1, 1))
    classifier.std.copy_(std.view(-1, 1, 1))
    return classifier.eval()


def save_classifier(
    weights: str | os.PathLike[str], network: str | os.PathLike[str], classifier: Classifier, **origin: Any
) -> None:
    """Write the weights and, as JSON, what rebuilds the network and `origin`: how it came about."""
    save_network(weights, network, classifier, **classifier.describe(), **origin)


def load_classifier(
    weights: str | os.PathLike[str], network: str | os.PathLike[str], device: torch.device
) -> Classifier:
    """The classifier that `save_classifier` wrote. Raises InputError if the two files do not fit each other."""
    described = read_json(network)
    classifier = Classifier(ClassifierSettings(**{**described["settings"], "weights": None}), **described["shape"])
    load_weights(classifier, weights, network)
    return classifier.eval().to(device)
