"""Work in a process of its own: how long it takes, and the most memory that the process ever held."""

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def _work(work: Callable[..., Any], arguments: tuple, threads: int, queue: multiprocessing.Queue) -> None:
    torch.set_num_threads(threads)
    began = time.perf_counter()
    result = work(*arguments)
    taken = time.perf_counter() - began
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    queue.put((taken, int(peak.split()[1]) / 2**20, result))


def alone(work: Callable[..., Any], *arguments: Any) -> tuple[float, float, Any]:
    """Seconds, GiB and the result of work(*arguments)."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_work, args=(work, arguments, torch.get_num_threads(), queue))
    process.start()
    taken, memory, result = queue.get()
    process.join()
    return taken, memory, result
