"""Where networks look: class activation maps, Grad-CAM, attention roll-out.

A raw map (N, h, w) has the resolution of the network's last feature map or of its patches and any scale: small enough
to keep on disk. `attention_maps` brings raw maps to the size of the input and to 0..1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from workflow_scripts.classifiers.torchvision_networks import as_map

FLAT = 1e-5  # a map whose range is a smaller share of its size is constant up to rounding


def class_activation(features: Tensor, weight: Tensor, classes: Tensor | None = None) -> Tensor:
    """Raw class activation maps (Zhou et al. 2016): the head's linear layer as a 1 x 1 convolution on the features.

    features (B, D, h, w), the last feature map; weight (C, D) of the linear layer after global average pooling.
    classes (B,): one class for each image, such as the predicted one. None sums over all classes (Guo et al. 2024):
    training never changes the direction of that sum, so the map projects the features on the head's random start (see
    docs/distillation.md). Returns float32 (B, h, w). The bias would add the same everywhere and drops out when maps
    are scaled.
    """
    features, weight = features.float(), weight.float()
    if classes is None:
        return torch.einsum("bdhw,d->bhw", features, weight.sum(dim=0))
    return torch.einsum("bdhw,bd->bhw", features, weight[classes])


def grad_cam(model: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor | None = None) -> Tensor:
    """Raw Grad-CAM maps (Selvaraju et al. 2017): features weighted by the mean gradient of a class's logit, above 0.

    model: any network from images (B, ...) to logits (B, C), in evaluation mode, so that no image depends on the
    others; layer: the module in it whose output, see `as_map`, is looked at; classes (B,): None for the predicted ones.
    Returns float32 (B, h, w). Only what follows the layer is differentiated; parameters keep their gradients.
    Raises ValueError where the layer has not been run or gives no feature map.
    """
    leaves: list[Tensor] = []

    def watch(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[-1].clone()  # what follows may work in place, which a leaf does not allow

    handle = layer.register_forward_hook(watch)
    try:
        with torch.enable_grad():
            logits = model(images)
            if not leaves:
                raise ValueError("Grad-CAM needs a layer of the network whose output is a feature map (B, D, h, w)")
            chosen = logits.argmax(dim=1) if classes is None else classes
            (gradient,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), leaves[-1])
    finally:
        handle.remove()
    features, strength = as_map(leaves[-1].detach()), as_map(gradient).float().mean(dim=(2, 3))
    return torch.einsum("bdhw,bd->bhw", features.float(), strength).relu()


def attention_rollout(attention: Tensor | Sequence[Tensor]) -> Tensor:
    """How much of each input token reaches each output token (Abnar and Zuidema 2020), (B, T, T), rows sum to 1.

    attention: weights after the softmax of each layer, first to last, (L, B, heads, T, T). Heads are averaged, and the
    residual connection counts as half: the product of the layers' (A + 1) / 2.
    """
    joint: Tensor | None = None
    for layer in attention:
        mean = layer.float().mean(dim=1)
        mixed = (mean + torch.eye(mean.shape[-1], device=mean.device)) / 2
        mixed = mixed / mixed.sum(dim=-1, keepdim=True)
        joint = mixed if joint is None else mixed @ joint
    if joint is None:
        raise ValueError("attention roll-out needs at least one layer")
    return joint


def rollout_maps(attention: Tensor | Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
    """Raw maps (B, h, w) of attention roll-out over a grid of (h, w) patches; attention as for `attention_rollout`.

    With one token more than patches, it is the first, the class token, and its row is shown; with as many, the output
    is the mean of the tokens, and so is the map. Raises ValueError for any other number of tokens.
    """
    joint, patches = attention_rollout(attention), grid[0] * grid[1]
    if joint.shape[-1] == patches + 1:
        return joint[:, 0, 1:].unflatten(1, grid)
    if joint.shape[-1] == patches:
        return joint.mean(dim=1).unflatten(1, grid)
    raise ValueError(f"{joint.shape[-1]} tokens are neither the {patches} patches of {grid} nor one more")


def attention_maps(raw: Tensor, size: tuple[int, int]) -> Tensor:
    """Raw maps (N, h, w) upsampled bilinearly to size and scaled to 0..1, each by its own least and greatest value.

    A map that is the same everywhere shows no place and becomes 0. Float32 (N, *size).
    """
    maps = functional.interpolate(raw.float()[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    flat = high - low <= FLAT * torch.maximum(high.abs(), low.abs())
    return torch.where(flat, 0.0, (maps - low) / torch.where(flat, 1.0, high - low))
