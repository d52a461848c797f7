"""Which devices a script computes on, and torch's settings that make its results repeatable."""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

from workflow_scripts.core.gpus import take_devices

logger = logging.getLogger("copycat")

# Instructions of x86 processors for products of these formats, any of which will do. Other formats need none.
INSTRUCTIONS = {
    torch.bfloat16: ("avx512_bf16", "amx_bf16"),
    torch.int8: ("avx512_vnni", "avx_vnni", "amx_int8"),
}


def is_emulated(kind: torch.dtype, device: torch.device) -> bool:
    """Whether the device multiplies this format by other instructions than its own, many times slower than float32."""
    if device.type != "cpu" or kind not in INSTRUCTIONS:
        return False
    able = torch.cpu.get_capabilities()
    return not any(able.get(name) for name in INSTRUCTIONS[kind])


def warn_of_emulation(precision: str, device: torch.device) -> None:
    """Say before a training if its precision, a setting of the presets, makes it slow on this device."""
    if precision == "bfloat16" and is_emulated(torch.bfloat16, device):
        logger.warning(
            "precision: bfloat16 takes many times as long as float32 on this processor, which has no instructions for "
            "it. Set it to float32 in the config's `overrides`, or compute on a GPU."
        )


def be_deterministic() -> None:
    """Use deterministic kernels, and warn where there is none.

    What `torch.use_deterministic_algorithms` does, but that imports torch's compiler, a second in every job.
    """
    torch.set_deterministic_debug_mode("warn")
    torch.backends.cudnn.benchmark = False
    # Without a workspace of fixed size cuBLAS may add up in another order; read when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ["TORCHINDUCTOR_DETERMINISTIC"] = "1"  # the compiler reads it if it is ever imported


def prepare_torch(threads: int, gpus: int = 1) -> list[torch.device]:
    """Let torch use `threads` CPU threads and deterministic kernels; give up to `gpus` GPUs, or the CPU.

    The GPUs are this process's until it ends. To be called before anything else that touches CUDA.
    """
    take_devices(gpus)
    torch.set_num_threads(threads)
    be_deterministic()
    found = min(gpus, torch.cuda.device_count()) if torch.cuda.is_available() else 0
    devices = [torch.device("cuda", i) for i in range(found)] or [torch.device("cpu")]
    names = [torch.cuda.get_device_name(device) for device in devices if device.type == "cuda"]
    logger.info("computing on %s", ", ".join(names) or f"the CPU with {threads} thread(s)")
    return devices


@contextmanager
def side_by_side(device: torch.device) -> Iterator[tuple[int, Callable[..., Iterator[Any]]]]:
    """How many pieces of work are computed at a time, and the `map` that does it.

    On a CPU as many as PyTorch has threads, each with one thread of PyTorch's and NumPy's: threads that share every
    single operation wait for each other after each. They work in the caller's inference mode, whose tensors no thread
    outside it may write to. On a GPU one, by the builtin.
    """
    threads, mode = torch.get_num_threads(), torch.inference_mode(torch.is_inference_mode_enabled())
    if device.type != "cpu":
        yield 1, map
        return
    torch.set_num_threads(1)
    try:
        with _libraries().limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            yield threads, lambda work, pieces: pool.map(mode(work), pieces)
    finally:
        torch.set_num_threads(threads)


@cache
def _libraries() -> ThreadpoolController:
    """Those loaded that have threads of their own; to look for them takes milliseconds."""
    return ThreadpoolController()
