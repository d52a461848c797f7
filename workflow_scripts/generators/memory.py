"""How much memory a generator's training step takes, without taking it: on tensors that have a shape and no contents.

`python -m workflow_scripts.generators.memory` writes resources/gpu_memory.json for the presets; it takes a minute.
"""

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch
from weakref import finalize

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

from workflow_scripts.generators.families import build_model
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.generators.presets import PRESETS, Settings

TABLE = Path(__file__).parents[2] / "resources/gpu_memory.json"
RESOLUTIONS = {"small": (32, 64, 128), "paper": (64, 128, 256)}  # px
# What a GPU holds beside the tensors: CUDA's context and its libraries' work space, and gaps between the tensors.
CONTEXT_MB, GAPS = 1000, 1.2


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that operations make, for as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._note, result)
        return result

    def _note(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage not in self._known:
            self._known[storage] = size = storage.nbytes()
            self._add(size)
            finalize(storage, self._add, -size)
        return tensor

    def _add(self, size: int) -> None:
        self.live += size
        self.peak = max(self.peak, self.live)


def step_bytes(settings: Settings, shape: ImageShape) -> int:
    """The most bytes that tensors take at once in the first two steps of a training, in which regularisers are due."""
    stays = patch.object(torch.nn.Module, "to", lambda network, *_, **__: network)  # what has no contents cannot move
    with stays, FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as meter:
        model = build_model(settings, shape, torch.device("cpu"))
        meter.peak = meter.live
        for _ in range(2):
            images = torch.zeros(settings.batch, shape.channels, shape.resolution, shape.resolution)
            labels = torch.zeros(settings.batch, dtype=torch.int64)
            model.step([(images, labels)] * model.batches_per_step)
        return meter.peak


def needed_mb(settings: Settings, shape: ImageShape) -> int:
    """Megabytes of GPU memory that a training takes beside its training images, which stay there as bytes."""
    return round(CONTEXT_MB + GAPS * step_bytes(settings, shape) / 1e6)


def main() -> None:
    table = {
        family: {
            preset: {str(size): needed_mb(settings, ImageShape(size, 3)) for size in RESOLUTIONS[preset]}
            for preset, settings in presets.items()
            if preset in RESOLUTIONS
        }
        for family, presets in PRESETS.items()
    }
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
