"""Copies that are planted to learn what an audit finds: images as they are, and changed in ways that may hide them."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

# Luma and chroma (BT.601): the hue is an angle in the plane of the latter two.
LUMA = torch.tensor([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])

LARGEST_JPEG = 65_000  # px of a side

Change = Callable[[Tensor, torch.Generator], Tensor]  # of images (n, C, H, W) in 0..1


@dataclass(frozen=True)
class Planted:
    """Planted images: uint8 (n, H, W, C), the number of the image that each was made from, and how it was changed."""

    images: np.ndarray
    source: np.ndarray
    change: np.ndarray


def plant(images: np.ndarray, numbers: np.ndarray, seed: int) -> Planted:
    """Each of `images`, uint8 (n, H, W, C), changed in each of the ways of `CHANGES` that its channels allow."""
    pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255
    random = torch.Generator().manual_seed(seed)
    changes = {name: change for name, change in CHANGES.items() if images.shape[-1] == 3 or name != "hue"}
    parts = [change(pixels, random) for change in changes.values()]
    planted = (torch.cat(parts).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    names = np.repeat(list(changes), len(images))
    return Planted(planted.contiguous().numpy(), np.tile(numbers, len(changes)), names)


def _warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Images seen through affine maps (n, 2, 3) of coordinates in -1..1; the border's pixels go on outside."""
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def _maps(count: int, scale: float = 1.0, degrees: float = 0.0) -> Tensor:
    angle = torch.tensor(np.deg2rad(degrees))
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    return torch.cat([scale * turn, torch.zeros(2, 1)], dim=1).float().repeat(count, 1, 1)


def _shift(images: Tensor, random: torch.Generator) -> Tensor:
    """By a tenth of the side, along both axes, in one of four directions."""
    matrix = _maps(len(images))
    matrix[:, :, 2] = 0.2 * (2.0 * torch.randint(2, (len(images), 2), generator=random) - 1)
    return _warp(images, matrix)


def _crop(images: Tensor, random: torch.Generator) -> Tensor:
    """A random part of 80 % of the side, enlarged."""
    matrix = _maps(len(images), 0.8)
    matrix[:, :, 2] = 0.2 * (2 * torch.rand(len(images), 2, generator=random) - 1)
    return _warp(images, matrix)


def _scaled(images: Tensor, _: torch.Generator, scale: float = 1.0, degrees: float = 0.0) -> Tensor:
    return _warp(images, _maps(len(images), scale, degrees))


def _noise(images: Tensor, random: torch.Generator) -> Tensor:
    return images + 0.05 * torch.randn(images.shape, generator=random)


def _contrast(images: Tensor, _: torch.Generator) -> Tensor:
    return images.mean(dim=(1, 2, 3), keepdim=True) * 0.3 + 0.7 * images


def _hue(images: Tensor, _: torch.Generator) -> Tensor:
    """Colours turned by 30 degrees."""
    turn = torch.eye(3)
    turn[1:, 1:] = _maps(1, 1.0, 30.0)[0, :, :2]
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(LUMA) @ turn @ LUMA, images)


def _half(images: Tensor, random: torch.Generator) -> Tensor:
    """The right half is that of another of the images."""
    mixed = images.clone()
    other = images.roll(1 + int(torch.randint(max(1, len(images) - 1), (1,), generator=random)), dims=0)
    mixed[..., images.shape[-1] // 2 :] = other[..., images.shape[-1] // 2 :]
    return mixed


def _jpeg(images: Tensor, _: torch.Generator) -> Tensor:
    """Compressed with quality 50: all images as one sheet, so that nothing is done image by image."""
    channels, height, width = images.shape[1:]
    padded = torch.nn.functional.pad(images, (0, -width % 16, 0, -height % 16), mode="replicate")  # whole blocks
    high, wide = padded.shape[-2:]
    decoded = []
    for part in padded.split(LARGEST_JPEG // high):
        sheet = (part.permute(1, 0, 2, 3).reshape(channels, -1, wide) * 255).round().byte().permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(file, "JPEG", quality=50)
        pixels = np.asarray(Image.open(file), dtype=np.float32).reshape(-1, high, wide, channels) / 255
        decoded.append(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    return torch.cat(decoded)[..., :height, :width]


CHANGES: dict[str, Change] = {
    "none": lambda images, _: images,
    "JPEG, quality 50": _jpeg,
    "noise, SD 5 %": _noise,
    "brightness + 15 %": lambda images, _: images * 1.15,
    "contrast x 0.7": _contrast,
    "hue": _hue,
    "mirrored": lambda images, _: images.flip(-1),
    "shifted by a tenth": _shift,
    "cropped to 80 %": _crop,
    "zoomed out to 80 %": partial(_scaled, scale=1.25),
    "rotated by 10 degrees": partial(_scaled, degrees=10.0),
    "half of another image": _half,
}
