"""Which devices a script computes on, and torch's settings that make its results repeatable."""

import logging

import torch

from workflow_scripts.gpus import take_devices

logger = logging.getLogger("copycat")


def prepare_torch(threads: int, gpus: int = 1) -> list[torch.device]:
    """Let torch use `threads` CPU threads and deterministic kernels; give up to `gpus` GPUs, or the CPU.

    The GPUs are this process's until it ends. To be called before anything else that touches CUDA.
    """
    take_devices(gpus)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    found = min(gpus, torch.cuda.device_count()) if torch.cuda.is_available() else 0
    devices = [torch.device("cuda", i) for i in range(found)] or [torch.device("cpu")]
    names = [torch.cuda.get_device_name(device) for device in devices if device.type == "cuda"]
    logger.info("computing on %s", ", ".join(names) or f"the CPU with {threads} thread(s)")
    return devices
