"""What the training loop expects of a generator family, and what all families share.

A family is a `GenerativeModel`: networks, optimisers, one `step` and `sample`. It draws its random numbers from torch's
default generator, which the loop seeds before every step, so a step depends on nothing but its number.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from workflow_scripts.generators.presets import Settings
from workflow_scripts.training.processes import world_size

Batch = tuple[Tensor, Tensor]  # images (B, C, H, W) in -1..1 and labels (B,) int64


@dataclass(frozen=True)
class ImageShape:
    """What a generator makes: square images of `resolution` px, 1 or 3 `channels`, of `classes` classes (0: none)."""

    resolution: int
    channels: int
    classes: int = 0


class GenerativeModel(ABC):
    """A generator family in training. Subclasses fill `networks` (the averaged one as "ema") and `optimisers`."""

    batches_per_step: int = 1
    loss_names: ClassVar[tuple[str, ...]]
    asked: ClassVar[str] = "losses"  # what of the model `losses` are

    def __init__(self, settings: Settings, shape: ImageShape, device: torch.device) -> None:
        self.settings = settings
        self.shape = shape
        self.device = device
        self.networks: dict[str, nn.Module] = {}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.steps_done = 0

    def step(self, batches: list[Batch]) -> Tensor:
        """Make one update from `batches_per_step` batches; give the losses in the order of `loss_names`, detached."""
        return self.compute(batches, self.begin())

    def begin(self) -> Hashable:
        """The host's part of an update: set what changes from step to step, and count it. Gives the step's kind.

        The device does the same for all steps of one kind, on the same memory. None: for no other step.
        """
        self.steps_done += 1
        return ()

    @abstractmethod
    def compute(self, batches: list[Batch], kind: Hashable) -> Tensor:
        """The device's part of an update of a kind; no number of the host changes here."""

    @abstractmethod
    def sample(self, count: int, labels: Tensor | None, seed: int) -> Tensor:
        """Generate `count` images with the averaged network: uint8 (count, H, W, C) on the device.

        `labels` (count,) int64 are needed by a conditional model. The same seed gives the same images.
        """

    def losses(self, images: Tensor, labels: Tensor) -> Tensor:
        """What tells who was in the training set: low for such images. NaN where a family has nothing of the kind.

        images (B, C, H, W) in -1..1, labels (B,): of each image by itself, (B,).
        """
        return images.new_full((len(images),), torch.nan)

    def describe(self) -> dict[str, Any]:
        """What rebuilds the model, beside its weights."""
        return {"settings": asdict(self.settings), "shape": asdict(self.shape)}

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "steps_done": self.steps_done,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.steps_done = state["steps_done"]

    def micro_batches(self, batch: Batch) -> Iterator[Batch]:
        """Split a batch for gradient accumulation."""
        yield from zip(*(part.chunk(self.settings.accumulate) for part in batch), strict=True)

    def fade_in_condition(self, networks: list[nn.Module]) -> None:
        """Set the `condition_weight` of networks by the images seen, in a transition (Shahbazi et al. 2022)."""
        transition = getattr(self.settings, "transition", None)
        if transition is not None and self.shape.classes:
            first, last = transition
            weight = (self.steps_done * self.settings.batch - first) / max(last - first, 1)
            for network in networks:
                network.get_buffer("condition_weight").fill_(min(max(weight, 0.0), 1.0))

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16")

    def update(self, name: str) -> None:
        """Average the gradients over accumulation and devices, then take the optimiser's step."""
        optimiser = self.optimisers[name]
        gradients = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
        scale = self.settings.accumulate * world_size()
        if world_size() > 1:
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat)
            for gradient, piece in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(piece.view_as(gradient))
        if scale > 1:
            torch._foreach_div_(gradients, float(scale))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def average_weights(self, source: nn.Module) -> None:
        """Move the averaged network towards `source` by one batch of the configured half-life; copy its buffers.

        The half-life is at most a tenth of the training: of the initial weights a thousandth is left at its end.
        """
        half_life = min(self.settings.ema_half_life, self.settings.steps * self.settings.batch / 10)
        decay = 0.5 ** (self.settings.batch / half_life)
        ema = self.networks["ema"]
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(source.parameters()), 1.0 - decay)
            pairs = [pair for pair in zip(ema.buffers(), source.buffers(), strict=True) if pair[0].is_floating_point()]
            if pairs:
                torch._foreach_copy_([mine for mine, _ in pairs], [theirs for _, theirs in pairs])


def frozen_copy(network: nn.Module) -> nn.Module:
    """A copy that no gradient reaches, to hold averaged weights."""
    return copy.deepcopy(network).requires_grad_(False).eval()


def set_trainable(network: nn.Module, trainable: bool) -> None:
    for parameter in network.parameters():
        parameter.requires_grad_(trainable)


def to_uint8(images: Tensor) -> Tensor:
    """Images (B, C, H, W) in -1..1 as uint8 (B, H, W, C)."""
    return images.float().mul(127.5).add(127.5).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def from_uint8(images: Tensor) -> Tensor:
    """Images uint8 (B, H, W, C) as float32 (B, C, H, W) in -1..1."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
