"""SimCLR (Chen et al. 2020): an encoder trained on unlabelled images, so that two views of one image lie together."""

import math
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, normalize

from workflow_scripts.classifiers.architectures import SmallResNet
from workflow_scripts.core.files import read_json
from workflow_scripts.features.presets import SimCLRSettings
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.loop import Trainee, run_training
from workflow_scripts.training.normalisation import channel_statistics
from workflow_scripts.training.optimisers import eager
from workflow_scripts.training.order import INITIAL_WEIGHTS, BatchOrder, step_seed
from workflow_scripts.training.weights import load_weights, save_network


class Encoder(nn.Module):
    """A small residual network without its head: uint8 (B, H, W, C) to float32 features (B, D), of unit length.

    The loss compares directions, so only these mean something. mean, std: of the training images' channels, 0..1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, settings: SimCLRSettings, channels: int) -> None:
        super().__init__()
        self.settings, self.channels = settings, channels
        self.network = SmallResNet(settings.depth, settings.width, channels, settings.projection)
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return normalize(self.features(images.permute(0, 3, 1, 2).float() / 255))

    def features(self, x: Tensor) -> Tensor:
        """Pooled features (B, D) of images (B, C, H, W) in 0..1."""
        return self.network.features((x - self.mean) / self.std).mean((2, 3))

    def describe(self) -> dict[str, object]:
        return {"settings": asdict(self.settings), "channels": self.channels}


def draw_views(images: Tensor, smallest_crop: float, jitter: float) -> Tensor:
    """A random view of each image, float (B, C, H, W) in 0..1: a crop scaled up, perhaps mirrored, other light.

    smallest_crop: smallest share of the area; jitter: largest relative change of brightness and of contrast. Random
    numbers come from torch's default generator.
    """
    count, device = len(images), images.device
    area = torch.empty(count, device=device).uniform_(smallest_crop, 1)
    ratio = torch.empty(count, device=device).uniform_(math.log(3 / 4), math.log(4 / 3)).exp()
    scale = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp(max=1)
    shift = (torch.rand(count, 2, device=device) * 2 - 1) * (1 - scale)
    mirror = torch.randint(0, 2, (count,), device=device) * 2 - 1
    affine = torch.zeros(count, 2, 3, device=device)
    affine[:, 0, 0], affine[:, 1, 1], affine[:, :, 2] = scale[:, 0] * mirror, scale[:, 1], shift
    views = grid_sample(
        images, affine_grid(affine, list(images.shape), align_corners=False), "bilinear", "reflection", False
    )
    light = 1 + (torch.rand(count, 2, 1, 1, 1, device=device) * 2 - 1) * jitter
    means = views.mean((1, 2, 3), keepdim=True)
    return (((views - means) * light[:, 0] + means) * light[:, 1]).clamp(0, 1)


def contrastive_loss(projections: Tensor, temperature: float) -> Tensor:
    """NT-Xent of projections (2 B, P), rows i and i + B being two views of one image (Chen et al. 2020, equation 1)."""
    unit = normalize(projections)
    alike = unit @ unit.T / temperature
    alike.fill_diagonal_(-torch.inf)
    partner = torch.arange(len(unit), device=unit.device).roll(len(unit) // 2)
    return cross_entropy(alike, partner)


class EncoderTraining(Trainee):
    """An encoder as the loop's trainee. images: uint8 (N, H, W, C) on the device where they stay."""

    loss_names = ("loss",)
    curve_points = 50
    remedy = "Lower the learning rate (config key spaces.<name>.overrides.learning_rate)"

    def __init__(self, encoder: Encoder, images: Tensor) -> None:
        self.encoder, self.images, self.settings = encoder, images, encoder.settings
        self.steps = self.settings.steps
        adam = eager(torch.optim.AdamW)
        self.optimiser = adam(
            encoder.parameters(), self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, self.steps)

    def step(self, number: int, batches: list[Tensor]) -> Tensor:
        [chosen] = batches
        images = (self.images[chosen].permute(0, 3, 1, 2).float() / 255).repeat(2, 1, 1, 1)
        views = draw_views(images, self.settings.smallest_crop, self.settings.jitter)
        projections = self.encoder.network.head(self.encoder.features(views))
        loss = contrastive_loss(projections, self.settings.temperature)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        return loss.detach()[None]

    def row(self, done: int, losses: list[float]) -> list[float]:
        return [done * self.settings.batch, *losses]

    def state(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.encoder.load_state_dict(state["encoder"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])


def train_encoder(
    images: Tensor,
    settings: SimCLRSettings,
    seed: int,
    checkpoints: Checkpoints,
    on_step: Callable[[int], None] | None = None,
) -> tuple[Encoder, list[list[float]]]:
    """Train on images, uint8 (N, H, W, C) on the device where they stay; see `run_training` for resumption and errors.

    Gives the encoder and the curve, rows (images seen, mean loss since the row before).
    """
    torch.manual_seed(step_seed(seed, INITIAL_WEIGHTS))
    encoder = Encoder(settings, images.shape[-1]).to(images.device)
    mean, deviation = channel_statistics(images)
    encoder.mean.copy_(mean)
    encoder.std.copy_(deviation)
    order = BatchOrder(len(images), settings.batch, seed)
    curve = run_training(EncoderTraining(encoder, images), order, checkpoints, images.device, on_step)
    return encoder.eval(), curve


def save_encoder(
    weights: str | os.PathLike[str], network: str | os.PathLike[str], encoder: Encoder, **origin: Any
) -> None:
    """Write the weights and, as JSON, what rebuilds the encoder and `origin`: how it came about."""
    save_network(weights, network, encoder, **encoder.describe(), **origin)


def load_encoder(weights: str | os.PathLike[str], network: str | os.PathLike[str], device: torch.device) -> Encoder:
    """The encoder that `save_encoder` wrote. Raises InputError if the two files do not fit each other."""
    described = read_json(network)
    encoder = Encoder(SimCLRSettings(**described["settings"]), described["channels"])
    load_weights(encoder, weights, network)
    return encoder.eval().to(device)
