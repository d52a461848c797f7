"""StyleGAN2 (Karras et al. 2020): modulated convolutions, skip generator, residual discriminator, lazy regularisers.

Two things keep the number of operations low. Modulation scales the input and demodulation the output of one ordinary
convolution of the whole batch: that equals a convolution of each image with its own weights (section 2.2 of the paper)
and, on a CPU, takes about half the time of the grouped one, derivatives included. And the equalised learning rate
(Karras et al. 2018) is a property of the optimiser, not of the layers: see `equalise`.
"""

import math
from collections.abc import Hashable
from functools import partial
from itertools import pairwise
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from workflow_scripts.core.devices import in_batches
from workflow_scripts.core.progress import tracked
from workflow_scripts.generators.augmentation import Augmenter
from workflow_scripts.generators.filters import Filter, autocast_format, in_format
from workflow_scripts.generators.model import Batch, GenerativeModel, ImageShape, frozen_copy, set_trainable, to_uint8
from workflow_scripts.generators.presets import StyleGAN2Settings
from workflow_scripts.training.optimisers import eager
from workflow_scripts.training.processes import global_rand, global_randn, world_size

GAIN = math.sqrt(2)  # restores the variance after leaky ReLU
PATH_LENGTH_DECAY = 0.01  # share of a new batch in the running mean of path lengths
SAMPLES_OF_MEAN_W = 4096  # latents that give the mean w for truncation


def equalise(parameter: Tensor, scale: float, rate: float = 1.0) -> None:
    """Draw `parameter` from N(0, scale^2) and note that its learning rate is to be multiplied by scale * rate.

    Under Adam, whose steps do not depend on the size of the gradient, this equals a parameter drawn from N(0, 1) that
    the network multiplies by `scale` whenever it is used: the equalised learning rate, at no cost in the network.
    `scale` also takes up the constant gain of the activation before the layer.
    """
    nn.init.normal_(parameter, std=scale)
    parameter.learning_rate_factor = scale * rate  # type: ignore[attr-defined]


def linear(inputs: int, outputs: int, gain: float = 1.0, rate: float = 1.0) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    equalise(layer.weight, gain / math.sqrt(inputs), rate)
    nn.init.zeros_(layer.bias)
    layer.bias.learning_rate_factor = rate  # type: ignore[attr-defined]
    return layer


def conv(
    inputs: int, outputs: int, kernel: int, gain: float = 1.0, stride: int = 1, padding: int = 0, bias: bool = True
) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias)
    equalise(layer.weight, gain / (kernel * math.sqrt(inputs)))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def learning_rate_groups(network: nn.Module, rate: float) -> list[dict[str, Any]]:
    """The network's parameters in one group for each learning rate that `equalise` asked for."""
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in network.parameters():
        groups.setdefault(getattr(parameter, "learning_rate_factor", 1.0), []).append(parameter)
    return [{"params": parameters, "lr": rate * factor} for factor, parameters in groups.items()]


def activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2, inplace=True)


def widths(settings: StyleGAN2Settings, resolution: int) -> dict[int, int]:
    """Channels at each resolution 4, 8, .."""
    sizes = [4 * 2**i for i in range(resolution.bit_length() - 2)]
    return {size: min(settings.channels // size, settings.widest) for size in sizes}


def normalise(x: Tensor) -> Tensor:
    """Scale every row to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class Mapping(nn.Module):
    """z (B, latent) and labels (B,) to w (B, latent)."""

    condition_weight: Tensor

    def __init__(self, settings: StyleGAN2Settings, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, settings.latent) if classes else None
        self.register_buffer("condition_weight", torch.ones(()))
        sizes = [settings.latent * (2 if classes else 1)] + [settings.latent] * settings.mapping_depth
        self.layers = nn.ModuleList(
            linear(inputs, outputs, GAIN if i else 1.0, settings.mapping_rate)
            for i, (inputs, outputs) in enumerate(pairwise(sizes))
        )

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        x = normalise(z)
        if self.embedding is not None:
            x = torch.cat([x, self.condition_weight * normalise(self.embedding(labels))], 1)
        for layer in self.layers:
            x = activate(layer(x))
        return x * GAIN


class _Energies(torch.autograd.Function):
    """Sums of squares (inputs, outputs) of convolutions' weights (outputs, inputs, 3, 3)."""

    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*weights)
        return tuple(square.sum((2, 3)).T for square in torch._foreach_mul(weights, weights))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        doubled = torch._foreach_mul(gradients, 2)
        return tuple(
            weight * twice.T[:, :, None, None] for weight, twice in zip(ctx.saved_tensors, doubled, strict=True)
        )


def demodulations(layers: list["StyledConv"], styles: Tensor) -> Tensor:
    """Factors (B, sum of outputs) that bring each layer's outputs for independent inputs of variance one to variance
    two. styles: (B, sum of inputs)."""
    squares = (styles.square() * 0.5).split([layer.weight.shape[1] for layer in layers], 1)
    weights = [layer.weight for layer in layers]
    if torch.compiler.is_compiling():
        energies = [weight.square().sum((2, 3)).T for weight in weights]
    else:
        energies = _Energies.apply(*weights)
    energy = torch.cat([square @ energy for square, energy in zip(squares, energies, strict=True)], 1)
    return torch.rsqrt(energy + 1e-8)


class StyledConv(nn.Module):
    """Modulated and demodulated 3 x 3 convolution, doubling the resolution where `up` is set, with noise and bias.

    The activation's gain is part of the demodulation; bias and noise, which start at zero, take it up in their learning
    rate.
    """

    def __init__(self, inputs: int, outputs: int, up: bool, low_pass: Filter) -> None:
        super().__init__()
        self.up, self.low_pass = up, low_pass
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        equalise(self.weight, 1 / (3 * math.sqrt(inputs)))
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias.learning_rate_factor = self.strength.learning_rate_factor = GAIN  # type: ignore[attr-defined]

    def parts(self) -> list[Tensor]:
        return [self.weight, self.bias, self.strength]

    def forward(self, x: Tensor, style: Tensor, demodulation: Tensor, noise: Tensor, parts: list[Tensor]) -> Tensor:
        """x (B, inputs, H, W), style (B, inputs), demodulation (B, outputs), noise (B, pixels), all in one format.

        parts: those of this layer, in the same format.
        """
        weight, bias, strength = parts
        x = x * style[:, :, None, None]
        if self.up:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = self.low_pass.blur(x, padding=1, gain=4.0)
        else:
            x = F.conv2d(x, weight, padding=1)
        x = torch.addcmul(bias, x, demodulation[:, :, None, None])
        return activate(torch.addcmul(x, noise.view(-1, 1, *x.shape[2:]), strength))


class ToImage(nn.Module):
    """Modulated 1 x 1 convolution to the image's channels; so few that each image's own weights are cheapest."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        equalise(self.weight, 1 / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(outputs, 1))

    def forward(self, x: Tensor, style: Tensor, weight: Tensor) -> Tensor:
        """x (B, inputs, H, W), style (B, inputs) and the layer's weight in one format."""
        return (weight * style[:, None, :] @ x.flatten(2) + self.bias).unflatten(2, x.shape[2:])


class Generator(nn.Module):
    """z (B, 1 or 2, latent), labels (B,), crossover (B,) and noise to images (B, C, H, W), of which -1..1 is shown.

    Layers before an image's `crossover` follow its first latent, the others its last one (style mixing). Noise is
    standard normal, (B, sum of `noise_sizes`). The affine layers that make styles of w are one matrix: styles (B, S)
    hold those of all layers side by side, first of the convolutions, then of the layers to the image. As in the
    original, a layer to the image shares its place in the order of layers with the convolution after it.
    """

    layer_of_style: Tensor

    def __init__(self, settings: StyleGAN2Settings, shape: ImageShape) -> None:
        super().__init__()
        channels = widths(settings, shape.resolution)
        self.mapping = Mapping(settings, shape.classes)
        self.constant = nn.Parameter(torch.randn(1, channels[4], 4, 4))
        self.low_pass = Filter()
        self.convs, self.to_image = nn.ModuleList(), nn.ModuleList()
        self.noise_sizes: list[int] = []
        inputs: list[int] = []
        before = channels[4]
        for size, width in channels.items():
            for up in (True, False) if size > 4 else (False,):
                self.convs.append(StyledConv(before, width, up, self.low_pass))
                self.noise_sizes.append(size * size)
                inputs.append(before)
                before = width
            self.to_image.append(ToImage(width, shape.channels))
        self.style_sizes = inputs + list(channels.values())
        self.layers = len(self.convs) + 1
        places = [*range(len(self.convs)), *range(1, self.layers, 2)]
        layers = [place for place, size in zip(places, self.style_sizes, strict=True) for _ in range(size)]
        self.register_buffer("layer_of_style", torch.tensor(layers), persistent=False)
        self.affine = linear(settings.latent, sum(self.style_sizes))
        nn.init.ones_(self.affine.bias)

    def forward(self, z: Tensor, labels: Tensor, crossover: Tensor, noise: Tensor) -> Tensor:
        return self.synthesise(self.mixed_styles(z, labels, crossover), noise)

    def mixed_styles(self, z: Tensor, labels: Tensor, crossover: Tensor) -> Tensor:
        """Styles (B, S): of an image's first latent before its crossover, of the last one from there on."""
        with torch.autocast(z.device.type, enabled=False):
            count, mixed = z.shape[:2]
            styles = self.affine(self.mapping(z.flatten(0, 1), labels.repeat_interleave(mixed)))
            styles = styles.view(count, mixed, -1)
            return torch.where(self.layer_of_style < crossover[:, None], styles[:, 0], styles[:, -1])

    def synthesise(self, styles: Tensor, noise: Tensor) -> Tensor:
        kind, layers = autocast_format(styles), cast(list[StyledConv], list(self.convs))
        to_image = cast(list[ToImage], list(self.to_image))
        of_convs = sum(self.style_sizes[: len(layers)])
        conv_styles, _ = styles.split([of_convs, styles.shape[1] - of_convs], 1)
        # Small tensors and the sum of images stay in full precision under autocast.
        with torch.autocast(styles.device.type, enabled=False):
            factors = demodulations(layers, conv_styles).to(kind).split([len(layer.weight) for layer in layers], 1)
        parts = in_format(
            [*(p for layer in layers for p in layer.parts()), *(layer.weight for layer in to_image)], kind
        )
        weights = parts[3 * len(layers) :]
        each_style = styles.to(kind).split(self.style_sizes, 1)
        each_noise = noise.to(kind).split(self.noise_sizes, 1)
        x, image = self.constant.to(kind), torch.zeros((), dtype=styles.dtype, device=styles.device)
        for number, layer in enumerate(layers):
            own = parts[3 * number : 3 * number + 3]
            x = layer(x, each_style[number], factors[number], each_noise[number], own)
            if number % 2 == 0:  # the last convolution at its resolution
                here = number // 2
                with torch.autocast(styles.device.type, enabled=False):
                    image = self.low_pass.upsample(image) if here else image
                image = image + to_image[here](x, each_style[len(layers) + here], weights[here])
        return image


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the resolution. `gain` is that of the activation before it."""

    def __init__(self, inputs: int, outputs: int, gain: float, low_pass: Filter) -> None:
        super().__init__()
        self.low_pass = low_pass
        self.first = conv(inputs, inputs, 3, gain, padding=1)
        self.second = conv(inputs, outputs, 3, GAIN, stride=2)
        self.skip = conv(inputs, outputs, 1, gain / GAIN, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = activate(self.first(x))
        # The factor 1 / sqrt(2) of the sum cancels the gain of this activation.
        h = activate(self.second(self.low_pass.blur(h, padding=2)))
        return h + self.skip(self.low_pass.downsample(x))


def minibatch_std(x: Tensor, group: int, batches: int = 1) -> Tensor:
    """Append a channel with the standard deviation over groups of images, averaged over channels and positions.

    x: (batches * B, C, H, W); no group reaches over two of the stacked batches. A group has `group` images, or as many
    as divide B, spread evenly over the batch: so groups stay the same when a batch is dealt out to several processes,
    as long as `group` divides each one's part.
    """
    size = len(x) // batches
    group = next(g for g in range(min(group, size), 0, -1) if size % g == 0)
    y = x.view(batches, group, size // group, *x.shape[1:])
    # Not `var`, which is many times slower along an outer dimension on a CPU.
    deviation = ((y - y.mean(1, keepdim=True)).square().mean(1) + 1e-8).sqrt().mean((2, 3, 4))
    channel = deviation[:, None].expand(batches, group, size // group).reshape(-1, 1, 1, 1)
    return torch.cat([x, channel.expand(-1, 1, *x.shape[2:])], 1)


class Discriminator(nn.Module):
    """Images (B, C, H, W) and labels (B,) to logits (B,): positive means real.

    The condition enters by projection onto a class embedding. `batches` is how many batches are stacked in the images.
    """

    condition_weight: Tensor

    def __init__(self, settings: StyleGAN2Settings, shape: ImageShape) -> None:
        super().__init__()
        channels = widths(settings, shape.resolution)
        self.group = settings.minibatch_std
        self.low_pass = Filter()
        self.from_image = conv(shape.channels, channels[shape.resolution], 1)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(width, channels[size // 2], GAIN if size == shape.resolution else 1.0, self.low_pass)
            for size, width in reversed(channels.items())
            if size > 4
        )
        width = channels[4]
        self.last_conv = conv(width + 1, width, 3, padding=1)
        self.dense = linear(width * 4 * 4, width, GAIN)
        self.to_logit = linear(width, 1, GAIN)
        self.embedding = nn.Embedding(shape.classes, width) if shape.classes else None
        if self.embedding is not None:
            equalise(self.embedding.weight, GAIN / math.sqrt(width))
        self.register_buffer("condition_weight", torch.ones(()))

    def forward(self, images: Tensor, labels: Tensor, batches: int = 1) -> Tensor:
        kind = autocast_format(images)
        if self.from_image.weight.dtype != kind and not torch.compiler.is_compiling():
            own = {name: value for name, value in self.named_parameters() if not name.startswith("embedding")}
            formatted = dict(zip(own, in_format([*own.values()], kind), strict=True))
            return functional_call(self, formatted, (images, labels, batches))
        x = activate(self.from_image(images.to(kind, memory_format=torch.channels_last)))
        for block in self.blocks:
            x = block(x)
        x = activate(self.last_conv(minibatch_std(x, self.group, batches)))
        x = activate(self.dense(x.flatten(1)))
        logits = self.to_logit(x).squeeze(1)
        if self.embedding is not None:
            logits = logits + self.condition_weight * (self.embedding(labels) * x).sum(1)
        return logits


def gradient_penalty(discriminator: nn.Module, images: Tensor, labels: Tensor, augment: Augmenter) -> Tensor:
    """R1 (Mescheder et al. 2018): the squared gradient (B,) of each image's logit with respect to the image."""
    images = images.detach().requires_grad_()
    logits = discriminator(augment(images), labels)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3))


def path_lengths(generator: Generator, styles: Tensor, noise: Tensor, direction: Tensor) -> Tensor:
    """Lengths (B,) of J_w^T y for image-shaped y (Karras et al. 2020, section 3.2), as root mean square over layers.

    styles: (B, S) of the generator's `mixed_styles`; every layer counts with the gradient by its own w.
    """
    images = generator.synthesise(styles, noise)
    (by_style,) = torch.autograd.grad((images * direction).sum(), styles, create_graph=True)
    layers = torch.arange(generator.layers, device=styles.device)[:, None]
    by_w = torch.where(generator.layer_of_style == layers, by_style[:, None], 0.0) @ generator.affine.weight
    return by_w.square().sum(2).mean(1).sqrt()


class StyleGAN2(GenerativeModel):
    """StyleGAN2 in training.

    Several processes compute what one would, as long as `minibatch_std` divides each one's part of a micro-batch: the
    groups of the minibatch standard deviation lie within that part.
    """

    loss_names = ("generator_loss", "discriminator_loss", "sign_of_real_logits", "augmentation_probability")
    asked = "discriminator"
    settings: StyleGAN2Settings

    def __init__(self, settings: StyleGAN2Settings, shape: ImageShape, device: torch.device) -> None:
        super().__init__(settings, shape, device)
        generator, discriminator = Generator(settings, shape).to(device), Discriminator(settings, shape).to(device)
        self.generator = generator.to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(memory_format=torch.channels_last)
        self.averaged = cast(Generator, frozen_copy(generator))
        self.networks = {"generator": generator, "discriminator": discriminator, "ema": self.averaged}
        self.optimisers = {
            "generator": self._adam(
                generator, settings.generator_lr, settings.path_length_every if settings.path_length else 0
            ),
            "discriminator": self._adam(
                discriminator, settings.discriminator_lr, settings.r1_every if settings.r1_gamma else 0
            ),
        }
        self.augment = Augmenter(settings.augment, shape.resolution, settings.ada_target, settings.ada_images, device)
        self.path_length = torch.zeros((), device=device)  # running mean
        self._generate = torch.compile(generator) if settings.compile else generator
        self._discriminate = torch.compile(discriminator) if settings.compile else discriminator

    def _adam(self, network: nn.Module, rate: float, interval: int) -> torch.optim.Adam:
        """Adam whose rate and betas allow for a regulariser's own update every `interval` steps (0: none)."""
        share = interval / (interval + 1) if interval else 1.0
        betas = (self.settings.adam_beta1**share, self.settings.adam_beta2**share)
        groups = learning_rate_groups(network, rate * share)
        return eager(torch.optim.Adam)(groups, rate * share, betas, 1e-8, fused=True)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "path_length": self.path_length, "augment": self.augment.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.path_length.copy_(state["path_length"])
        self.augment.load_state(state["augment"])

    def random_inputs(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The generator's z (one latent an image if styles are not mixed), crossover and noise for `count` images."""
        settings, generator = self.settings, self.generator
        z = global_randn(count, 2 if settings.style_mixing else 1, settings.latent, device=self.device)
        u = global_rand(count, 2, device=self.device)
        crossover = 1 + (u[:, 0] * (generator.layers - 1)).floor()
        crossover = torch.where(u[:, 1] < settings.style_mixing, crossover, generator.layers)
        return z, crossover, global_randn(count, sum(generator.noise_sizes), device=self.device)

    def fakes(self, labels: Tensor) -> Tensor:
        z, crossover, noise = self.random_inputs(len(labels))
        with self.autocast():
            return self._generate(z, labels, crossover, noise)

    def logits(self, images: Tensor, labels: Tensor, batches: int = 1) -> Tensor:
        images = self.augment(images)
        with self.autocast():
            return self._discriminate(images, labels, batches).float()

    def begin(self) -> Hashable:
        """Whether the path length and the gradient are penalised, and whether the augmentation adapts."""
        settings = self.settings
        self.fade_in_condition([self.generator.mapping, self.discriminator])
        penalises_length = bool(settings.path_length) and self.steps_done % settings.path_length_every == 0
        penalises_gradient = bool(settings.r1_gamma) and self.steps_done % settings.r1_every == 0
        super().begin()
        return penalises_length, penalises_gradient, self.augment.is_due()

    def compute(self, batches: list[Batch], kind: Hashable) -> Tensor:
        penalises_length, penalises_gradient, adapts = cast(tuple[bool, bool, bool], kind)
        settings, discriminator = self.settings, self.discriminator
        parts = list(self.micro_batches(batches[0]))
        losses = torch.zeros(3, device=self.device)

        set_trainable(discriminator, False)
        for _, labels in parts:
            generator_loss = F.softplus(-self.logits(self.fakes(labels), labels)).mean()
            generator_loss.backward()
            losses[0] += generator_loss.detach()
        self.update("generator")
        if penalises_length:
            for _, labels in parts:
                self._path_length_penalty(labels).backward()
            self.update("generator")

        set_trainable(discriminator, True)
        for images, labels in parts:
            with torch.no_grad():
                fakes = self.fakes(labels)
            # Real and generated images in one pass: half the launches.
            both = self.logits(torch.cat([images, fakes]), torch.cat([labels, labels]), batches=2)
            real, fake = both.chunk(2)
            discriminator_loss = F.softplus(-real).mean() + F.softplus(fake).mean()
            discriminator_loss.backward()
            losses[1] += discriminator_loss.detach()
            losses[2] += real.detach().sign().mean()
        self.update("discriminator")
        if penalises_gradient:
            for images, labels in parts:
                penalty = gradient_penalty(discriminator, images, labels, self.augment).mean()
                (penalty * (settings.r1_gamma / 2 * settings.r1_every)).backward()
            self.update("discriminator")

        self.average_weights(self.generator)
        losses /= len(parts)
        self.augment.observe(losses[2], settings.batch, adapts)
        return torch.cat([losses, self.augment.probability[None]])

    def _path_length_penalty(self, labels: Tensor) -> Tensor:
        """The weighted penalty on half a batch of fresh latents, in full precision; moves the running mean."""
        labels = labels[: (len(labels) + 1) // 2]
        z, crossover, noise = self.random_inputs(len(labels))
        generator = self.generator
        shape = self.shape.channels, self.shape.resolution, self.shape.resolution
        direction = global_randn(len(labels), *shape, device=self.device) / self.shape.resolution
        lengths = path_lengths(generator, generator.mixed_styles(z, labels, crossover), noise, direction)
        mean = lengths.detach().mean()
        if world_size() > 1:
            dist.all_reduce(mean)
        self.path_length.lerp_(mean / world_size(), PATH_LENGTH_DECAY)
        return (lengths - self.path_length).square().mean() * (
            self.settings.path_length * self.settings.path_length_every
        )

    @torch.no_grad()
    def sample(self, count: int, labels: Tensor | None, seed: int) -> Tensor:
        random = torch.Generator(self.device).manual_seed(seed)
        ema, batch, psi = self.averaged, self.settings.batch, self.settings.truncation
        labels = torch.zeros(count, dtype=torch.int64, device=self.device) if labels is None else labels
        w = ema.mapping(torch.randn(count, self.settings.latent, device=self.device, generator=random), labels)
        if psi != 1:
            z = torch.randn(SAMPLES_OF_MEAN_W, self.settings.latent, device=self.device, generator=random)
            mean = ema.mapping(z, labels[torch.arange(len(z), device=self.device) % count]).mean(0)
            w = mean.lerp(w, psi)
        pieces: list[Tensor] = []
        for styles in tracked(ema.affine(w).split(batch), count, "images", "sampling"):
            noise = torch.randn(len(styles), sum(ema.noise_sizes), device=self.device, generator=random)
            with self.autocast():
                pieces += in_batches(partial(_rendered, ema, styles, noise), len(styles), len(styles))
        return torch.cat(pieces)

    @torch.no_grad()
    def losses(self, images: Tensor, labels: Tensor) -> Tensor:
        """How little real the discriminator takes images for (B,): its logits, negative (LOGAN: Hayes et al. 2019).

        Each image is a batch of its own, so that the deviation within batches does not depend on the others.
        """
        with self.autocast():
            return -self.discriminator(images, labels, len(images)).float()


def _rendered(network: nn.Module, styles: Tensor, noise: Tensor, rows: slice) -> Tensor:
    return to_uint8(cast(Generator, network).synthesise(styles[rows], noise[rows]))
