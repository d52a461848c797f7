"""Work in a process of its own: how long it takes, and the most memory that the process ever held."""

import multiprocessing
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def _work(work: Callable[..., Any], arguments: tuple, threads: int, answers: multiprocessing.Queue) -> None:
    torch.set_num_threads(threads)
    began = time.perf_counter()
    result = work(*arguments)
    taken = time.perf_counter() - began
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    answers.put((taken, int(peak.split()[1]) / 2**20, result))


def alone(work: Callable[..., Any], *arguments: Any) -> tuple[float, float, Any]:
    """Seconds, GiB and the result of work(*arguments). Raises RuntimeError if its process ends without one."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_work, args=(work, arguments, torch.get_num_threads(), answers), daemon=True)
    process.start()
    try:
        while True:
            try:
                return answers.get(timeout=1)
            except queue.Empty:
                if not process.is_alive() and answers.empty():
                    raise RuntimeError(f"its process ended with {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
