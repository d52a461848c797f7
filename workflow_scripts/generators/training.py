"""A generator in the training loop: its batches, snapshots of its samples, and the choice of the best weights."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from workflow_scripts.core.devices import warn_of_emulation
from workflow_scripts.generators.evaluation import distance_to_training_set, labels_as_in
from workflow_scripts.generators.model import GenerativeModel, from_uint8
from workflow_scripts.generators.presets import SNAPSHOT_SAMPLES, SNAPSHOTS
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.graphs import StepGraphs
from workflow_scripts.training.loop import Trainee, run_training
from workflow_scripts.training.order import BatchOrder
from workflow_scripts.training.processes import world_size


@dataclass
class TrainingRecord:
    """What training leaves beside the weights.

    curve: rows (points, 1 + losses): images seen, then the mean of each loss since the row before.
    snapshots: uint8 (S, samples, H, W, C) of the averaged network at `snapshot_images` images seen.
    evaluations: rows (images seen, Fréchet distance to the training set), if the best weights are kept; best: those.
    All tensors are on the CPU.
    """

    curve: list[list[float]] = field(default_factory=list)
    snapshots: list[Tensor] = field(default_factory=list)
    snapshot_images: list[int] = field(default_factory=list)
    evaluations: list[list[float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def images_at_best(self) -> int | None:
        """Images seen when the kept weights were the current ones; None if the last are kept."""
        return int(min(self.evaluations, key=lambda row: row[1])[0]) if self.evaluations else None


class GeneratorTraining(Trainee):
    """A `GenerativeModel` as the loop's trainee. images: uint8 (N, H, W, C) and labels: int64 (N,), on its device.

    snapshot_samples: drawn at each of SNAPSHOTS moments, always from the same noise.
    """

    curve_points = 100
    remedy = "Lower the learning rates or use precision float32 (config key generators.<name>.overrides)"

    def __init__(
        self,
        model: GenerativeModel,
        images: Tensor,
        labels: Tensor,
        seed: int,
        snapshot_samples: int = SNAPSHOT_SAMPLES,
        graphs: bool = False,
    ) -> None:
        self.graphs: StepGraphs | None = None
        if graphs and model.device.type == "cuda" and world_size() == 1:
            self.graphs = StepGraphs(model.optimisers.values())
        self.model, self.images, self.labels, self.seed = model, images, labels, seed
        self.steps, self.batch = model.settings.steps, model.settings.batch
        self.batches_per_step, self.loss_names = model.batches_per_step, model.loss_names
        self.record = TrainingRecord()
        self.snapshot_samples = snapshot_samples
        self.snapshot_labels = labels_as_in(labels, snapshot_samples) if model.shape.classes else None
        self.evaluations = [(SNAPSHOTS, self.take_snapshot)]
        if model.settings.keep == "best":
            self.evaluations.append((model.settings.evaluations, self.keep_if_best))

    def step(self, number: int, batches: list[Tensor]) -> Tensor:
        kind = self.model.begin()
        if self.graphs is None:
            return self._compute(batches, kind)
        return self.graphs.run(kind, lambda chosen: self._compute(chosen, kind), batches)

    def _compute(self, batches: list[Tensor], kind: Hashable) -> Tensor:
        pairs = [(from_uint8(self.images[chosen]), self.labels[chosen]) for chosen in batches]
        return self.model.compute(pairs, kind)

    def row(self, done: int, losses: list[float]) -> list[float]:
        return [done * self.batch, *losses]

    def take_snapshot(self, done: int) -> None:
        self.record.snapshots.append(self.model.sample(self.snapshot_samples, self.snapshot_labels, self.seed).cpu())
        self.record.snapshot_images.append(done * self.batch)

    def keep_if_best(self, done: int) -> None:
        distance = distance_to_training_set(self.images, self.labels, self.model, self.seed)
        if not self.record.best or distance < min(row[1] for row in self.record.evaluations):
            averaged = self.model.networks["ema"].state_dict()
            self.record.best = {name: value.to("cpu", copy=True) for name, value in averaged.items()}
        self.record.evaluations.append([done * self.batch, distance])

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state(), "record": vars(self.record)}

    def load_state(self, state: dict[str, Any]) -> None:
        self.model.load_state(state["model"])
        self.record = TrainingRecord(**state["record"])


def train(
    model: GenerativeModel,
    images: Tensor,
    labels: Tensor,
    seed: int,
    checkpoints: Checkpoints,
    on_step: Callable[[int], None] | None = None,
    snapshot_samples: int = SNAPSHOT_SAMPLES,
    graphs: bool = False,
) -> TrainingRecord:
    """Train `model` for its configured number of steps, or continue from the newest checkpoint; see `run_training`.

    images: uint8 (N, H, W, C) and labels: int64 (N,), both on the model's device, where they stay. graphs: repeat steps
    as CUDA graphs, if the device is a GPU and trains alone.
    """
    warn_of_emulation(model.settings.precision, model.device)
    training = GeneratorTraining(model, images, labels, seed, snapshot_samples, graphs)
    order = BatchOrder(len(images), model.settings.batch, seed)
    training.record.curve = run_training(training, order, checkpoints, model.device, on_step)
    if training.record.best:
        model.networks["ema"].load_state_dict(training.record.best)
    return training.record
