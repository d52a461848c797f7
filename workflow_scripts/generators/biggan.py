"""BigGAN-deep (Brock, Donahue, Simonyan 2019, appendix B), as used by Feng et al. 2021.

The whole latent z, with the shared class embedding, conditions every block's batch normalisation; every layer is
spectrally normalised; the hinge loss trains generator and discriminator.
"""

from collections.abc import Hashable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workflow_scripts.core.devices import in_batches
from workflow_scripts.core.progress import tracked
from workflow_scripts.generators.model import Batch, GenerativeModel, ImageShape, frozen_copy, set_trainable, to_uint8
from workflow_scripts.generators.presets import BigGANSettings
from workflow_scripts.generators.spectral import Conv2d, Embedding, Linear, spectral_norm
from workflow_scripts.training.optimisers import eager
from workflow_scripts.training.processes import global_randn, sum_over_processes, world_size


def widths(settings: BigGANSettings, resolution: int) -> dict[int, int]:
    """Channels at each resolution 4, 8, ..: doubling away from the image, at most sixteenfold."""
    sizes = [4 * 2**i for i in range(resolution.bit_length() - 2)]
    return {size: settings.width * min(16, resolution // size) for size in sizes}


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose batch statistics, in training, are those of the whole batch over all processes.

    torch's SyncBatchNorm does the same on CUDA alone. Running statistics are plain means, which only the averaged
    network has: `standing` counts the batches that have gone into them while `_standing_statistics` takes them.
    """

    standing: int | None = None

    def __init__(self, channels: int, affine: bool = True) -> None:
        super().__init__(channels, eps=1e-4, momentum=None, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if self.standing is not None:
            self.standing += 1
            mean, variance, share = self.running_mean, self.running_var, 1 / self.standing
            return F.batch_norm(x, mean, variance, self.weight, self.bias, True, share, self.eps)
        if world_size() == 1:
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        moments = torch.stack([x.float().mean((0, 2, 3)), x.float().square().mean((0, 2, 3))])
        mean, square = (sum_over_processes(moments) / world_size())[:, :, None, None]
        normed = (x - mean) * torch.rsqrt(square - mean.square() + self.eps)
        if self.affine:
            normed = torch.addcmul(self.bias[:, None, None], normed, self.weight[:, None, None])
        return normed.to(x.dtype)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias are linear in the condition (B, D)."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.gain_and_bias = Linear(condition, 2 * channels, bias=False)
        self.norm = BatchNorm(channels, affine=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, bias = self.gain_and_bias(condition)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(bias, self.norm(x), 1 + gain)


class SelfAttention(nn.Module):
    """Self-attention over positions (Zhang et al. 2019) with a learned gate that starts closed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(1, channels // 8)
        self.query = Conv2d(channels, narrow, 1)
        self.key = Conv2d(channels, narrow, 1)
        self.value = Conv2d(channels, channels // 2, 1)
        self.out = Conv2d(channels // 2, channels, 1)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        query = self.query(x).flatten(2).transpose(1, 2)
        key = F.max_pool2d(self.key(x), 2).flatten(2).transpose(1, 2)
        value = F.max_pool2d(self.value(x), 2).flatten(2).transpose(1, 2)
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return x + self.gate * self.out(attended.transpose(1, 2).reshape(batch, -1, height, width))


class GeneratorBlock(nn.Module):
    """Bottleneck residual block; the skip path drops surplus channels instead of projecting them."""

    def __init__(self, inputs: int, outputs: int, condition: int, bottleneck: int, upsample: bool) -> None:
        super().__init__()
        hidden = inputs // bottleneck
        self.outputs, self.upsample = outputs, upsample
        self.norms = nn.ModuleList(ConditionalBatchNorm(n, condition) for n in (inputs, hidden, hidden, hidden))
        # No biases: every path from here to the image leads through a batch normalisation, which takes them out again.
        channels, kernels = (inputs, hidden, hidden, hidden, outputs), (1, 3, 3, 1)
        self.convs = nn.ModuleList(
            Conv2d(*pair, kernel, bias=False) for pair, kernel in zip(pairwise(channels), kernels, strict=True)
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = x
        for i, (norm, layer) in enumerate(zip(self.norms, self.convs, strict=True)):
            h = F.relu(norm(h, condition))
            if i == 1 and self.upsample:
                h = F.interpolate(h, scale_factor=2)
            h = layer(h)
        skip = x[:, : self.outputs]
        return h + (F.interpolate(skip, scale_factor=2) if self.upsample else skip)


class Generator(nn.Module):
    """z (B, latent) and labels (B,) to images (B, C, H, W) in -1..1. condition_weight: how much the class counts."""

    condition_weight: Tensor

    def __init__(self, settings: BigGANSettings, shape: ImageShape) -> None:
        super().__init__()
        self.register_buffer("condition_weight", torch.ones(()))
        channels = widths(settings, shape.resolution)
        self.first = 4, channels[4]
        self.embedding = nn.Embedding(shape.classes, settings.class_embedding) if shape.classes else None
        condition = settings.latent + (settings.class_embedding if shape.classes else 0)
        self.project = Linear(condition, channels[4] * 4 * 4)
        self.blocks = nn.ModuleList()
        for size, width in channels.items():
            if size == settings.attention_at:
                self.blocks.append(SelfAttention(width))
            wider = channels.get(size * 2, width)
            last = size == shape.resolution
            for i in range(settings.depth if not last else 0):
                up = i == settings.depth - 1
                self.blocks.append(GeneratorBlock(width, wider if up else width, condition, settings.bottleneck, up))
        self.norm = BatchNorm(width)
        self.to_image = Conv2d(width, shape.channels, 3)
        self.spectral = spectral_norm(self)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        kind = self.spectral()
        condition = z if self.embedding is None else torch.cat([z, self.condition_weight * self.embedding(labels)], 1)
        condition = condition.to(kind)
        size, width = self.first
        x = self.project(condition).view(len(z), width, size, size)
        x = x.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x) if isinstance(block, SelfAttention) else block(x, condition)
        return torch.tanh(self.to_image(F.relu(self.norm(x))))


class DiscriminatorBlock(nn.Module):
    """Bottleneck residual block; the skip path gets its new channels by concatenation of a 1 x 1 projection."""

    def __init__(self, inputs: int, outputs: int, bottleneck: int, downsample: bool) -> None:
        super().__init__()
        hidden = outputs // bottleneck
        self.downsample = downsample
        self.convs = nn.ModuleList(
            [
                Conv2d(inputs, hidden, 1),
                Conv2d(hidden, hidden, 3),
                Conv2d(hidden, hidden, 3),
                Conv2d(hidden, outputs, 1),
            ]
        )
        self.grow = Conv2d(inputs, outputs - inputs, 1) if outputs > inputs else None

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for i, layer in enumerate(self.convs):
            h = F.relu(h)
            if i == 3 and self.downsample:
                h = F.avg_pool2d(h, 2)
            h = layer(h)
        skip = F.avg_pool2d(x, 2) if self.downsample else x
        return h + (skip if self.grow is None else torch.cat([skip, self.grow(skip)], 1))


class Discriminator(nn.Module):
    """Images (B, C, H, W) in -1..1 and labels (B,) to logits (B,): positive means real."""

    condition_weight: Tensor

    def __init__(self, settings: BigGANSettings, shape: ImageShape) -> None:
        super().__init__()
        channels = widths(settings, shape.resolution)
        width = channels[shape.resolution]
        self.from_image = Conv2d(shape.channels, width, 3)
        self.blocks = nn.ModuleList()
        for size in sorted(channels, reverse=True)[:-1]:
            if size == settings.attention_at:
                self.blocks.append(SelfAttention(width))
            for i in range(settings.depth):
                outputs = channels[size // 2]
                self.blocks.append(DiscriminatorBlock(width, outputs, settings.bottleneck, downsample=i == 0))
                width = outputs
        self.to_logit = Linear(width, 1)
        self.embedding = Embedding(shape.classes, width) if shape.classes else None
        self.register_buffer("condition_weight", torch.ones(()))
        self.spectral = spectral_norm(self)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        self.spectral()
        h = self.from_image(x.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            h = block(h)
        h = F.relu(h).sum((2, 3))
        logit = self.to_logit(h).squeeze(1)
        if self.embedding is not None:
            logit = logit + self.condition_weight * (self.embedding(labels) * h).sum(1)
        return logit


def orthogonal_gradient(network: nn.Module, strength: float) -> None:
    """Add the gradient of strength / 2 * ||W W^T * (1 - I)||^2 for every matrix W (Brock et al. 2019, equation 3)."""
    for parameter in network.parameters():
        if parameter.ndim < 2 or parameter.grad is None:
            continue
        weight = parameter.detach().flatten(1)
        gram = weight @ weight.T
        gram.fill_diagonal_(0.0)
        parameter.grad.add_((gram @ weight).view_as(parameter), alpha=2 * strength)


class BigGAN(GenerativeModel):
    """BigGAN-deep in training."""

    loss_names = ("generator_loss", "discriminator_loss")
    asked = "discriminator"
    settings: BigGANSettings

    def __init__(self, settings: BigGANSettings, shape: ImageShape, device: torch.device) -> None:
        super().__init__(settings, shape, device)
        self.batches_per_step = settings.discriminator_steps
        generator = Generator(settings, shape).to(device).to(memory_format=torch.channels_last)
        discriminator = Discriminator(settings, shape).to(device).to(memory_format=torch.channels_last)
        self.networks = {"generator": generator, "discriminator": discriminator, "ema": frozen_copy(generator)}
        betas, adam = (settings.adam_beta1, settings.adam_beta2), eager(torch.optim.Adam)
        self.optimisers = {
            "generator": adam(generator.parameters(), settings.generator_lr, betas, 1e-8, fused=True),
            "discriminator": adam(discriminator.parameters(), settings.discriminator_lr, betas, 1e-8, fused=True),
        }
        self._generate = torch.compile(generator) if settings.compile else generator
        self._discriminate = torch.compile(discriminator) if settings.compile else discriminator

    def latents(self, count: int) -> Tensor:
        return global_randn(count, self.settings.latent, device=self.device)

    def begin(self) -> Hashable:
        self.fade_in_condition([self.networks["generator"], self.networks["discriminator"]])
        return super().begin()

    def compute(self, batches: list[Batch], kind: Hashable) -> Tensor:
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]
        generator_loss = discriminator_loss = torch.zeros((), device=self.device)
        set_trainable(discriminator, True)
        for batch in batches:
            for images, labels in self.micro_batches(batch):
                with torch.no_grad(), self.autocast():
                    fakes = self._generate(self.latents(len(images)), labels)
                with self.autocast():
                    # One pass over both halves: half the launches, and one power iteration of the spectral norms.
                    logits = self._discriminate(
                        torch.cat([images, fakes.to(images.dtype)]), torch.cat([labels, labels])
                    )
                real, fake = logits.float().chunk(2)
                discriminator_loss = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
                discriminator_loss.backward()
            self.update("discriminator")
        set_trainable(discriminator, False)
        for images, labels in self.micro_batches(batches[-1]):
            with self.autocast():
                logits = self._discriminate(self._generate(self.latents(len(images)), labels), labels)
            generator_loss = -logits.float().mean()
            generator_loss.backward()
        if self.settings.orthogonal:
            orthogonal_gradient(generator, self.settings.orthogonal)
        self.update("generator")
        self.average_weights(generator)
        return torch.stack([generator_loss.detach(), discriminator_loss.detach()])

    @torch.no_grad()
    def sample(self, count: int, labels: Tensor | None, seed: int) -> Tensor:
        random = torch.Generator(self.device).manual_seed(seed)
        ema, batch = self.networks["ema"], self.settings.batch
        labels = torch.zeros(count, dtype=torch.int64, device=self.device) if labels is None else labels
        self._standing_statistics(labels, random)
        z = torch.randn(count, self.settings.latent, device=self.device, generator=random)
        while self.settings.truncation and (far := z.abs() > self.settings.truncation).any():
            z = torch.where(far, torch.randn(z.shape, device=self.device, generator=random), z)
        with self.autocast():
            pieces = in_batches(lambda rows: to_uint8(ema(z[rows], labels[rows])), count, batch)
            return torch.cat([*tracked(pieces, count, "images", "sampling")])

    @torch.no_grad()
    def losses(self, images: Tensor, labels: Tensor) -> Tensor:
        """How little real the discriminator takes images for (B,): its logits, negative (LOGAN: Hayes et al. 2019)."""
        with self.autocast():
            return -self.networks["discriminator"](images, labels).float()

    def _standing_statistics(self, labels: Tensor, random: torch.Generator) -> None:
        """Fill the averaged generator's batch-norm statistics over several batches (Brock et al. 2019, appendix F)."""
        ema, batch = self.networks["ema"], self.settings.batch
        norms = [module for module in ema.modules() if isinstance(module, BatchNorm)]
        for norm in norms:
            norm.standing = 0
            norm.reset_running_stats()
            norm.train()
        for _ in range(self.settings.standing_batches):
            chosen = torch.randint(len(labels), (batch,), device=self.device, generator=random)
            z = torch.randn(batch, self.settings.latent, device=self.device, generator=random)
            with self.autocast():
                ema(z, labels[chosen])
        for norm in norms:
            norm.get_buffer("num_batches_tracked").fill_(self.settings.standing_batches)
            norm.standing = None
            norm.eval()
