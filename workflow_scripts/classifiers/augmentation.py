"""The ladder of augmentations, as batched operations on the device: each image of a batch goes its own way.

A view is drawn first and applied after, so that it can be kept, and that two networks can be shown the same crop. It
is drawn on the CPU, so that a GPU need not be waited for to learn which images an operation falls to. The
rungs follow Guo et al. (2024): `weak` is a random crop scaled up, a mirror image, and a rotation of up to 15 degrees;
`strong` the crop and the mirror image, two random operations as in AutoAugment's CIFAR-10 policy, and a cut-out square
of 16 in 224 px; `stronger` has three operations of full strength and a square of a quarter of the side.
"""

import math
from dataclasses import dataclass, fields, replace
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

from workflow_scripts.classifiers.presets import Rung
from workflow_scripts.core.devices import to_device

ROTATION = 15.0  # degrees
RATIO = 4 / 3  # most elongated crop
CUT_OUT = {"none": 0.0, "weak": 0.0, "strong": 16 / 224, "stronger": 1 / 4}  # of the side
OPERATIONS = (
    "brightness", "contrast", "colour", "sharpness", "posterise", "solarise", "stretch", "equalise", "invert",
    "shear_x", "shear_y", "shift_x", "shift_y",
)  # fmt: skip
DRAWN = {"none": 0, "weak": 0, "strong": 2, "stronger": 3}  # operations for each image
STRENGTH = {"none": 0.0, "weak": 0.0, "strong": 0.6, "stronger": 1.0}  # largest magnitude, of 1
# What a geometric operation adds to the matrix from view to image: row, column, factor of the magnitude.
MOVES = {"shear_x": (0, 1, 0.3), "shear_y": (1, 0, 0.3), "shift_x": (0, 2, 0.6), "shift_y": (1, 2, 0.6)}


@dataclass(frozen=True)
class View:
    """How each image of a batch is shown; all on the CPU.

    affine: (B, 2, 3) from places in the view to places in the image, both in -1..1. operation: (B, K) int64, places in
    `OPERATIONS`. magnitude: (B, K) in -1..1. cut_out: (B, 3) centre (x, y) and half side, in -1..1.
    """

    affine: Tensor
    operation: Tensor
    magnitude: Tensor
    cut_out: Tensor

    def with_crop_of(self, other: "View") -> "View":
        """The same view of the part that another one shows."""
        return replace(self, affine=other.affine)

    def at(self, rows: Tensor) -> "View":
        return View(*(getattr(self, field.name)[rows] for field in fields(self)))


def draw_view(rung: Rung, count: int, smallest_crop: float) -> View:
    """Random views for `count` images, by torch's default generator. smallest_crop: share of the area, 0..1."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(count, *shape).uniform_(low, high)

    affine = torch.eye(2, 3).repeat(count, 1, 1)
    if rung != "none":
        area, ratio = uniform(smallest_crop, 1), uniform(-math.log(RATIO), math.log(RATIO)).exp()
        scale = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp(max=1)
        mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
        angle = uniform(-ROTATION, ROTATION) * (math.pi / 180) * (rung == "weak")
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(-1, 2, 2)
        flip = torch.stack([mirror, torch.ones_like(mirror)], dim=1)
        affine[:, :, :2] = turn * scale[:, :, None] * flip[:, None]
        affine[:, :, 2] = (1 - scale) * uniform(-1, 1, 2)
    half = torch.full((count, 1), CUT_OUT[rung])
    return View(
        affine,
        torch.randint(0, len(OPERATIONS), (count, DRAWN[rung])),
        uniform(-STRENGTH[rung], STRENGTH[rung], DRAWN[rung]),
        torch.cat([uniform(-1, 1, 2), half], dim=1),
    )


def apply_view(images: Tensor, view: View) -> Tensor:
    """Images float (B, C, H, W) in 0..1 on any device, as the view shows them; same shape and range."""
    if not torch.equal(view.affine, torch.eye(2, 3).expand_as(view.affine)):
        images = _warp(images, to_device(view.affine, images.device)).clamp(0, 1)
    place = torch.arange(len(images))  # of each image in the batch, which every round sorts by operation
    for operation, magnitude in zip(view.operation.T, view.magnitude.T, strict=True):
        order = ORDER[operation].argsort(stable=True)
        counts = ORDER[operation].bincount(minlength=len(OPERATIONS)).tolist()
        images = images[to_device(place[order], images.device)]
        images = _operate(images, counts, magnitude[order]).clamp(0, 1)
        place = order.argsort()
    if view.operation.shape[1]:
        images = images[to_device(place, images.device)]
    if view.cut_out[:, 2].any():
        height, width = images.shape[2:]
        centre_x, centre_y, half = view.cut_out.T[:, :, None]
        rows = (((torch.arange(height) * 2 + 1) / height - 1) - centre_y).abs() < half
        columns = (((torch.arange(width) * 2 + 1) / width - 1) - centre_x).abs() < half
        inside = to_device(torch.cat([rows, columns], dim=1), images.device)
        mask = inside[:, None, :height, None] & inside[:, None, None, height:]
        images = images.masked_fill(mask, 0.5)
    return images


def augment(images: Tensor, rung: Rung, smallest_crop: float) -> Tensor:
    """A fresh random view of each image, float (B, C, H, W) in 0..1."""
    return images if rung == "none" else apply_view(images, draw_view(rung, len(images), smallest_crop))


# Each group of operations is one computation, on images that lie side by side.
GROUPS = (
    ("brightness", "contrast", "colour", "sharpness"), ("posterise",), ("solarise", "invert"), ("stretch",),
    ("equalise",), tuple(MOVES),
)  # fmt: skip
SORTED = [name for group in GROUPS for name in group]
ORDER = torch.tensor([SORTED.index(name) for name in OPERATIONS])  # an operation's place among the sorted


def _operate(images: Tensor, counts: list[int], magnitude: Tensor) -> Tensor:
    """Images (B, C, H, W), sorted by operation, each after its own. counts: images of each operation in `SORTED`."""
    of = dict(zip(SORTED, counts, strict=True))
    sizes = [sum(of[name] for name in group) for group in GROUPS]
    # What depends on the magnitudes alone is computed on the CPU, and goes to the device in one copy.
    magnitudes = dict(zip(SORTED, magnitude.split(counts), strict=True))
    factor = [_factor(name, share) for name, share in magnitudes.items()]
    affine = torch.cat([_move(name, magnitudes[name]) for name in MOVES])
    numbers = to_device(torch.cat([*factor, affine.flatten()]), images.device)
    factors = numbers[: len(images)].view(-1, 1, 1, 1).split(sizes)
    parts = images.split(sizes)
    results = []
    if sizes[0]:
        results.append(_blend(parts[0], [of[name] for name in GROUPS[0]], factors[0]))
    if sizes[1]:
        highest = factors[1] - 1
        results.append(torch.minimum((parts[1] * factors[1]).floor(), highest) / highest)
    if sizes[2]:
        results.append(torch.where(parts[2] > factors[2], 1 - parts[2], parts[2]))
    results += [_stretch(parts[3])] * bool(sizes[3]) + [_equalise(parts[4])] * bool(sizes[4])
    if sizes[5]:
        results.append(_warp(parts[5], numbers[len(images) :].view(-1, 2, 3)))
    return torch.cat(results)


def _factor(name: str, magnitude: Tensor) -> Tensor:
    """The number (B,) that the operation takes from its magnitude (B,)."""
    if name in GROUPS[0]:
        return 1 + magnitude  # from the other image (0) over the image (1) to its opposite (2)
    if name == "posterise":
        return 2 ** (8 - 5 * magnitude.abs()).round()  # levels
    if name == "solarise":
        return 1 - magnitude.abs()  # values above are inverted
    if name == "invert":
        return torch.where(magnitude > 0.5, -1.0, 2.0)
    return magnitude


def _move(name: str, magnitude: Tensor) -> Tensor:
    """Matrices (B, 2, 3) of a geometric operation."""
    row, column, factor = MOVES[name]
    affine = torch.eye(2, 3).repeat(len(magnitude), 1, 1)
    affine[:, row, column] += factor * magnitude
    return affine


def _blend(images: Tensor, counts: list[int], factor: Tensor) -> Tensor:
    """Between another image (0) and the image (1), and beyond: black, its mean, its grey, or the blurred image."""
    dark, flat, colourful, sharp = images.split(counts)
    others = [
        torch.zeros_like(dark),
        flat.mean((1, 2, 3), keepdim=True).expand_as(flat),
        colourful.mean(1, keepdim=True).expand_as(colourful),
        _blurred(sharp) if len(sharp) else sharp,
    ]
    other = torch.cat([part for part in others if len(part)])
    return other + (images - other) * factor


def _blurred(images: Tensor) -> Tensor:
    """Means over 3 x 3 pixels; the edge is repeated beyond it, by hand as torch's deterministic form takes 20 steps."""
    images = torch.cat([images[:, :, :1], images, images[:, :, -1:]], dim=2)
    return avg_pool2d(torch.cat([images[..., :1], images, images[..., -1:]], dim=3), 3, 1)


def _stretch(images: Tensor) -> Tensor:
    """Contrast so that each channel goes from 0 to 1 (AutoContrast)."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images)


def _equalise(images: Tensor) -> Tensor:
    """Each value becomes the share of its channel's values that are no larger; ties share their mean rank."""
    flat = images.flatten(2).contiguous()
    ordered = flat.sort(-1).values
    below, upto = torch.searchsorted(ordered, flat), torch.searchsorted(ordered, flat, right=True)
    return ((below + upto - 1) / (2 * max(flat.shape[-1] - 1, 1))).view_as(images)


def _warp(images: Tensor, affine: Tensor) -> Tensor:
    """Images seen through matrices (B, 2, 3) from places in the view to places in the image; beyond it, mirrored."""
    count, _, height, width = images.shape
    places = _places(height, width, images.device).expand(count, -1, -1)
    grid = (places @ affine.to(images.dtype).transpose(1, 2)).view(count, height, width, 2)
    return grid_sample(images, grid, "bilinear", "reflection", False)


@cache
def _places(height: int, width: int, device: torch.device) -> Tensor:
    """The pixels' centres (1, H W, 3) as x, y, 1 with x and y in -1..1."""
    grid = affine_grid(torch.eye(2, 3)[None], [1, 1, height, width], align_corners=False).view(1, -1, 2)
    return torch.cat([grid, torch.ones_like(grid[..., :1])], dim=2).to(device)
