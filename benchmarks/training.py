"""A training step of ours beside the plain loop that a user would write, of the same network and batch."""

import contextlib
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.optimization import get_scheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.bench import Bench
from workflow_scripts.classifiers.presets import classifier_settings
from workflow_scripts.classifiers.training import build_classifier, train_classifier
from workflow_scripts.core.devices import is_emulated
from workflow_scripts.generators.biggan import Discriminator, Generator
from workflow_scripts.generators.diffusion import unet
from workflow_scripts.generators.families import build_model
from workflow_scripts.generators.model import ImageShape
from workflow_scripts.generators.presets import (
    BigGANSettings,
    DiffusionSettings,
    Settings,
    StyleGAN2Settings,
    settings_for,
)
from workflow_scripts.generators.training import train
from workflow_scripts.training.checkpoints import Checkpoints

IMAGES, SIDE, CLASSES, ROUNDS = 2048, 32, 10, 2
SHAPE = ImageShape(SIDE, 3)
# Timed of each in each round:
STEPS = {
    "diffusion": 20, "biggan": 20, "stylegan2-32": 6, "stylegan2-64": 3, "classifier": 4, "classifier-bfloat16": 4,
}  # fmt: skip
SKIPPED = 2  # first steps of a loop, in which things are set up

TEXT = """## Training steps compared with a plain loop

The same network and batch, {images:,} colour images of {side} px: ours from memory, the peer's as PNG files through
torchvision's transforms and a DataLoader with 2 workers that stay. The two take turns, {rounds} rounds; the median
step, the first {skipped} of a round left out. No compilation; float32 unless the row says otherwise, and bfloat16 only
where the machine has instructions for it. StyleGAN2: layers of the same widths on both sides; the median step is one
without a gradient penalty, which stylegan2-pytorch takes every 4 steps and ours every 16.
The share is that of the convolutions and products of one of our steps, forwards and backwards, as PyTorch counts them.

| work | ours, ms a step | share | peer | peer, ms a step | ratio |
|---|---|---|---|---|---|
{rows}
"""


def make_images(folder: Path) -> tuple[Tensor, Tensor]:
    """Smooth random images, as files in class folders and as uint8 (N, H, W, C) with labels (N,)."""
    random = np.random.default_rng(0)
    images = []
    for i in range(IMAGES):
        coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        image = coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        path = folder / f"{i % CLASSES}" / f"{i:05d}.png"
        path.parent.mkdir(exist_ok=True)
        image.save(path)
        images.append(np.asarray(image))
    return torch.from_numpy(np.stack(images)), torch.arange(IMAGES) % CLASSES


def batches(
    folder: Path, batch: int, device: torch.device, *augment: nn.Module, signed: bool = True
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of the files on the device: images in -1..1 (or 0..1) and labels."""
    scale = [v2.Normalize([0.5], [0.5])] if signed else []
    transform = v2.Compose([*augment, v2.ToImage(), v2.ToDtype(torch.float32, scale=True), *scale])
    loader = DataLoader(
        ImageFolder(str(folder), transform), batch, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True
    )
    while True:
        for images, labels in loader:
            yield images.to(device), labels.to(device)


class Enough(Exception):
    """As many steps as are timed are done."""


def now(device: torch.device) -> float:
    """The time when all work on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def our_generator(settings: Settings, images: Tensor, labels: Tensor, steps: int) -> list[float]:
    times = [now(images.device)]
    with tempfile.TemporaryDirectory() as folder:
        model = build_model(settings, ImageShape(images.shape[1], 3), images.device)

        def note(done: int) -> None:
            times.append(now(images.device))
            if done == steps:
                raise Enough

        with contextlib.suppress(Enough):
            train(model, images, labels, 0, Checkpoints(Path(folder), 1e9), note)
    return np.diff(times).tolist()


def timed(step: Callable[[], None], steps: int) -> list[float]:
    taken = []
    for _ in range(steps):
        began = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began)
    return taken


def plain_diffusion(settings: DiffusionSettings, folder: Path, device: torch.device, steps: int) -> list[float]:
    """The loop of diffusers' example of unconditional generation."""
    network: nn.Module = unet(settings, SHAPE)
    network = network.to(device)
    noising = DDPMScheduler(settings.noise_levels, beta_schedule=settings.noise_schedule, prediction_type="epsilon")
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate, betas=(0.95, 0.999), weight_decay=1e-6)
    schedule = get_scheduler("cosine", optimiser, num_warmup_steps=10, num_training_steps=1000)
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True)
    data = batches(folder, settings.batch, device)

    def step() -> None:
        clean, _ = next(data)
        noise = torch.randn_like(clean)
        level = torch.randint(0, settings.noise_levels, (len(clean),), device=device).long()
        loss = F.mse_loss(network(noising.add_noise(clean, noise, level), level).sample, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        average.step(network.parameters())
        loss.item()

    return timed(step, steps)


def plain_biggan(settings: BigGANSettings, folder: Path, device: torch.device, steps: int) -> list[float]:
    """Both networks updated one after the other, real and generated images in passes of their own."""
    generator, average = (Generator(settings, SHAPE).to(device) for _ in range(2))
    discriminator = Discriminator(settings, SHAPE).to(device)
    betas = (settings.adam_beta1, settings.adam_beta2)
    optimisers = [
        torch.optim.Adam(network.parameters(), rate, betas)
        for network, rate in ((generator, settings.generator_lr), (discriminator, settings.discriminator_lr))
    ]
    data = batches(folder, settings.batch, device)

    def latents() -> Tensor:
        return torch.randn(settings.batch, settings.latent, device=device)

    def step() -> None:
        for _ in range(settings.discriminator_steps):
            images, labels = next(data)
            optimisers[1].zero_grad()
            real = F.relu(1 - discriminator(images, labels)).mean()
            fake = F.relu(1 + discriminator(generator(latents(), labels).detach(), labels)).mean()
            (real + fake).backward()
            optimisers[1].step()
        optimisers[0].zero_grad()
        loss = -discriminator(generator(latents(), labels), labels).mean()
        loss.backward()
        optimisers[0].step()
        with torch.no_grad():
            for kept, value in zip(average.parameters(), generator.parameters(), strict=True):
                kept.mul_(0.999).add_(value, alpha=0.001)
        loss.item()

    return timed(step, steps)


def stylegan2_pytorch() -> ModuleType:
    """The peer, which wants a GPU and a service of logging when it is imported, and needs neither."""
    try:
        with (
            mock.patch.dict(sys.modules, {"aim": ModuleType("aim")}),
            mock.patch("torch.cuda.is_available", return_value=True),
        ):
            return importlib.import_module("stylegan2_pytorch.stylegan2_pytorch")
    except ModuleNotFoundError as error:
        raise ImportError(f"{error}; run `make bench`, which installs envs/peers.txt") from None


def stylegan2(side: int) -> StyleGAN2Settings:
    """The peer's default widths, latents and mapping network."""
    sizes: dict[str, object] = {"channels": 32 * side, "widest": 512, "latent": 512, "mapping_depth": 8}
    settings = settings_for("stylegan2", "tiny", sizes)
    assert isinstance(settings, StyleGAN2Settings)
    return settings


def plain_stylegan2(
    settings: StyleGAN2Settings, folder: Path, device: torch.device, side: int, steps: int
) -> list[float]:
    """The step of stylegan2-pytorch's Trainer with its networks, losses and regulariser."""
    peer = stylegan2_pytorch()
    capacity = settings.channels // (2 * side)
    mapping = peer.StyleVectorizer(settings.latent, settings.mapping_depth, lr_mul=0.1).to(device)
    generator, average = (peer.Generator(side, settings.latent, capacity).to(device) for _ in range(2))
    discriminator = peer.AugWrapper(peer.Discriminator(side, capacity // 2), side).to(device)
    optimisers = [
        torch.optim.Adam([*mapping.parameters(), *generator.parameters()], 2e-4, (0.5, 0.9)),
        torch.optim.Adam(discriminator.parameters(), 4e-4, (0.5, 0.9)),
    ]
    data = batches(folder, settings.batch, device, v2.Resize(side))
    done = 0

    def generate() -> Tensor:
        latents = torch.randn(settings.batch, settings.latent, device=device)
        styles = peer.styles_def_to_tensor([(mapping(latents), generator.num_layers)])
        return generator(styles, torch.rand(settings.batch, side, side, 1, device=device))

    def step() -> None:
        nonlocal done
        penalised = done % 4 == 0
        optimisers[1].zero_grad()
        made = generate().clone().detach().requires_grad_(penalised)
        fake, _ = discriminator(made)
        images, _ = next(data)
        real, _ = discriminator(images.requires_grad_(penalised))
        loss = peer.hinge_loss(fake, real)
        loss.item()
        if penalised:
            loss = loss + peer.gradient_penalty(images, real) + peer.gradient_penalty(made, fake)
        loss.backward()
        optimisers[1].step()
        optimisers[0].zero_grad()
        made_loss = discriminator(generate())[0].mean()
        made_loss.backward()
        optimisers[0].step()
        made_loss.item()
        if done % 10 == 0:
            with torch.no_grad():
                for kept, value in zip(average.parameters(), generator.parameters(), strict=True):
                    kept.mul_(0.995).add_(value, alpha=0.005)
        done += 1

    return timed(step, steps)


def our_classifier(images: Tensor, labels: Tensor, precision: str, steps: int) -> list[float]:
    settings = classifier_settings("guo2024-student", {"steps": steps, "precision": precision})
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        network = build_classifier(settings, images, CLASSES, 0, images.device)
        times.append(now(images.device))
        checkpoints = Checkpoints(Path(folder), 1e9)
        train_classifier(network, images, labels, 0, checkpoints, on_step=lambda _: times.append(now(images.device)))
    return np.diff(times).tolist()


def plain_classifier(images: Tensor, folder: Path, steps: int) -> list[float]:
    """The same network in its usual memory layout, augmented image by image."""
    settings = classifier_settings("guo2024-student", {"steps": steps})
    network = build_classifier(settings, images, CLASSES, 0, images.device).to(memory_format=torch.contiguous_format)
    optimiser = torch.optim.SGD(network.parameters(), settings.learning_rate, settings.momentum, nesterov=True)
    augment = (
        v2.RandomResizedCrop(SIDE, (settings.smallest_crop, 1.0), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.RandomRotation(15),
    )
    data = batches(folder, settings.batch, images.device, *augment, signed=False)
    network.train()

    def step() -> None:
        shown, labels = next(data)
        optimiser.zero_grad()
        loss = F.cross_entropy(network(shown), labels)
        loss.backward()
        optimiser.step()
        loss.item()

    return timed(step, steps)


def operations(loop: partial[list[float]]) -> int:
    """Additions and multiplications in the convolutions and products of the first step of a loop.

    Without the penalties on gradients: they are in few steps, and their derivatives of derivatives stop the counter.
    """
    if isinstance(settings := loop.args[0], StyleGAN2Settings):
        loop = partial(loop.func, replace(settings, r1_gamma=0.0, path_length=0.0), *loop.args[1:])
    with FlopCounterMode(display=False) as counter:
        loop(1)
    return counter.get_total_flops()


def measure(bench: Bench) -> str:
    diffusion, biggan = settings_for("diffusion", "tiny", {}), settings_for("biggan", "tiny", {})
    assert isinstance(diffusion, DiffusionSettings)
    assert isinstance(biggan, BigGANSettings)
    batch, device = classifier_settings("guo2024-student", {}).batch, bench.device
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        images, labels = (part.to(device) for part in make_images(folder))
        none = torch.zeros(IMAGES, dtype=torch.int64, device=device)
        wide = F.interpolate(images.permute(0, 3, 1, 2), scale_factor=2).permute(0, 2, 3, 1).contiguous()
        loops: dict[str, tuple[str, str, partial[list[float]], partial[list[float]]]] = {
            "diffusion": (
                f"diffusion, preset tiny, batch {diffusion.batch}", "diffusers' example of training",
                partial(our_generator, diffusion, images, none), partial(plain_diffusion, diffusion, folder, device),
            ),
            "biggan": (
                f"BigGAN, preset tiny, batch {biggan.batch}", "plain eager loop",
                partial(our_generator, biggan, images, none), partial(plain_biggan, biggan, folder, device),
            ),
            "stylegan2-32": (
                "StyleGAN2, 32 px, batch 16", "stylegan2-pytorch",
                partial(our_generator, stylegan2(32), images, none),
                partial(plain_stylegan2, stylegan2(32), folder, device, 32),
            ),
            "classifier": (
                f"ResNet-18, weak augmentation, batch {batch}", "plain eager loop",
                partial(our_classifier, images, labels, "float32"), partial(plain_classifier, images, folder),
            ),
            "classifier-bfloat16": (
                f"the same with `precision: bfloat16`, batch {batch}", "plain eager loop, float32",
                partial(our_classifier, images, labels, "bfloat16"), partial(plain_classifier, images, folder),
            ),
            "stylegan2-64": (
                "StyleGAN2, 64 px, batch 16", "stylegan2-pytorch",
                partial(our_generator, stylegan2(64), wide, none),
                partial(plain_stylegan2, stylegan2(64), folder, device, 64),
            ),
        }  # fmt: skip

        def row(key: str) -> str:
            work, peer, ours, theirs = loops[key]
            taken: tuple[list[float], list[float]] = ([], [])
            for _ in range(bench.size(ROUNDS, 1)):
                for times, loop in zip(taken, (ours, theirs), strict=True):
                    times += loop(bench.size(STEPS[key], 1) + SKIPPED)[SKIPPED:]
            mine, plain = (statistics.median(times) for times in taken)
            kind = "bfloat16" if key.endswith("bfloat16") else "float32"
            share = bench.ceiling.share(mine, operations(ours), kind)
            return f"| {work} | {1000 * mine:.0f} | {share} | {peer} | {1000 * plain:.0f} | {plain / mine:.2f} |"

        if is_emulated(torch.bfloat16, device):  # a step would take minutes
            del loops["classifier-bfloat16"]
        rows = bench.rows({loops[key][0]: partial(row, key) for key in loops}, 6)
    return TEXT.format(images=IMAGES, side=SIDE, rounds=ROUNDS, skipped=SKIPPED, rows=rows)
