"""How fast this machine can be at all: products of matrices in each number format, and reading and writing memory."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from workflow_scripts.core.devices import is_emulated

FORMATS = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "int8": torch.int8}
TRIALS = 3


@dataclass(frozen=True)
class Ceiling:
    """rates: operations a second of products in each format, an addition and a multiplication being two. bandwidth:
    bytes a second, of a sum of two arrays into a third.
    """

    rates: dict[str, float]
    bandwidth: float

    def share(self, seconds: float, operations: float, kind: str) -> str:
        """What share of this machine's rate so many operations in so many seconds are."""
        return f"{100 * operations / seconds / self.rates[kind]:.0f} % of {kind}"


def measure_ceiling(device: torch.device, side: int) -> Ceiling:
    """The best of some trials, with square matrices of this side; on a CPU of PyTorch's and NumPy's library."""

    def best(work: Callable[[], object]) -> float:
        times = []
        for _ in range(TRIALS + 1):
            began = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - began)
        return min(times[1:])

    rates = {}
    for kind, dtype in FORMATS.items():
        if is_emulated(dtype, device):
            continue  # nothing here computes with it, and it would take minutes
        left, right = (torch.randint(-99, 99, (side, side), device=device).to(dtype) for _ in range(2))
        works: list[Callable[[], object]] = [partial(torch._int_mm if kind == "int8" else torch.mm, left, right)]
        if device.type == "cpu" and kind.startswith("float"):
            works.append(partial(np.matmul, left.numpy(), right.numpy()))
        rates[kind] = 2 * side**3 / min(best(work) for work in works)
    first, second, third = (torch.ones(4 * side**2, device=device) for _ in range(3))
    bandwidth = 3 * first.nbytes / best(lambda: torch.add(first, second, out=third))
    return Ceiling(rates, bandwidth)


TEXT = """## What this machine can do

The highest rates measured in this run, of the formats that the machine has instructions for, against which the tables
below hold the loops ("share"): products of square matrices, and a sum of two large arrays into a third. The share
counts only the operations that the work cannot do without.

| {kinds} | memory |
|{dashes}---|
| {rates} | {bandwidth:.1f} GB/s |
"""


def describe(ceiling: Ceiling) -> str:
    return TEXT.format(
        kinds=" | ".join(ceiling.rates), dashes="---|" * len(ceiling.rates),
        rates=" | ".join(f"{rate / 1e9:,.0f} G/s" for rate in ceiling.rates.values()),
        bandwidth=ceiling.bandwidth / 1e9,
    )  # fmt: skip
