"""The ladder of augmentations, as batched operations on the device: each image of a batch goes its own way.

A view is drawn first and applied after, so that it can be kept, and that two networks can be shown the same crop. The
rungs follow Guo et al. (2024): `weak` is a random crop scaled up, a mirror image, and a rotation of up to 15 degrees;
`strong` the crop and the mirror image, two random operations as in AutoAugment's CIFAR-10 policy, and a cut-out square
of 16 in 224 px; `stronger` has three operations of full strength and a square of a quarter of the side.
"""

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, pad

from workflow_scripts.classifiers.presets import Rung

ROTATION = 15.0  # degrees
RATIO = 4 / 3  # most elongated crop
CUT_OUT = {"none": 0.0, "weak": 0.0, "strong": 16 / 224, "stronger": 1 / 4}  # of the side
OPERATIONS = {"none": 0, "weak": 0, "strong": 2, "stronger": 3}  # for each image
STRENGTH = {"none": 0.0, "weak": 0.0, "strong": 0.6, "stronger": 1.0}  # largest magnitude, of 1


@dataclass(frozen=True)
class View:
    """How each image of a batch is shown.

    affine: (B, 2, 3) from places in the view to places in the image, both in -1..1. operation: (B, K) int64, places in
    the list of operations. magnitude: (B, K) in -1..1. cut_out: (B, 3) centre (x, y) and half side, in -1..1.
    """

    affine: Tensor
    operation: Tensor
    magnitude: Tensor
    cut_out: Tensor

    def with_crop_of(self, other: "View") -> "View":
        """The same view of the part that another one shows."""
        return replace(self, affine=other.affine)

    def at(self, rows: Tensor) -> "View":
        return View(*(getattr(self, one.name)[rows] for one in fields(self)))


def draw_view(rung: Rung, count: int, smallest_crop: float, device: torch.device | str = "cpu") -> View:
    """Random views for `count` images, by torch's default generator. smallest_crop: share of the area, 0..1."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(count, *shape, device=device).uniform_(low, high)

    affine = torch.eye(2, 3, device=device).repeat(count, 1, 1)
    if rung != "none":
        area, ratio = uniform(smallest_crop, 1), uniform(-math.log(RATIO), math.log(RATIO)).exp()
        scale = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp(max=1)
        mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
        angle = uniform(-ROTATION, ROTATION) * (math.pi / 180) * (rung == "weak")
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(-1, 2, 2)
        flip = torch.stack([mirror, torch.ones_like(mirror)], dim=1)
        affine[:, :, :2] = turn * scale[:, :, None] * flip[:, None]
        affine[:, :, 2] = (1 - scale) * uniform(-1, 1, 2)
    operations = OPERATIONS[rung]
    half = torch.full((count, 1), CUT_OUT[rung], device=device)
    return View(
        affine,
        torch.randint(0, len(_OPERATIONS), (count, operations), device=device),
        uniform(-STRENGTH[rung], STRENGTH[rung], operations),
        torch.cat([uniform(-1, 1, 2), half], dim=1),
    )


def apply_view(images: Tensor, view: View) -> Tensor:
    """Images float (B, C, H, W) in 0..1, as the view shows them; same shape and range."""
    identity = torch.eye(2, 3, device=images.device)
    if not torch.equal(view.affine, identity.expand_as(view.affine)):
        grid = affine_grid(view.affine.to(images.dtype), list(images.shape), align_corners=False)
        images = grid_sample(images, grid, "bilinear", "reflection", False).clamp(0, 1)
    for chosen, magnitude in zip(view.operation.T, view.magnitude.T, strict=True):
        shown = images.clone()
        for place, operation in enumerate(_OPERATIONS):
            rows = (chosen == place).nonzero()[:, 0]
            if len(rows):
                shown[rows] = operation(images[rows], magnitude[rows, None, None, None]).clamp(0, 1)
        images = shown
    if view.cut_out[:, 2].any():
        height, width = images.shape[2:]
        y = (torch.arange(height, device=images.device) * 2 + 1) / height - 1
        x = (torch.arange(width, device=images.device) * 2 + 1) / width - 1
        centre_x, centre_y, half = view.cut_out.T[:, :, None]
        inside = ((x - centre_x).abs() < half)[:, None, :] & ((y - centre_y).abs() < half)[:, :, None]
        images = images.masked_fill(inside[:, None], 0.5)
    return images


def augment(images: Tensor, rung: Rung, smallest_crop: float) -> Tensor:
    """A fresh random view of each image, float (B, C, H, W) in 0..1."""
    return images if rung == "none" else apply_view(images, draw_view(rung, len(images), smallest_crop, images.device))


def _blend(images: Tensor, other: Tensor, magnitude: Tensor) -> Tensor:
    """From `other` (magnitude -1) over the image (0) to its opposite (1)."""
    return other + (images - other) * (1 + magnitude)


def _brightness(images: Tensor, magnitude: Tensor) -> Tensor:
    return _blend(images, torch.zeros_like(images), magnitude)


def _contrast(images: Tensor, magnitude: Tensor) -> Tensor:
    return _blend(images, images.mean((1, 2, 3), keepdim=True), magnitude)


def _colour(images: Tensor, magnitude: Tensor) -> Tensor:
    return _blend(images, images.mean(1, keepdim=True), magnitude)


def _sharpness(images: Tensor, magnitude: Tensor) -> Tensor:
    return _blend(images, avg_pool2d(pad(images, (1, 1, 1, 1), "replicate"), 3, 1), magnitude)


def _posterise(images: Tensor, magnitude: Tensor) -> Tensor:
    levels = 2 ** (8 - 5 * magnitude.abs()).round()
    return (images * levels).floor().clamp(max=levels - 1) / (levels - 1)


def _solarise(images: Tensor, magnitude: Tensor) -> Tensor:
    return torch.where(images > 1 - magnitude.abs(), 1 - images, images)


def _stretch(images: Tensor, _: Tensor) -> Tensor:
    """Contrast so that each channel goes from 0 to 1 (AutoContrast)."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images)


def _equalise(images: Tensor, _: Tensor) -> Tensor:
    """Each value becomes the share of its channel's values that are no larger; ties share their mean rank."""
    flat = images.flatten(2)
    ordered = flat.sort(-1).values.contiguous()
    below = torch.searchsorted(ordered, flat.contiguous())
    upto = torch.searchsorted(ordered, flat.contiguous(), right=True)
    return ((below + upto - 1) / (2 * max(flat.shape[-1] - 1, 1))).view_as(images)


def _invert(images: Tensor, magnitude: Tensor) -> Tensor:
    return torch.where(magnitude > 0.5, 1 - images, images)


def _shear_x(images: Tensor, magnitude: Tensor) -> Tensor:
    return _move(images, 0, 1, 0.3 * magnitude)


def _shear_y(images: Tensor, magnitude: Tensor) -> Tensor:
    return _move(images, 1, 0, 0.3 * magnitude)


def _shift_x(images: Tensor, magnitude: Tensor) -> Tensor:
    return _move(images, 0, 2, 0.6 * magnitude)


def _shift_y(images: Tensor, magnitude: Tensor) -> Tensor:
    return _move(images, 1, 2, 0.6 * magnitude)


def _move(images: Tensor, row: int, column: int, amount: Tensor) -> Tensor:
    affine = torch.eye(2, 3, device=images.device, dtype=images.dtype).repeat(len(images), 1, 1)
    affine[:, row, column] += amount.view(-1)
    return grid_sample(images, affine_grid(affine, list(images.shape), False), "bilinear", "reflection", False)


_OPERATIONS = (
    _brightness, _contrast, _colour, _sharpness, _posterise, _solarise, _stretch, _equalise, _invert, _shear_x,
    _shear_y, _shift_x, _shift_y,
)  # fmt: skip
