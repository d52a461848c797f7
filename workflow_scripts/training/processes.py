"""Processes that train together: which of them this is, noise that they share, and what they agree on."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """How many processes train together; 1 for a process that trains alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def in_any_process(flags: list[bool], device: torch.device) -> list[bool]:
    """Each flag as set in any of the processes, so that all of them do the same next. Every process must call it."""
    if not dist.is_initialized():
        return flags
    shared = torch.tensor(flags, dtype=torch.int32, device=device)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return shared.bool().tolist()


def global_randn(count: int, *shape: int, device: torch.device) -> Tensor:
    """This process's share of normal noise for a global batch: the same numbers, however many processes share them."""
    return torch.randn(count * world_size(), *shape, device=device)[rank() :: world_size()]


def global_rand(count: int, *shape: int, device: torch.device) -> Tensor:
    """As `global_randn`, uniform in 0..1."""
    return torch.rand(count * world_size(), *shape, device=device)[rank() :: world_size()]


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of x over the processes that train together; differentiable."""
    return _SumOverProcesses.apply(x)
