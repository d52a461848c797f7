"""The meter of GPU memory: bytes of all tensors while they live, for work that is computed without contents."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch
from weakref import finalize

from torch import Tensor, nn

# PyTorch's tensors without contents and its hooks into every operation have no public names. Those of the device
# "meta" have, but know no autocast, and would count bfloat16 as float32.
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that operations make, for as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self.note, result)
        return result

    def note(self, tensor: Tensor) -> Tensor:
        """Count the tensor's memory, if it is not that of another one."""
        storage = tensor.untyped_storage()
        if storage not in self._known:
            self._known[storage] = size = storage.nbytes()
            self._add(size)
            finalize(storage, self._add, -size)
        return tensor

    def _add(self, size: int) -> None:
        self.live += size
        self.peak = max(self.peak, self.live)


def peak_bytes(prepare: Callable[[], Callable[[], object]], values: bool = False) -> int:
    """The most bytes that tensors take at once in two steps of some work, its networks included.

    prepare: builds what is needed, on the CPU, and gives the step. All regularisers are due in a training's first step.
    values: compute them; without, a step takes little time whatever its size.
    """
    stays = patch.object(nn.Module, "to", lambda network, *_, **__: network)  # what has no contents cannot move
    unwarned = warnings.catch_warnings(action="ignore", category=UserWarning)  # of pointers that nothing here reads
    empty = nullcontext() if values else FakeTensorMode(allow_non_fake_inputs=True)
    with unwarned, stays, empty, LiveBytes() as meter:
        step = prepare()
        meter.peak = meter.live
        for _ in range(2):
            step()
        return meter.peak
