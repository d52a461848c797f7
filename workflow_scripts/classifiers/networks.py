"""Classifiers: small residual networks, a small vision transformer, and torchvision's.

Each gives its logits and, by `features`, its last feature map, which is there for every measure. Where a linear `head`
on the mean of that map gives the logits, class activation maps mean the same for each network.
"""

import math
import os
import re
from dataclasses import asdict
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import relu, scaled_dot_product_attention

from workflow_scripts.classifiers.presets import ClassifierSettings, Rung
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import atomic_path, read_json, remake, write_json

HEADS, PATCHES = 4, 8  # of the vision transformer: attention heads, and patches along a side (at most)
SMALL = 96  # px below which the stem of torchvision's ResNets keeps the resolution, unless the settings say otherwise
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RESNET = re.compile(r"(wide_)?resnet|resnext")


class Block(nn.Module):
    """A basic residual block (He et al. 2016): two 3 x 3 convolutions with batch normalisation."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.Conv2d(out, out, 3, 1, 1, bias=False),
        )  # fmt: skip
        self.first_norm, self.second_norm = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.shortcut, self.stride = nn.Sequential(), stride
        if stride > 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = relu(self.first_norm(self.first(x)))
        # Not by a stride of the convolution: of fewer than 8 channels (16 with AVX-512) oneDNN's gradient for its
        # weights is wrong, and writes beyond its memory (uxlfoundation/oneDNN issue 6035).
        kept = x[:, :, :: self.stride, :: self.stride]
        return relu(self.second_norm(self.second(y)) + self.shortcut(kept))


class SmallResNet(nn.Module):
    """The residual network for small images (He et al. 2016, section 4.2): depth 6 n + 2, three stages of n blocks.

    features: (B, 4 width, H / 4, W / 4).
    """

    head: nn.Linear

    def __init__(self, depth: int, width: int, channels: int, outputs: int) -> None:
        super().__init__()
        blocks = max(1, round((depth - 2) / 6))
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        plan = [(width * 2 ** max(stage - (i == 0), 0), width * 2**stage, 2 if stage and i == 0 else 1)
                for stage in range(3) for i in range(blocks)]  # fmt: skip
        self.stages = nn.Sequential(*(Block(*one) for one in plan))
        self.head = nn.Linear(4 * width, outputs)

    def features(self, x: Tensor) -> Tensor:
        return self.stages(self.stem(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


class Attention(nn.Module):
    """Self-attention and a two-layer perceptron, each with layer normalisation before it and a residual around it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(size), nn.LayerNorm(size)])
        self.to_qkv, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.perceptron = nn.Sequential(nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))

    def split(self, x: Tensor) -> Tensor:
        """Queries, keys and values (3, B, heads, T, size / heads)."""
        return self.to_qkv(self.norms[0](x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        x = x + self.out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.perceptron(self.norms[1](x))

    def weights(self, x: Tensor) -> Tensor:
        """Attention weights (B, heads, T, T), for roll-out."""
        q, k, _ = self.split(x)
        return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)


class SmallViT(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2021) of four layers without class token, for 16 to 64 px."""

    def __init__(self, width: int, resolution: int, channels: int, outputs: int) -> None:
        super().__init__()
        size, patch = 8 * width, max(1, resolution // PATCHES)
        self.patches = nn.Conv2d(channels, size, patch, patch)
        self.side = resolution // patch
        self.places = nn.Parameter(torch.randn(1, self.side**2, size) * 0.02)
        self.layers = nn.ModuleList(Attention(size) for _ in range(4))
        self.norm = nn.LayerNorm(size)
        self.head = nn.Linear(size, outputs)

    def _tokens(self, x: Tensor) -> Tensor:
        return self.patches(x).flatten(2).transpose(1, 2) + self.places

    def features(self, x: Tensor) -> Tensor:
        tokens = self._tokens(x)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens).transpose(1, 2).unflatten(2, (self.side, self.side))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))

    def attention(self, x: Tensor) -> Tensor:
        """Attention weights of all layers (layers, B, heads, T, T)."""
        tokens, found = self._tokens(x), []
        for layer in self.layers:
            found.append(layer.weights(tokens))  # type: ignore[operator]
            tokens = layer(tokens)
        return torch.stack(found)


class Torchvision(nn.Module):
    """Any of torchvision's classifiers, for images of the given resolution (px).

    small: a ResNet's stem keeps the resolution, as is usual for 32 px. layer: the module that gives the last feature
    map. head: the last layer, None where the logits are not linear on the mean of that map (vgg, vit, ...).
    Raises InputError where the network does not take such images.
    """

    layer: nn.Module
    head: nn.Linear | None

    def __init__(self, model: str, outputs: int, resolution: int, small: bool) -> None:
        super().__init__()
        from torchvision.models import get_model

        by_family: dict[str, dict[str, Any]] = {
            "vit": {"image_size": resolution}, "maxvit": {"input_size": (resolution, resolution)},
            "googlenet": {"aux_logits": False, "init_weights": False},
            "inception": {"aux_logits": False, "init_weights": False},
        }  # fmt: skip
        try:
            self.network = get_model(model, weights=None, num_classes=outputs, **by_family.get(model.split("_")[0], {}))
            if small and RESNET.match(model):
                self.network.conv1 = nn.Conv2d(3, self.network.conv1.out_channels, 3, 1, 1, bias=False)
                self.network.maxpool = nn.Identity()
            # Not registered a second time as a part of this module.
            self.__dict__["layer"] = self._last_map(
                trial := torch.linspace(-1, 1, 3 * resolution**2).view(1, 3, resolution, -1)
            )
            self.__dict__["head"] = self._linear_head(trial)
        except (RuntimeError, ValueError, AssertionError) as cause:
            raise InputError(
                f"architecture {model!r}: it does not take images of {resolution} px ({cause}); give the data set "
                "another resolution, or choose another network"
            ) from cause

    @torch.no_grad()
    def _last_map(self, trial: Tensor) -> nn.Module:
        """The module that gives the last map: what enters the last pooling module, else the last map of all."""
        if hasattr(self.network, "encoder"):
            # What a block makes of the patches no longer reaches the class token after the last one's first norm.
            return self.network.encoder.layers[-1].ln_1
        maps: list[tuple[nn.Module, Tensor]] = []
        pooled: list[Tensor] = []

        def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if isinstance(module, nn.AdaptiveAvgPool2d):
                pooled.append(inputs[0])
            if isinstance(output, Tensor) and output.ndim == 4:
                maps.append((module, output))

        handles = [module.register_forward_hook(watch) for module in self.network.modules()]
        self.eval()
        try:
            self.network(trial)
        finally:
            for handle in handles:
                handle.remove()
        return [module for module, found in maps if not pooled or found is pooled[-1]][-1]

    @torch.no_grad()
    def _linear_head(self, trial: Tensor) -> nn.Linear | None:
        linear = [one for one in self.network.modules() if isinstance(one, nn.Linear)]
        logits, pooled = self.network(trial), self.features(trial).mean((2, 3))
        if not linear or pooled.shape[1] != linear[-1].in_features:
            return None
        # A head that begins at zero, as a vision transformer's, gives equal logits whatever it is shown.
        near = 1e-3 * float(logits.abs().max())
        return linear[-1] if near and torch.allclose(linear[-1](pooled), logits, rtol=0, atol=near) else None

    def features(self, x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        handle = self.layer.register_forward_hook(lambda *given: seen.append(given[2]))
        try:
            self(x)
        finally:
            handle.remove()
        return as_map(seen[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.expand(-1, 3, -1, -1))


def as_map(output: Tensor) -> Tensor:
    """A layer's output as a feature map (B, D, h, w): as it is, or the patches of a transformer (B, 1 + h w, D).

    Raises ValueError for any other shape.
    """
    side = math.isqrt(output.shape[1] - 1) if output.ndim == 3 and output.shape[1] > 1 else 0
    if side and 1 + side**2 == output.shape[1]:
        return output[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    if output.ndim != 4:
        raise ValueError(f"an output of shape {tuple(output.shape)} is no feature map (B, D, h, w)")
    return output


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
        values = images.flatten(0, 2).double() / 255
        self.mean.copy_(values.mean(0).view(-1, 1, 1))
        self.std.copy_(values.std(0).clamp(min=1e-3).view(-1, 1, 1))

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
        _take_weights(body, settings.weights)
    return body


def _take_weights(body: Torchvision, path: str) -> None:
    """Start from the weights of a file, all but the head's (which may be of other classes) and a small stem's."""
    own = body.network.state_dict()
    fitting = {name: value for name, value in _given(path).items() if name in own and value.shape == own[name].shape}
    if len(fitting) < len(own) // 2:
        raise InputError(
            f"{path}: only {len(fitting)} of {len(own)} tensors fit the architecture; give its own weights"
        )
    body.network.load_state_dict(own | fitting)


def _given(path: str) -> dict[str, Any]:
    """Tensors of a file of weights, also of a training's checkpoint that holds them as `model` or `state_dict`."""
    from workflow_scripts.features.encoders import read_weights

    given: dict[str, Any] = read_weights(path)
    given = next((given[key] for key in ("model", "state_dict") if isinstance(given.get(key), dict)), given)
    return {name.removeprefix("module."): value for name, value in given.items()}


def trained_classifier(
    architecture: str, weights: str, augmentation: Rung, resolution: int, channels: int, classes: int
) -> Classifier:
    """A trained network of one's own, one of torchvision's, from its file of weights, which must hold all of them.

    augmentation: the rung that it was trained at. Normalised as torchvision's, by ImageNet's mean and deviation.
    Raises InputError if the file is not that network's, or knows other classes than `classes` in number.
    """
    given = _given(weights)
    kernel = getattr(given.get("conv1.weight"), "shape", (0,))[-1]
    settings = ClassifierSettings(
        architecture=architecture, steps=1, batch=1, augmentation=augmentation, stem="small" if kernel == 3 else "full"
    )
    classifier = Classifier(settings, resolution, channels, classes)
    if not isinstance(classifier.body, Torchvision):
        raise InputError(f"architecture: {architecture!r} given, expected one of torchvision's models for {weights}")
    own = classifier.body.network.state_dict()
    wrong = [name for name, value in own.items() if getattr(given.get(name), "shape", None) != value.shape]
    if wrong:
        found, expected = getattr(given.get(wrong[-1]), "shape", None), tuple(own[wrong[-1]].shape)
        what = "is missing" if found is None else f"has the shape {tuple(found)}"
        raise InputError(
            f"{weights}: not the weights of {architecture} for {classes} classes: {wrong[-1]} {what}, expected "
            f"{expected} ({len(wrong)} of {len(own)} tensors do not fit)"
        )
    classifier.body.network.load_state_dict({name: given[name] for name in own})
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    if channels == 1:
        mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    classifier.mean.copy_(mean.view(-1, 1, 1))
    classifier.std.copy_(std.view(-1, 1, 1))
    return classifier.eval()


def save_classifier(
    weights: str | os.PathLike[str], network: str | os.PathLike[str], classifier: Classifier, **about: Any
) -> None:
    """Write the weights as safetensors and, as JSON, what rebuilds the network and how it came about."""
    with atomic_path(weights) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in classifier.state_dict().items()}, temporary)
    write_json(network, {**classifier.describe(), **about})


def load_classifier(
    weights: str | os.PathLike[str], network: str | os.PathLike[str], device: torch.device
) -> Classifier:
    """The classifier that `save_classifier` wrote. Raises InputError if the two files do not fit each other."""
    about = read_json(network)
    settings = ClassifierSettings(**{**about["settings"], "weights": None})
    classifier = Classifier(settings, **about["shape"])
    try:
        classifier.load_state_dict(load_file(weights))
    except Exception as cause:  # safetensors and torch raise several unrelated types
        raise InputError(
            f"{weights}: not the weights of the network in {network} ({cause}). {remake(weights)}"
        ) from cause
    return classifier.eval().to(device)
