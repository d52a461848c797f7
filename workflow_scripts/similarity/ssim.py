"""Structural similarity (SSIM, Wang et al. 2004) of many pairs of images at once.

The definition is scikit-image's with Gaussian weights: sigma 1.5, an 11 x 11 window, population statistics, K1 = 0.01,
K2 = 0.03, data range 255, mean over the places where the whole window lies in the image. Means and variances are taken
once for each image; of a pair only the product is blurred, by two matrix products with a band matrix.

A covariance is the small difference of two large numbers where images are flat and bright. Two things keep the float32
arithmetic within 1e-5 of scikit-image's float64 there, too: values are taken about the middle of their image's range,
and what is blurred are the steps between neighbours, so that the blur of a flat region is exact.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
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
PAIR_BYTES = 2**20  # of one chunk of products: larger ones leave the processor's cache
GPU_PAIR_BYTES = 2**27  # enough work for each kernel

Channels = Literal["luminance", "mean"]


@dataclass(frozen=True)
class Prepared:
    """Images for `ssim_pairs`.

    values: (N, C, H, W) less the middle of the image's own range, shift (N, C, 1, 1). All others (N, C, H - 10,
    W - 10). mean: local mean of the values. energy: half of C1 plus the square of the true local mean. spread: half of
    C2 plus the local variance.
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
    # Rounded, so that grey values stay integers and their products exact.
    shift = ((values.amax((2, 3), keepdim=True) + values.amin((2, 3), keepdim=True)) / 2).round()
    values = values.contiguous() - shift
    mean = _blur(values)
    # Not clamped at zero: the rounding of an image's variance and that of its covariances then cancel.
    variance = _blur(values.square()) - mean.square()
    return Prepared(values, shift, mean, (mean + shift).square() + C1 / 2, variance + C2 / 2)


def ssim_pairs(prepared: Prepared, first: Tensor, second: Tensor) -> Tensor:
    """SSIM float32 (P,) of image first[p] with image second[p], int64 (P,) on the device; memory is bounded."""
    _, channels, height, width = prepared.values.shape
    device = prepared.values.device
    size = max(1, (PAIR_BYTES if device.type == "cpu" else GPU_PAIR_BYTES) // (4 * channels * height * width))
    found = torch.empty(len(first), device=device)

    def compare(start: int) -> int:
        i, j = first[start : start + size], second[start : start + size]
        values, other_values = _both(prepared.values, i, j)
        mean, other_mean = _both(prepared.mean, i, j)
        energy, other_energy = _both(prepared.energy, i, j)
        spread, other_spread = _both(prepared.spread, i, j)
        covariance = _blur(values.mul_(other_values)).addcmul_(mean, other_mean, value=-1)
        luminance = mean.add_(prepared.shift[i]).mul_(other_mean.add_(prepared.shift[j])).mul_(2).add_(C1)
        structure = covariance.mul_(2).add_(C2)
        below = energy.add_(other_energy).mul_(spread.add_(other_spread))
        found[start : start + len(i)] = luminance.mul_(structure).div_(below).mean((1, 2, 3))
        return len(i)

    with progress(len(first), "pairs", label="SSIM") as bar:
        for count in _on_threads(compare, range(0, len(first), size), device):
            bar.advance(count)
    return found


def _on_threads(work: Callable[[int], int], starts: Iterable[int], device: torch.device) -> Iterator[int]:
    """Results of the work for each start; on the CPU, each of torch's threads takes whole chunks.

    Threads that share each small step wait for each other at its end: beside other jobs, that takes most of the time.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield from map(work, starts)
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(work, starts)
    finally:
        torch.set_num_threads(threads)


def _both(values: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    # On the CPU, index_select is several times faster than values[first].
    return values.index_select(0, first), values.index_select(0, second)


def _blur(values: Tensor) -> Tensor:
    """Gaussian-weighted local means (N, C, H - 10, W - 10) of values (N, C, H, W)."""
    count, channels, height, width = values.shape
    rows, columns = _step_weights(height, values.device), _step_weights(width, values.device)
    inside = slice(RADIUS, -RADIUS)
    values = values.reshape(-1, width)
    values = torch.addmm(values[:, inside], values[:, 1:] - values[:, :-1], columns.T)
    values = values.view(-1, height, len(columns))
    values = torch.baddbmm(values[:, inside], rows.expand(len(values), -1, -1), values[:, 1:] - values[:, :-1])
    return values.view(count, channels, *values.shape[1:])


@cache
def _step_weights(size: int, device: torch.device) -> Tensor:
    """The blur along one axis, less the value itself, as a matrix (size - 10, size - 1) on the steps v[k + 1] - v[k].

    With weights w, sum_k w_k v_k = v_0 + sum_k w_k (v_k - v_0), and v_k - v_0 is the sum of the steps between.
    """
    places = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (places / SIGMA) ** 2)
    passed = (weights / weights.sum()).cumsum(0)
    band = torch.zeros(size - 2 * RADIUS, size - 1, dtype=torch.float64)
    for shift in range(2 * RADIUS):
        band.diagonal(shift)[:] = -passed[shift] if shift < RADIUS else 1 - passed[shift]
    return band.float().to(device)
