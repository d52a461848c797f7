"""Which device a script computes on, and torch's settings that make its results repeatable."""

import logging

import torch

logger = logging.getLogger("copycat")


def prepare_torch(threads: int) -> torch.device:
    """Let torch use `threads` CPU threads and deterministic kernels; give the GPU if there is one, else the CPU."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {threads} threads"
    logger.info("computing on %s", name)
    return device
