"""Structural similarity (SSIM, Wang et al. 2004) of many pairs of images at once.

The definition is scikit-image's with Gaussian weights: sigma 1.5, an 11 x 11 window, population statistics, K1 = 0.01,
K2 = 0.03, data range 255, mean over the places where the whole window lies in the image. Means and variances are taken
once for each image; of a pair only the product is blurred, by two matrix products with a band matrix.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.files import InputError
from workflow_scripts.job import progress

RADIUS, SIGMA = 5, 1.5
SMALLEST = 2 * RADIUS + 1  # px
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
LUMINANCE = (0.2125, 0.7154, 0.0721)  # of linear R, G, B, as in skimage.color.rgb2gray
PAIR_BYTES = 2**23  # of one chunk of products: larger ones leave the processor's cache

Channels = Literal["luminance", "mean"]


@dataclass(frozen=True)
class Prepared:
    """Images for `ssim_pairs`.

    values: (N, C, H, W) less the image's own mean, shift (N, C, 1, 1): of values about zero, little cancels in a
    covariance. All others (N, C, H - 10, W - 10). mean: local mean of the values. energy: half of C1 plus the square of
    the true local mean. spread: half of C2 plus the local variance.
    """

    values: Tensor
    shift: Tensor
    mean: Tensor
    energy: Tensor
    spread: Tensor


def prepare(images: np.ndarray, channels: Channels = "luminance", device: torch.device | str = "cpu") -> Prepared:
    """Images, uint8 (N, H, W, C) of at least 11 px, with their local statistics on the device.

    `luminance`: colour images become grey first; `mean`: the SSIM is the mean of that of each channel.
    Raises InputError for smaller images.
    """
    if min(images.shape[1:3]) < SMALLEST:
        raise InputError(
            f"SSIM: images of {images.shape[1]} x {images.shape[2]} px given, expected at least {SMALLEST} px; raise "
            "the resolution of the data set"
        )
    values = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float()
    if channels == "luminance" and values.shape[1] == 3:
        values = (values * torch.tensor(LUMINANCE, device=device)[:, None, None]).sum(1, keepdim=True)
    shift = values.mean((2, 3), keepdim=True)
    values = values.contiguous() - shift
    mean = _blur(values)
    variance = (_blur(values.square()) - mean.square()).clamp(min=0)
    return Prepared(values, shift, mean, (mean + shift).square() + C1 / 2, variance + C2 / 2)


def ssim_pairs(prepared: Prepared, first: Tensor, second: Tensor) -> Tensor:
    """SSIM float32 (P,) of image first[p] with image second[p], int64 (P,) on the device; memory is bounded."""
    _, channels, height, width = prepared.values.shape
    size = max(1, PAIR_BYTES // (4 * channels * height * width))
    found = torch.empty(len(first), device=prepared.values.device)
    with progress(len(first), "pairs", label="SSIM") as bar:
        for start in range(0, len(first), size):
            i, j = first[start : start + size], second[start : start + size]
            mean, other_mean = prepared.mean[i], prepared.mean[j]
            covariance = _blur(prepared.values[i].mul_(prepared.values[j])).sub_(mean * other_mean)
            luminance = mean.add_(prepared.shift[i]).mul_(other_mean.add_(prepared.shift[j])).mul_(2).add_(C1)
            structure = covariance.mul_(2).add_(C2)
            below = (prepared.energy[i].add_(prepared.energy[j])).mul_(prepared.spread[i].add_(prepared.spread[j]))
            found[start : start + len(i)] = luminance.mul_(structure).div_(below).mean((1, 2, 3))
            bar.advance(len(i))
    return found


def _blur(values: Tensor) -> Tensor:
    """Gaussian-weighted local means (N, C, H - 10, W - 10) of values (N, C, H, W)."""
    rows, columns = (_band(size, values.device) for size in values.shape[2:])
    return rows @ (values @ columns.T)


def _band(size: int, device: torch.device) -> Tensor:
    """The blur along one axis as a matrix (size - 10, size)."""
    places = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (places / SIGMA) ** 2)
    band = torch.zeros(size - 2 * RADIUS, size, dtype=torch.float64)
    for shift, weight in enumerate(weights / weights.sum()):
        band.diagonal(shift)[:] = weight
    return band.float().to(device)
