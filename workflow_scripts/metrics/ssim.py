"""Structural similarity (SSIM, Wang et al. 2004) of many pairs of images at once.

The definition is scikit-image's with Gaussian weights: sigma 1.5, an 11 x 11 window, population statistics, K1 = 0.01,
K2 = 0.03, data range 255, mean over the places where the whole window lies in the image. Means and variances are taken
once for each image; of a pair only the product is blurred.

A covariance is the small difference of two large numbers where images are flat and bright. Two things keep the float32
arithmetic within 1e-5 of scikit-image's float64 there, too: values are taken about the middle of their image's range,
and what is weighted are differences between neighbours, so that the blur of a flat region is exact.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.core.devices import in_batches
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.progress import progress
from workflow_scripts.metrics.ssim_kernel import C1, C2, RADIUS, WEIGHTS, ssim_of_pairs

SMALLEST = 2 * RADIUS + 1  # px
LUMINANCE = (0.2125, 0.7154, 0.0721)  # of linear R, G, B, as in skimage.color.rgb2gray
GPU_PAIR_BYTES = 2**27  # of one chunk of products on a GPU: enough work for each kernel
CPU_PAIRS = 4096  # in one chunk for a thread
TILE_BYTES = 2**20  # of images whose pairs follow each other on the CPU: they stay in its cache

Channels = Literal["luminance", "mean"]


@dataclass(frozen=True)
class Prepared:
    """Images for `ssim_pairs`.

    values: (N, C, H, W) less the middle of the image's own range, shift (N, C). mean: local mean of the values,
    (N, C, H - 10, W - 10). spread: half of C2 plus the local variance, of the same shape.
    """

    values: Tensor
    shift: Tensor
    mean: Tensor
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
    values = torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2).float()
    if channels == "luminance" and values.shape[1] == 3:
        values = (values * torch.tensor(LUMINANCE, device=device)[:, None, None]).sum(1, keepdim=True)
    # Rounded, so that grey values stay integers and their products exact.
    shift = ((values.amax((2, 3), keepdim=True) + values.amin((2, 3), keepdim=True)) / 2).round()
    values = values.contiguous() - shift
    mean = _blur(values)
    # Not clamped at zero: the rounding of an image's variance and that of its covariances then cancel.
    variance = _blur(values.square()) - mean.square()
    return Prepared(values, shift[:, :, 0, 0], mean, variance + C2 / 2)


def ssim_pairs(prepared: Prepared, first: Tensor, second: Tensor) -> Tensor:
    """SSIM float32 (P,) of image first[p] with image second[p], int64 (P,) on the device; memory is bounded."""
    device = prepared.values.device
    ssim = torch.empty(len(first), device=device)
    with progress(len(first), "pairs", label="SSIM") as bar:
        for count in (_compare_on_cpu if device.type == "cpu" else _compare_on_gpu)(prepared, first, second, ssim):
            bar.advance(count)
    return ssim


def _compare_on_cpu(prepared: Prepared, first: Tensor, second: Tensor, ssim: Tensor) -> Iterator[int]:
    tile = max(1, TILE_BYTES // (3 * prepared.values[0].nbytes))
    order = np.lexsort((second // tile, first // tile))
    maps = [tensor.numpy() for tensor in (prepared.values, prepared.shift, prepared.mean, prepared.spread)]
    result = ssim.numpy()

    def compare(start: int) -> int:
        pairs = order[start : start + CPU_PAIRS]
        block = np.empty(len(pairs), np.float32)
        ssim_of_pairs(*maps, first.numpy()[pairs], second.numpy()[pairs], block)  # type: ignore[call-arg]
        result[pairs] = block
        return len(pairs)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        yield from pool.map(compare, range(0, len(first), CPU_PAIRS))


def _compare_on_gpu(prepared: Prepared, first: Tensor, second: Tensor, ssim: Tensor) -> Iterator[int]:
    def compare(rows: slice) -> int:
        i, j = first[rows], second[rows]
        mean, other_mean = prepared.mean[i], prepared.mean[j]
        covariance = _blur(prepared.values[i].mul_(prepared.values[j])).addcmul_(mean, other_mean, value=-1)
        structure = covariance.mul_(2).add_(C2)
        spread = prepared.spread[i].add_(prepared.spread[j])
        mean.add_(prepared.shift[i][:, :, None, None])
        other_mean.add_(prepared.shift[j][:, :, None, None])
        energy = mean.square().addcmul_(other_mean, other_mean).add_(C1)
        luminance = mean.mul_(other_mean).mul_(2).add_(C1)
        ssim[rows] = luminance.mul_(structure).div_(energy.mul_(spread)).mean((1, 2, 3))
        return len(i)

    return in_batches(compare, len(first), max(1, GPU_PAIR_BYTES // prepared.values[0].nbytes))


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
    passed = np.concatenate([WEIGHTS[:0:-1], WEIGHTS]).cumsum()
    band = torch.zeros(size - 2 * RADIUS, size - 1, dtype=torch.float64)
    for shift in range(2 * RADIUS):
        band.diagonal(shift)[:] = -passed[shift] if shift < RADIUS else 1 - passed[shift]
    return band.float().to(device)
