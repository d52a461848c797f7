"""SimCLR (Chen et al. 2020): an encoder trained on unlabelled images, so that two views of one image lie together."""

import math
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, normalize

from workflow_scripts.classifiers.networks import SmallResNet
from workflow_scripts.core.errors import InputError, Interrupted
from workflow_scripts.core.files import atomic_path, read_json, remake, write_json
from workflow_scripts.core.progress import progress
from workflow_scripts.features.presets import SimCLRSettings
from workflow_scripts.training.checkpoints import Checkpoints
from workflow_scripts.training.optimisers import eager
from workflow_scripts.training.order import INITIAL_WEIGHTS, BatchOrder, due, step_seed
from workflow_scripts.training.stopping import StopSignal

CURVE_POINTS = 50  # rows of the training curve


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


def train_encoder(
    images: Tensor,
    settings: SimCLRSettings,
    seed: int,
    checkpoints: Checkpoints,
    on_step: Callable[[int], None] | None = None,
) -> tuple[Encoder, list[list[float]]]:
    """Train on images, uint8 (N, H, W, C) on the device where they stay, from the newest checkpoint if there is one.

    Gives the encoder and the curve, rows (images seen, mean loss since the row before). on_step: called with the number
    of steps done after each. Raises Interrupted (after a checkpoint) on a signal or when time is up, InputError if
    the loss is no longer finite.
    """
    device = images.device
    torch.manual_seed(step_seed(seed, INITIAL_WEIGHTS))
    encoder = Encoder(settings, images.shape[-1]).to(device)
    # float64 sums of integers, so that the order in which a device adds does not matter.
    values = images.double().div(255).flatten(0, 2)
    encoder.mean.copy_(values.mean(0).view(-1, 1, 1))
    encoder.std.copy_(values.std(0).clamp(min=1e-3).view(-1, 1, 1))
    adam = eager(torch.optim.AdamW)
    optimiser = adam(encoder.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    order = BatchOrder(len(images), settings.batch, seed)
    parts: dict[str, Any] = {"encoder": encoder, "optimiser": optimiser, "schedule": schedule}
    curve: list[list[float]] = []
    first, sums, since = 0, torch.zeros((), device=device), 0
    if (found := checkpoints.load(device)) is not None:
        first, state = found
        for name, part in parts.items():
            part.load_state_dict(state[name])
        curve, sums, since = state["curve"], state["sums"], state["since"]

    with StopSignal(checkpoints.stop_at) as stop, progress(settings.steps, "steps", first, "training") as bar:
        for step in range(first, settings.steps):
            torch.manual_seed(step_seed(seed, step))
            chosen = torch.from_numpy(order.indices(step)).to(device)
            batch = (images[chosen].permute(0, 3, 1, 2).float() / 255).repeat(2, 1, 1, 1)
            views = draw_views(batch, settings.smallest_crop, settings.jitter)
            loss = contrastive_loss(encoder.network.head(encoder.features(views)), settings.temperature)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            sums, since, done = sums + loss.detach(), since + 1, step + 1
            if due(done, settings.steps, CURVE_POINTS):
                mean = float(sums / since)
                if not math.isfinite(mean):
                    raise InputError(
                        f"training diverged: the loss is no longer a finite number at step {done}. Lower the learning "
                        "rate (config key spaces.<name>.overrides.learning_rate), then run again."
                    )
                curve.append([done * settings.batch, mean])
                sums, since = torch.zeros_like(sums), 0
            stopping = stop.agreed(device)
            if stopping or done == settings.steps or checkpoints.due():
                state = {name: part.state_dict() for name, part in parts.items()}
                checkpoints.save(done, state | {"curve": curve, "sums": sums, "since": since})
                if stopping and done < settings.steps:
                    raise Interrupted(stop.message(done))
            bar.advance()
            if on_step is not None:
                on_step(done)
    return encoder.eval(), curve


def save_encoder(
    weights: str | os.PathLike[str], network: str | os.PathLike[str], encoder: Encoder, **about: Any
) -> None:
    """Write the weights as safetensors and, as JSON, what rebuilds the encoder and how it came about."""
    with atomic_path(weights) as temporary:
        save_file({name: one.contiguous() for name, one in encoder.state_dict().items()}, temporary)
    write_json(network, {**encoder.describe(), **about})


def load_encoder(weights: str | os.PathLike[str], network: str | os.PathLike[str], device: torch.device) -> Encoder:
    """The encoder that `save_encoder` wrote. Raises InputError if the two files do not fit each other."""
    about = read_json(network)
    encoder = Encoder(SimCLRSettings(**about["settings"]), about["channels"])
    try:
        encoder.load_state_dict(load_file(weights))
    except Exception as cause:  # safetensors and torch raise several unrelated types
        raise InputError(
            f"{weights}: not the weights of the network in {network} ({cause}). {remake(weights)}"
        ) from cause
    return encoder.eval().to(device)
