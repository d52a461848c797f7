"""How much GPU memory a training takes, without a GPU: its step is computed on tensors without contents.

`python -m workflow_scripts.study.gpu_memory` writes resources/gpu_memory.json for the presets, in some minutes, and
prints the table of docs/gpu.md.
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch
from weakref import finalize

import torch
from torch import Tensor, nn

# PyTorch's tensors without contents and its hooks into every operation have no public names. Those of the device
# "meta" have, but know no autocast, and would count bfloat16 as float32.
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

from workflow_scripts.classifiers import training as classifier_training
from workflow_scripts.classifiers.networks import Classifier
from workflow_scripts.classifiers.presets import PRESETS as CLASSIFIERS
from workflow_scripts.classifiers.presets import ClassifierSettings
from workflow_scripts.features.presets import PRESETS as ENCODERS
from workflow_scripts.features.presets import SimCLRSettings
from workflow_scripts.features.simclr import Encoder, EncoderTraining
from workflow_scripts.generators.families import build_model
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.generators.presets import PRESETS as GENERATORS
from workflow_scripts.generators.presets import Settings as GeneratorSettings

TABLE = Path(__file__).parents[2] / "resources/gpu_memory.json"
RESOLUTIONS = {"small": (32, 64, 128), "paper": (64, 128, 256)}  # px
CLASSES = 100  # of a classifier
# What a GPU holds beside the tensors: CUDA's context and its libraries' work space, and gaps between the tensors.
CONTEXT_MB, GAPS = 1000, 1.2

Step = Callable[[], object]
Settings = GeneratorSettings | ClassifierSettings | SimCLRSettings
# What is trained, by preset. The other presets are for a CPU, or for networks of torchvision.
TRAININGS: dict[str, dict[str, Settings]] = {
    family: {preset: presets[preset] for preset in RESOLUTIONS} for family, presets in GENERATORS.items()
}
TRAININGS |= {"classifier": {"small": CLASSIFIERS["small"]}, "simclr": {"small": ENCODERS["small"]}}


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


def peak_bytes(prepare: Callable[[], Step]) -> int:
    """The most bytes that tensors take at once in the first two steps of a training, its networks included.

    prepare: builds what is trained, on the CPU, and gives its step. All regularisers are due in the first step.
    """
    stays = patch.object(nn.Module, "to", lambda network, *_, **__: network)  # what has no contents cannot move
    unwarned = warnings.catch_warnings(action="ignore", category=UserWarning)  # of pointers that nothing here reads
    with unwarned, stays, FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as meter:
        step = prepare()
        meter.peak = meter.live
        for _ in range(2):
            step()
        return meter.peak


def needed_mb(settings: Settings, shape: ImageShape) -> int:
    """Megabytes of GPU memory that a training takes beside its training images, which stay there as bytes."""
    return round(CONTEXT_MB + GAPS * peak_bytes(lambda: prepare(settings, shape)) / 1e6)


def prepare(settings: Settings, shape: ImageShape) -> Step:
    """A training of these settings, and the step that it repeats."""
    if isinstance(settings, ClassifierSettings):
        return classifier_step(settings, shape)
    return encoder_step(settings, shape) if isinstance(settings, SimCLRSettings) else generator_step(settings, shape)


def generator_step(settings: GeneratorSettings, shape: ImageShape) -> Step:
    # The copy of averaged weights would copy the contents of tensors that have any.
    with patch.object(FakeTensorMode, "may_turn_const", return_value=False):
        model = build_model(settings, shape, torch.device("cpu"))

    def step() -> None:
        images = torch.zeros(settings.batch, shape.channels, shape.resolution, shape.resolution)
        labels = torch.zeros(settings.batch, dtype=torch.int64)
        model.step([(images, labels)] * model.batches_per_step)

    return step


def classifier_step(settings: ClassifierSettings, shape: ImageShape) -> Step:
    images, labels, chosen = _batch(settings.batch, shape)
    classifier = Classifier(settings, shape.resolution, shape.channels, CLASSES)
    training = classifier_training.ClassifierTraining(classifier, images, labels, None, "none", None)

    def step() -> None:
        # Views are drawn on the host, by values; what they show takes little beside the network's maps.
        with patch.object(classifier_training, "apply_view", lambda shown, _: shown):
            training.step(0, [chosen])

    return step


def encoder_step(settings: SimCLRSettings, shape: ImageShape) -> Step:
    images, _, chosen = _batch(settings.batch, shape)
    training = EncoderTraining(Encoder(settings, shape.channels), images)
    return lambda: training.step(0, [chosen])


def _batch(size: int, shape: ImageShape) -> tuple[Tensor, Tensor, Tensor]:
    """Images uint8 (B, H, W, C), their labels and indices (B,)."""
    images = torch.zeros(size, shape.resolution, shape.resolution, shape.channels, dtype=torch.uint8)
    return images, torch.zeros(size, dtype=torch.int64), torch.arange(size)


def as_table(needed: dict[str, dict[str, dict[str, int]]]) -> str:
    """Markdown: gigabytes by what is trained, preset and resolution."""
    sizes = sorted({int(size) for presets in needed.values() for sizes in presets.values() for size in sizes})
    head = ["training", "preset", "batch", *(f"{size} px" for size in sizes)]
    rows = [
        [kind, preset, str(TRAININGS[kind][preset].batch)]
        + [f"{megabytes[str(size)] / 1e3:.1f}" if str(size) in megabytes else "" for size in sizes]
        for kind, presets in needed.items()
        for preset, megabytes in presets.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def main() -> None:
    needed = {
        kind: {
            preset: {str(size): needed_mb(settings, ImageShape(size, 3)) for size in RESOLUTIONS[preset]}
            for preset, settings in presets.items()
        }
        for kind, presets in TRAININGS.items()
    }
    TABLE.write_text(json.dumps(needed, indent=1) + "\n")
    print(as_table(needed))


if __name__ == "__main__":
    main()
