"""Which devices a script computes on, and torch's settings that make its results repeatable."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from workflow_scripts.core.errors import InputError, is_out_of_gpu_memory
from workflow_scripts.core.gpus import requested_gpus, take_devices

logger = logging.getLogger("copycat")

Result = TypeVar("Result")
AMPERE = (8, 0)  # the compute capability from which on GPUs multiply bfloat16
DRIVER = Path("/proc/driver/nvidia/version")
# How a person chooses the CPU, in messages. (`--resources gpu=0` would take a profile's other limits away.)
ON_THE_CPU = "compute on the CPU: CUDA_VISIBLE_DEVICES= snakemake ..., on a cluster --set-resources RULE:gpu=0"
# The oldest NVIDIA driver for Linux that runs programs of a major version of CUDA (NVIDIA's notes on compatibility).
OLDEST_DRIVER = {"12": "525.60.13", "13": "580.65.06"}

# Instructions of x86 processors for products of these formats, any of which will do. Other formats need none.
INSTRUCTIONS = {
    torch.bfloat16: ("avx512_bf16", "amx_bf16"),
    torch.int8: ("avx512_vnni", "avx_vnni", "amx_int8"),
}


def is_emulated(kind: torch.dtype, device: torch.device) -> bool:
    """Whether the device multiplies this format by other instructions than its own, many times slower than float32."""
    if device.type == "cuda":
        return kind == torch.bfloat16 and torch.cuda.get_device_capability(device) < AMPERE
    if kind not in INSTRUCTIONS:
        return False
    able = torch.cpu.get_capabilities()
    return not any(able.get(name) for name in INSTRUCTIONS[kind])


def warn_of_emulation(precision: str, device: torch.device) -> None:
    """Say before a training if its precision, a setting of the presets, makes it slow on this device."""
    if precision == "bfloat16" and is_emulated(torch.bfloat16, device):
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "this processor"
        logger.warning(
            "precision: bfloat16 takes many times as long as float32 on %s, which has no instructions for it. Set it "
            "to float32 in the config's `overrides`, or compute on a GPU of compute capability 8.0 or newer.", name
        )  # fmt: skip


def be_deterministic() -> None:
    """Use deterministic kernels, warn where there is none, and compute float32 as float32.

    What `torch.use_deterministic_algorithms` does, but that imports torch's compiler, a second in every job.
    """
    torch.set_deterministic_debug_mode("warn")
    # That would also fill all memory before it is written, 24 kernels a step; nothing here reads what is not written.
    torch._C._set_deterministic_fill_uninitialized_memory(False)
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    # Without a workspace of fixed size cuBLAS may add up in another order; read when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ["TORCHINDUCTOR_DETERMINISTIC"] = "1"  # the compiler reads it if it is ever imported


@contextmanager
def training_kernels(deterministic: bool) -> Iterator[None]:
    """How networks are trained: by deterministic kernels, with convolutions in TF32 where the GPU has it.

    deterministic: whether every operation has such a kernel. A missing one is then an error; fused attention takes its
    deterministic form only so. Otherwise it is a warning.
    """
    mode, tf32 = torch.get_deterministic_debug_mode(), torch.backends.cudnn.allow_tf32
    torch.set_deterministic_debug_mode("error" if deterministic else "warn")
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.backends.cudnn.allow_tf32 = tf32


def prepare_torch(threads: int, gpus: int = 1) -> list[torch.device]:
    """Let torch use `threads` CPU threads and deterministic kernels; give up to `gpus` GPUs, or the CPU.

    The GPUs are this process's until it ends. To be called before anything else that touches CUDA. Raises InputError
    if a GPU is there and asked for, but CUDA does not start.
    """
    taken = take_devices(gpus)
    torch.set_num_threads(threads)
    be_deterministic()
    if taken and not torch.cuda.is_available():
        _explain_missing_cuda(taken)
    count = min(gpus, torch.cuda.device_count()) if torch.cuda.is_available() else 0
    devices = [torch.device("cuda", i) for i in range(count)] or [torch.device("cpu")]
    for device in devices[:count]:
        _check_capability(device)
    names = [torch.cuda.get_device_name(device) for device in devices if device.type == "cuda"]
    logger.info("computing on %s", ", ".join(names) or f"the CPU with {threads} thread(s)")
    return devices


def devices_of_job(job: Any) -> list[torch.device]:
    """`prepare_torch` with the threads and the GPUs (resource `gpu` or `gres`) of a Snakemake job."""
    return prepare_torch(job.threads, requested_gpus(job.resources))


def device_of_job(job: Any) -> torch.device:
    """The device of a Snakemake job that uses one: a GPU if the job asks for any and there is one, else the CPU."""
    [device] = prepare_torch(job.threads, min(1, requested_gpus(job.resources)))
    return device


def _explain_missing_cuda(names: list[str]) -> None:
    """Raise InputError with what CUDA says; only warn where no driver is, as with a stray CUDA_VISIBLE_DEVICES."""
    if not DRIVER.exists():
        logger.warning("CUDA_VISIBLE_DEVICES names %s, but this machine has no NVIDIA driver", ",".join(names))
        return
    try:
        torch.cuda.init()
        cause = "it finds no device"
    except (RuntimeError, AssertionError) as error:
        cause = str(error).splitlines()[0]
    advice = "Renew the driver" if driver_is_too_old() else "Restart the machine if its driver was renewed meanwhile"
    raise InputError(
        f"GPU {','.join(names)} is asked for, but CUDA does not start ({cause}). The NVIDIA driver is "
        f"{driver_version() or 'unknown'}; this PyTorch, for CUDA {torch.version.cuda}, needs {oldest_driver()} or "
        f"newer. {advice}, or {ON_THE_CPU}"
    )


def driver_version() -> str:
    """Of the NVIDIA driver that is loaded; empty if there is none, or it does not say."""
    text = DRIVER.read_text() if DRIVER.exists() else ""
    [version] = re.findall(r"Module\D*(\d+\.[\d.]*\d)", text)[:1] or [""]
    return version


def oldest_driver() -> str:
    """The oldest driver that the CUDA libraries of this PyTorch work with."""
    return OLDEST_DRIVER.get(str(torch.version.cuda).split(".")[0], "an unknown one")


def driver_is_too_old() -> bool:
    """Whether the driver that is loaded is older than that."""
    loaded, oldest = ([int(part) for part in re.findall(r"\d+", text)] for text in (driver_version(), oldest_driver()))
    return bool(loaded) and loaded < oldest


def _check_capability(device: torch.device) -> None:
    """Raise InputError for a GPU that is older than any that this PyTorch has kernels for."""
    capability = torch.cuda.get_device_capability(device)
    built = [divmod(int(name[3:]), 10) for name in torch.cuda.get_arch_list() if name[3:].isdigit()]
    if built and capability < min(built):
        own, oldest = (".".join(map(str, pair)) for pair in (capability, min(built)))
        raise InputError(
            f"{torch.cuda.get_device_name(device)} has compute capability {own}; this PyTorch has kernels for {oldest} "
            f"and newer. Choose another GPU (CUDA_VISIBLE_DEVICES), or {ON_THE_CPU}"
        )


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on the device, by a copy for which neither waits."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def in_batches(work: Callable[[slice], Result], count: int, at_once: int) -> Iterator[Result]:
    """Results of `work` on consecutive rows of `count`, `at_once` at a time, or fewer where GPU memory is short."""
    start = 0
    while start < count:
        rows = slice(start, min(start + at_once, count))
        try:
            result = work(rows)
        except RuntimeError as error:
            if not is_out_of_gpu_memory(error) or at_once == 1:
                raise
        else:
            yield result
            start = rows.stop
            continue
        # Here the error is gone, and with it what its frames held.
        at_once //= 2
        torch.cuda.empty_cache()
        logger.info("GPU memory is short: %d at once", at_once)


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU's memory that nobody holds."""
    return torch.cuda.mem_get_info(device)[0]


def or_on_cpu(work: Callable[[torch.device], Result], device: torch.device) -> Result:
    """What `work` gives on the device, or on the CPU if GPU memory is too short for it."""
    try:
        return work(device)
    except RuntimeError as error:
        if not is_out_of_gpu_memory(error):
            raise
    torch.cuda.empty_cache()
    logger.warning("GPU memory is short: this is computed on the CPU")
    return work(torch.device("cpu"))


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
