"""Counts the operations of a step that a GPU has to be told of: each takes the host some microseconds."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

# Memory alone, or another name for it.
FREE = {"_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh"}


def launches(operation: Any) -> bool:
    """Whether an operation of PyTorch's dispatcher computes anything, and is no view."""
    returns = operation._schema.returns
    is_view = bool(returns) and returns[0].alias_info is not None and not returns[0].alias_info.is_write
    return not is_view and operation._schema.name.split("::")[1] not in FREE


class Operations(TorchDispatchMode):
    """The number of those that launch something, while this is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += launches(func)
        return func(*args, **(kwargs or {}))
