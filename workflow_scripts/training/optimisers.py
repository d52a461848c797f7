"""Optimisers without torch's compiler."""

import inspect
from typing import TypeVar

import torch

Optimiser = TypeVar("Optimiser", bound=torch.optim.Optimizer)


def eager(optimiser: type[Optimiser]) -> type[Optimiser]:
    """The optimiser without what keeps torch's compiler out of it: that imports the compiler, a second in every job.

    Networks that are compiled have it, too: their optimisers are not.
    """
    guarded = ("step", "zero_grad", "add_param_group", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(optimiser, name)) for name in guarded}
    return type(optimiser.__name__, (optimiser,), methods | {"step": torch.no_grad()(methods["step"])})
