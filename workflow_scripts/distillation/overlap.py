"""How far the places that networks look at overlap: intersection over union of masks, beside what chance gives.

The mask of a map is where it exceeds 0.4 (Guo et al. 2024). Maps of two models may only be compared on the same view of
the same images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.distillation.attention import attention_maps
from workflow_scripts.distillation.estimates import NOTHING, Estimate, mean_estimate

THRESHOLD = 0.4  # Guo et al. 2024
PUBLISHED_BATCH = 128  # images pooled; the published training batch
VALUES_AT_A_TIME = 2**24


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
        """IoU as Guo et al. 2024 compute it, (M, M): pixels pooled over each batch of images, batches averaged."""
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
    counts = {len(model) for model in maps}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f"maps must be of the same images; there are {sorted(counts)}")
    count, pixels = counts.pop(), size[0] * size[1]
    parts = -(-count * len(maps) * pixels // VALUES_AT_A_TIME)
    counted: list[tuple[np.ndarray, ...]] = []
    for chosen in np.array_split(np.arange(count), min(parts, max(1, count // 2))):
        rows = slice(int(chosen[0]), int(chosen[-1]) + 1)
        masks = torch.stack(
            [attention_maps(torch.from_numpy(np.array(model[rows])).to(device), size) > threshold for model in maps]
        ).flatten(2)
        counted.append(tuple(part.cpu().numpy() for part in _count(masks)))
    intersection, shuffled, common, either = (np.concatenate(part, axis=-1) for part in zip(*counted, strict=True))
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
    means = {
        name: mean_estimate(_mean_known(value[first, second]), seed) for name, value in zip(names, values, strict=True)
    }
    means["iou_pooled"] = Estimate(float(overlaps.pooled()[first, second].mean()), np.nan, np.nan)
    means["area"] = mean_estimate(overlaps.area[np.unique([first, second])].mean(axis=0), seed)
    means["iou_all"] = mean_estimate(_ratio(overlaps.common, overlaps.either, 1.0), seed)
    return means


def pairwise_means(values: np.ndarray) -> np.ndarray:
    """Means over images of values (M, M, N), such as `Overlaps.iou`, without undefined ones; NaN if all are."""
    return _mean_known(np.moveaxis(values, 2, 0))


def _mean_known(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis, NaN left out; NaN where nothing remains."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0), np.nan)
