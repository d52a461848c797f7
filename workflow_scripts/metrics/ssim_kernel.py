"""The SSIM of pairs of images on the CPU, one pair at a time while it lies in the processor's nearest cache.

What would be a dozen passes over memory in PyTorch is one here, compiled by Numba: five times faster
(docs/performance.md).
"""

import os
from pathlib import Path

import numba
import numpy as np

RADIUS, SIGMA = 5, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

WEIGHTS = np.exp(-0.5 * (np.arange(RADIUS + 1) / SIGMA) ** 2)
WEIGHTS /= WEIGHTS[0] + 2 * WEIGHTS[1:].sum()
W1, W2, W3, W4, W5 = (np.float32(weight) for weight in WEIGHTS[1:])
TWO, ADDED_1, ADDED_2 = np.float32(2), np.float32(C1), np.float32(C2)


@numba.njit(inline="always")
def _weighted(m, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5):
    """The weighted mean about m, by differences from m: exact where all are equal."""
    near = W1 * ((a1 - m) + (b1 - m)) + W2 * ((a2 - m) + (b2 - m)) + W3 * ((a3 - m) + (b3 - m))
    return m + (near + W4 * ((a4 - m) + (b4 - m)) + W5 * ((a5 - m) + (b5 - m)))


# Compiled in a few seconds once for each machine, kept beside this file where that can be written.
@numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy", cache=os.access(Path(__file__).parent, os.W_OK))
def ssim_of_pairs(values, shift, mean, spread, first, second, ssim):
    """Write the SSIM of images first[p] and second[p], int64 (P,), to ssim[p], float32 (P,).

    values float32 (N, C, H, W), shift (N, C), mean and spread (N, C, H - 10, W - 10): as `ssim.Prepared` has them.
    """
    _, channels, height, width = values.shape
    high, wide = height - 2 * RADIUS, width - 2 * RADIUS
    product = np.empty(width, np.float32)
    blurred = np.empty((height, wide), np.float32)  # along rows
    columns = np.empty(wide, np.float32)
    for p in range(len(first)):
        i, j = first[p], second[p]
        total = 0.0
        for channel in range(channels):
            x, y = values[i, channel], values[j, channel]
            x_mean, y_mean = mean[i, channel], mean[j, channel]
            x_spread, y_spread = spread[i, channel], spread[j, channel]
            x_shift, y_shift = shift[i, channel], shift[j, channel]
            for r in range(height):
                for c in range(width):
                    product[c] = x[r, c] * y[r, c]
                q = product
                for c in range(wide):
                    blurred[r, c] = _weighted(
                        q[c + 5], q[c + 4], q[c + 6], q[c + 3], q[c + 7], q[c + 2], q[c + 8], q[c + 1], q[c + 9],
                        q[c], q[c + 10],
                    )  # fmt: skip
            columns[:] = 0
            for r in range(high):
                b = blurred[r : r + 2 * RADIUS + 1]
                for c in range(wide):
                    local = _weighted(
                        b[5, c], b[4, c], b[6, c], b[3, c], b[7, c], b[2, c], b[8, c], b[1, c], b[9, c], b[0, c],
                        b[10, c],
                    )  # fmt: skip
                    covariance = local - x_mean[r, c] * y_mean[r, c]
                    x_true, y_true = x_mean[r, c] + x_shift, y_mean[r, c] + y_shift
                    above = (TWO * x_true * y_true + ADDED_1) * (TWO * covariance + ADDED_2)
                    energies = x_true * x_true + y_true * y_true + ADDED_1
                    columns[c] += above / (energies * (x_spread[r, c] + y_spread[r, c]))
            for c in range(wide):
                total += columns[c]
        ssim[p] = total / (channels * high * wide)
