"""Images that a small GAN learns within seconds."""

import torch
from torch import Tensor


def eight_patterns() -> Tensor:
    """Black and white patterns (8, 8, 8, 1), bytes, that differ by a root mean square of 0.55 of the range and more."""
    steps = [torch.tensor(signs).repeat_interleave(2) for signs in ((1, 1, 1, 1), (-1, -1, 1, 1), (-1, 1, 1, -1))]
    patterns = torch.stack([torch.outer(rows, columns) for rows in steps for columns in steps])[:8]
    return (patterns * 100 + 127.5).to(torch.uint8)[..., None]
