"""Images at a lower resolution."""

import numpy as np
import torch
from torch.nn.functional import interpolate


def shrink(images: np.ndarray, resolution: int) -> np.ndarray:
    """Images uint8 (n, H, W, C) scaled down to `resolution` px, anti-aliased; smaller ones stay as they are."""
    if images.shape[1] <= resolution or not len(images):
        return np.asarray(images)
    size = (resolution, resolution)
    parts = (torch.from_numpy(np.array(images[i : i + 1024])) for i in range(0, len(images), 1024))
    small = [interpolate(part.permute(0, 3, 1, 2), size, mode="bilinear", antialias=True) for part in parts]
    return torch.cat(small).permute(0, 2, 3, 1).contiguous().numpy()
