"""Torchvision's classifiers: for small images, with their last feature map, and with weights from a file."""

import math
import re
from typing import Any

import torch
from torch import Tensor, nn

from workflow_scripts.core.errors import InputError
from workflow_scripts.training.weights import read_weights

RESNET = re.compile(r"(wide_)?resnet|resnext")


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
        return [module for module, output in maps if not pooled or output is pooled[-1]][-1]

    @torch.no_grad()
    def _linear_head(self, trial: Tensor) -> nn.Linear | None:
        linear = [module for module in self.network.modules() if isinstance(module, nn.Linear)]
        logits, pooled = self.network(trial), self.features(trial).mean((2, 3))
        if not linear or pooled.shape[1] != linear[-1].in_features:
            return None
        # A head that begins at zero, as a vision transformer's, gives equal logits whatever it is shown.
        near = 1e-3 * float(logits.abs().max())
        return linear[-1] if near and torch.allclose(linear[-1](pooled), logits, rtol=0, atol=near) else None

    def features(self, x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        handle = self.layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
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


def take_weights(body: Torchvision, path: str) -> None:
    """Start from the weights of a file, all but the head's (which may be of other classes) and a small stem's."""
    own = body.network.state_dict()
    fitting = {
        name: value for name, value in tensors_of(path).items() if name in own and value.shape == own[name].shape
    }
    if len(fitting) < len(own) // 2:
        raise InputError(
            f"{path}: only {len(fitting)} of {len(own)} tensors fit the architecture; give its own weights"
        )
    body.network.load_state_dict(own | fitting)


def tensors_of(path: str) -> dict[str, Any]:
    """Tensors of a file of weights, also of a training's checkpoint that holds them as `model` or `state_dict`."""
    content: dict[str, Any] = read_weights(path)
    tensors = next((content[key] for key in ("model", "state_dict") if isinstance(content.get(key), dict)), content)
    return {name.removeprefix("module."): value for name, value in tensors.items()}
