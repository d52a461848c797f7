"""Where networks look: class activation maps, Grad-CAM, attention roll-out, and how far the places of models overlap.

A raw map (N, h, w) has the resolution of the network's last feature map or of its patches and any scale: small enough
to keep on disk. `attention_maps` brings raw maps to the size of the input and to 0..1; the mask of a map is where it
exceeds 0.4 (Guo et al. 2025). Maps of two models may only be compared on the same view of the same images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from workflow_scripts.classifiers.torchvision_networks import as_map
from workflow_scripts.distillation.measures import NOTHING, Estimate, mean_estimate

THRESHOLD = 0.4  # Guo et al. 2025
PUBLISHED_BATCH = 128  # images pooled; the published training batch
VALUES_AT_A_TIME = 2**24
FLAT = 1e-5  # a map whose range is a smaller share of its size is constant up to rounding


def class_activation(features: Tensor, weight: Tensor, classes: Tensor | None = None) -> Tensor:
    """Raw class activation maps (Zhou et al. 2016): the head's linear layer as a 1 x 1 convolution on the features.

    features (B, D, h, w), the last feature map; weight (C, D) of the linear layer after global average pooling.
    classes (B,): one class for each image, such as the predicted one; None sums over all classes (Guo et al. 2025),
    which shows where the network is active rather than what supports its answer. Returns float32 (B, h, w). The bias
    would add the same everywhere and drops out when maps are scaled.
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


@dataclass(frozen=True)
class Overlaps:
    """How the masks of M models overlap on N images, in pixels of `pixels` in all.

    intersection (M, M, N): pixels in both models' masks; the diagonal holds each mask's own. common, either (N,):
    pixels in all models' masks and in any. shuffled (M, M, N): IoU of the first model's mask with the second's of
    another image: what sharing a favourite place, such as the middle, gives by itself.
    """

    intersection: np.ndarray
    common: np.ndarray
    either: np.ndarray
    shuffled: np.ndarray
    pixels: int

    @property
    def area(self) -> np.ndarray:
        """Share of the image in each model's mask, (M, N)."""
        return np.einsum("mmn->mn", self.intersection) / self.pixels

    @property
    def union(self) -> np.ndarray:
        """Pixels in either mask, (M, M, N)."""
        own = np.einsum("mmn->mn", self.intersection)
        return own[:, None] + own[None] - self.intersection

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each image, (M, M, N); two empty masks are the same mask, 1."""
        return _ratio(self.intersection, self.union, 1.0)

    @property
    def chance(self) -> np.ndarray:
        """IoU that masks of these areas p and q would have by chance, p q / (p + q - p q), (M, M, N); NaN if both are
        empty."""
        p, q = self.area[:, None], self.area[None]
        return _ratio(p * q, p + q - p * q, np.nan)

    @property
    def corrected(self) -> np.ndarray:
        """(IoU - chance) / (1 - chance), (M, M, N): 1 for the same mask, about 0 by chance; NaN where both masks are
        empty or both full, since then areas leave nothing to place."""
        return _ratio(self.iou - self.chance, 1 - self.chance, np.nan)

    def pooled(self, batch: int = PUBLISHED_BATCH) -> np.ndarray:
        """IoU as Guo et al. 2025 compute it, (M, M): pixels pooled over each batch of images, batches averaged."""
        starts = np.arange(0, self.intersection.shape[2], batch)
        inside, outside = (np.add.reduceat(counts, starts, axis=2) for counts in (self.intersection, self.union))
        return _ratio(inside, outside, 1.0).mean(axis=2)


def _ratio(above: np.ndarray, below: np.ndarray, otherwise: float) -> np.ndarray:
    """above / below, and `otherwise` where below is 0."""
    empty = ~(below > 0)
    return np.where(empty, otherwise, above / np.where(empty, 1, below))


def count_overlaps(
    maps: Sequence[np.ndarray],
    size: tuple[int, int],
    threshold: float = THRESHOLD,
    device: torch.device | str = "cpu",
) -> Overlaps:
    """Masks of the models' raw maps, each (N, h, w) with its own h and w, compared at the given size, image by image.

    Maps may be memory-mapped, and maps that have been scaled already stay as they are. Memory is bounded. Raises
    ValueError for maps of different images, M or N of 0.
    """
    counts = {len(one) for one in maps}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f"maps must be of the same images; there are {sorted(counts)}")
    count, pixels = counts.pop(), size[0] * size[1]
    parts = -(-count * len(maps) * pixels // VALUES_AT_A_TIME)
    found: list[tuple[np.ndarray, ...]] = []
    for chosen in np.array_split(np.arange(count), min(parts, max(1, count // 2))):
        rows = slice(int(chosen[0]), int(chosen[-1]) + 1)
        masks = torch.stack(
            [attention_maps(torch.from_numpy(np.array(one[rows])).to(device), size) > threshold for one in maps]
        ).flatten(2)
        found.append(tuple(one.cpu().numpy() for one in _count(masks)))
    intersection, shuffled, common, either = (np.concatenate(one, axis=-1) for one in zip(*found, strict=True))
    return Overlaps(intersection, common, either, shuffled, pixels)


def _count(masks: Tensor) -> tuple[Tensor, ...]:
    """Intersections, IoU with another image's mask, common and united pixels of masks, bool (M, N, pixels)."""
    by_image = masks.transpose(0, 1).float()  # sums of zeros and ones, exact up to 2^24 pixels
    area, images = by_image.sum(dim=2), len(by_image)
    order = torch.arange(images, device=masks.device).roll(images // 2)
    both, apart = (by_image @ other.transpose(1, 2) for other in (by_image, by_image[order]))
    union = area[:, :, None] + area[order][:, None] - apart
    shuffled = torch.where(union > 0, apart / union.clamp(min=1), 1.0)
    if images == 1:
        shuffled = torch.full_like(shuffled, torch.nan)
    return (
        both.permute(1, 2, 0).long(),
        shuffled.permute(1, 2, 0).double(),
        masks.all(dim=0).sum(dim=1),
        masks.any(dim=0).sum(dim=1),
    )


def overlap_estimates(
    overlaps: Overlaps, pairs: Sequence[tuple[int, int]] | None = None, seed: int = 0
) -> dict[str, Estimate]:
    """Overlap of pairs of models, averaged over the pairs, with intervals over images.

    pairs: indices of models, such as each teacher with the student; None takes every pair, i < j. iou: mean over
    images; iou_pooled: as published, which has no interval (NaN); iou_chance, iou_corrected: see Overlaps;
    iou_shuffled: with masks of other images; area: of these models' masks, a share; iou_all: what is common to all
    models of the union of all. All NaN for no pair.
    """
    chosen = list(combinations(range(len(overlaps.intersection)), 2)) if pairs is None else list(pairs)
    names = ("iou", "iou_chance", "iou_corrected", "iou_shuffled")
    if not chosen:
        return dict.fromkeys((*names, "iou_pooled", "area", "iou_all"), NOTHING)
    first, second = (np.array(side) for side in zip(*chosen, strict=True))
    values = (overlaps.iou, overlaps.chance, overlaps.corrected, overlaps.shuffled)
    found = {
        name: mean_estimate(_mean_known(value[first, second]), seed) for name, value in zip(names, values, strict=True)
    }
    found["iou_pooled"] = Estimate(float(overlaps.pooled()[first, second].mean()), np.nan, np.nan)
    found["area"] = mean_estimate(overlaps.area[np.unique([first, second])].mean(axis=0), seed)
    found["iou_all"] = mean_estimate(_ratio(overlaps.common, overlaps.either, 1.0), seed)
    return found


def pairwise_means(values: np.ndarray) -> np.ndarray:
    """Means over images of values (M, M, N), such as `Overlaps.iou`, without undefined ones; NaN if all are."""
    return _mean_known(np.moveaxis(values, 2, 0))


def _mean_known(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis, NaN left out; NaN where nothing remains."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0), np.nan)
