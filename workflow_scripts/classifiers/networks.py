"""Classifiers: small residual networks, a small vision transformer, and torchvision's.

All have one shape: `features` gives a map, its mean over places goes into a linear `head`. So class activation maps
mean the same for each, and the features are there for every measure.
"""

import os
from dataclasses import asdict
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import relu, scaled_dot_product_attention

from workflow_scripts.classifiers.presets import ClassifierSettings
from workflow_scripts.files import InputError, atomic_path, read_json, remake, write_json

HEADS, PATCHES = 4, 8  # of the vision transformer: attention heads, and patches along a side (at most)


class Block(nn.Module):
    """A basic residual block (He et al. 2016): two 3 x 3 convolutions with batch normalisation."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.Conv2d(out, out, 3, 1, 1, bias=False),
        )  # fmt: skip
        self.first_norm, self.second_norm = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if stride > 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = relu(self.first_norm(self.first(x)))
        return relu(self.second_norm(self.second(y)) + self.shortcut(x))


class SmallResNet(nn.Module):
    """The residual network for small images (He et al. 2016, section 4.2): depth 6 n + 2, three stages of n blocks.

    features: (B, 4 width, H / 4, W / 4).
    """

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

    def attention(self, x: Tensor) -> Tensor:
        """Attention weights of all layers (layers, B, heads, T, T)."""
        tokens, found = self._tokens(x), []
        for layer in self.layers:
            found.append(layer.weights(tokens))  # type: ignore[operator]
            tokens = layer(tokens)
        return torch.stack(found)


class Torchvision(nn.Module):
    """One of torchvision's networks whose last layer is linear on the mean of its feature map, such as its ResNets."""

    head: nn.Linear

    def __init__(self, model: str, outputs: int, small: bool) -> None:
        super().__init__()
        from torchvision.models import get_model

        self.network = get_model(model, weights=None, num_classes=outputs)
        if small and hasattr(self.network, "conv1"):  # as is usual for 32 px: no early loss of resolution
            stem = self.network.conv1
            self.network.conv1 = nn.Conv2d(stem.in_channels, stem.out_channels, 3, 1, 1, bias=False)
            self.network.maxpool = nn.Identity()
        pools = [one for one in self.network.modules() if isinstance(one, nn.AdaptiveAvgPool2d)]
        linear = [one for one in self.network.modules() if isinstance(one, nn.Linear)]
        if not pools or not linear:
            raise InputError(f"architecture {model!r}: no linear layer on a pooled feature map; choose a ResNet")
        self._seen: Tensor | None = None
        pools[-1].register_forward_pre_hook(self._keep)
        # Not registered a second time as a part of this module.
        self.__dict__["head"] = linear[-1]
        self._check(model)

    @torch.no_grad()
    def _check(self, model: str) -> None:
        self.eval()
        logits = self.network(trial := torch.linspace(-1, 1, 3 * 64**2).view(1, 3, 64, 64))
        pooled = self.features(trial).mean((2, 3))
        if pooled.shape[1] != self.head.in_features or not torch.allclose(self.head(pooled), logits, atol=1e-4):
            raise InputError(f"architecture {model!r}: its last layer is not linear on the mean of its feature map")

    def _keep(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._seen = inputs[0]

    def features(self, x: Tensor) -> Tensor:
        self.network(x.expand(-1, 3, -1, -1))
        assert self._seen is not None
        return self._seen


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
        """The linear layer on the mean of the feature map."""
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
        return self.head(self.features(x).mean((2, 3)))

    @property
    def last_layer(self) -> nn.Module:
        """The module that gives the feature map of a residual network, for Grad-CAM. Raises InputError for others."""
        layer = getattr(self.body, "stages", None) or getattr(getattr(self.body, "network", None), "layer4", None)
        if layer is None:
            raise InputError(f"Grad-CAM is for residual networks, not for {self.settings.architecture!r}")
        return layer

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
    body = Torchvision(name, classes, resolution < 96)
    if settings.weights:
        _take_weights(body, settings.weights)
    return body


def _take_weights(body: Torchvision, path: str) -> None:
    """Start from the weights of a file, all but the head's (which may be of other classes) and a small stem's."""
    from workflow_scripts.features.encoders import read_weights

    own = body.network.state_dict()
    given = {name: value for name, value in read_weights(path).items() if name in own}
    fitting = {name: value for name, value in given.items() if value.shape == own[name].shape}
    if len(fitting) < len(own) // 2:
        raise InputError(
            f"{path}: only {len(fitting)} of {len(own)} tensors fit the architecture; give its own weights"
        )
    body.network.load_state_dict(own | fitting)


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
