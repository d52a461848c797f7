"""Every setting of every generator family, and the presets, as data. No torch here: the config check imports this.

`tiny` trains in minutes on a CPU, `small` in minutes on one GPU, `paper` holds the published settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from workflow_scripts.core.settings import Count, Fraction, NotNegative, Positive, Share, Whole

LARGEST = 256  # px, the side of the largest images
SNAPSHOTS = 8  # moments of training at which samples are kept
SNAPSHOT_SAMPLES = 16  # of each moment, where they are only looked at
Conflict = tuple[tuple[str, ...], str]  # the settings that contradict each other, the one to change first; how


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What all families share."""

    steps: Count  # updates of the generator
    batch: Count  # images an update sees, over all devices and micro-batches
    accumulate: Count = 1  # micro-batches that a batch is split into, to fit the memory
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast; weights stay float32
    compile: bool = False  # torch.compile the networks; needs a C++ compiler
    ema_half_life: Positive = 10_000.0  # images after which the averaged weights have moved half-way
    keep: Literal["last", "best"] = "last"  # best: the averaged weights whose samples were nearest to the training set
    evaluations: Count = 20  # times, at even intervals, that this Fréchet distance (of pixels) is measured for `best`

    def conflicts(self) -> Iterator[Conflict]:
        """Every contradiction between settings that are each within their limits."""
        if self.batch % self.accumulate:
            yield (
                ("batch", "accumulate"),
                f"{self.batch} given, expected a multiple of `accumulate` ({self.accumulate})",
            )

    def expected_resolution(self, resolution: int) -> str:
        """Which image sides (px) this generator can learn, in words; empty if `resolution` is one of them."""
        return (
            "" if 8 <= resolution <= LARGEST and resolution.bit_count() == 1 else f"a power of two from 8 to {LARGEST}"
        )


def _transition_conflicts(transition: tuple[int, int] | None, conditional: bool) -> Iterator[Conflict]:
    if transition and list(transition) != sorted(transition):
        yield ("transition",), f"{list(transition)} given, expected the second number to be at least the first"
    if transition and not conditional:
        yield ("transition", "conditional"), "given without `conditional`, expected `conditional: true` as well"


@dataclass(frozen=True, kw_only=True)
class BigGANSettings(TrainingSettings):
    """BigGAN-deep (Brock et al. 2019), class-conditional where the image set has classes and `conditional` is set."""

    conditional: bool = False  # learn the classes of the image set; Feng et al. 2021 did not
    transition: tuple[Whole, Whole] | None = (
        None  # images seen when the condition begins to count and when it counts fully
    )
    width: Count  # channels of the layers next to the image
    depth: Count = 2  # residual blocks a resolution
    bottleneck: Count = 4  # how many times narrower a block's inner layers are
    latent: Count = 128  # size of z, given to every block (hierarchical latent)
    class_embedding: Count = 128  # size of the class embedding that all blocks share
    attention_at: Whole = 64  # resolution with self-attention; 0: none
    generator_lr: Positive = 1e-4  # Adam's learning rate of the generator
    discriminator_lr: Positive = 4e-4  # Adam's learning rate of the discriminator
    adam_beta1: Fraction = 0.0  # Adam's decay of the mean gradient
    adam_beta2: Fraction = 0.999  # Adam's decay of the mean squared gradient
    discriminator_steps: Count = 2  # updates of the discriminator before one of the generator
    orthogonal: NotNegative = 0.0  # strength of orthogonal regularisation of the generator
    truncation: NotNegative = 0.0  # resample |z| above this when sampling; 0: no truncation
    standing_batches: Count = 16  # batches that give the batch-norm statistics for sampling

    def conflicts(self) -> Iterator[Conflict]:
        yield from super().conflicts()
        if self.width < self.bottleneck:
            yield ("width", "bottleneck"), f"{self.width} given, expected at least `bottleneck` ({self.bottleneck})"
        if self.attention_at and (self.attention_at.bit_count() != 1 or self.attention_at < 4):
            yield ("attention_at",), f"{self.attention_at} given, expected 0 (none) or a power of two, at least 4"
        yield from _transition_conflicts(self.transition, self.conditional)


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Settings(TrainingSettings):
    """StyleGAN2 (Karras et al. 2020), class-conditional where the image set has classes and `conditional` is set."""

    conditional: bool = False  # learn the classes of the image set; Feng et al. 2021 did not
    channels: Count  # channels of a layer times its resolution, down to `widest`
    widest: Count  # most channels of a layer
    latent: Count = 512  # size of z, of w and of the class embedding
    mapping_depth: Count = 8  # layers from z to w
    mapping_rate: Positive = 0.01  # learning rate of the mapping network relative to the generator's
    generator_lr: Positive = 2e-3  # Adam's learning rate of the generator
    discriminator_lr: Positive = 2e-3  # Adam's learning rate of the discriminator
    adam_beta1: Fraction = 0.0  # Adam's decay of the mean gradient
    adam_beta2: Fraction = 0.99  # Adam's decay of the mean squared gradient
    r1_gamma: NotNegative = 10.0  # strength of the gradient penalty on training images; 0: none
    r1_every: Count = 16  # steps from one gradient penalty to the next
    path_length: NotNegative = 2.0  # strength of path-length regularisation; 0: none
    path_length_every: Count = 4  # steps from one path-length regularisation to the next
    style_mixing: Share = 0.9  # share of the training samples whose coarse and fine layers have different latents
    minibatch_std: Count = 4  # most images in a group of the discriminator's minibatch standard deviation
    transition: tuple[Whole, Whole] | None = (
        None  # images seen when the condition begins to count and when it counts fully
    )
    augment: Literal["none", "ada", "diffaugment"] = "none"  # Karras et al. 2020; Zhao et al. 2020
    ada_target: Share = 0.6  # mean sign of the logits of training images that adaptive augmentation keeps
    ada_images: Count = 500_000  # images in which adaptive augmentation can go from never to always
    truncation: Share = 1.0  # psi: how far w keeps from its mean when sampling; 1: no truncation

    def conflicts(self) -> Iterator[Conflict]:
        yield from super().conflicts()
        yield from _transition_conflicts(self.transition, self.conditional)

    def expected_resolution(self, resolution: int) -> str:
        if resolution > self.channels:
            return f"at most {self.channels} (its `channels`)"
        return super().expected_resolution(resolution)


@dataclass(frozen=True, kw_only=True)
class DiffusionSettings(TrainingSettings):
    """A denoising diffusion model (Ho et al. 2020) with the U-Net and the schedulers of the diffusers library."""

    conditional: bool = False  # learn the classes of the image set, with classifier-free guidance
    widths: tuple[Count, ...]  # channels of the U-Net at each resolution, from the image's on, each half the one before
    layers: Count = 2  # residual blocks a resolution
    attention: tuple[Count, ...] = ()  # resolutions with self-attention
    groups: Count = 8  # groups of the group normalisation; divides every width
    dropout: Fraction = 0.0  # share of features dropped in training
    learning_rate: Positive = 2e-4  # Adam's learning rate, after the warm-up
    warm_up: Whole = 0  # steps in which the learning rate rises from zero
    noise_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear"  # of the variances beta
    noise_levels: Count = 1000  # steps of the forward process
    prediction: Literal["epsilon", "v_prediction"] = "epsilon"  # what the network predicts
    label_dropout: Share = 0.1  # share of training images whose class is hidden, for guidance
    sampler: Literal["ddim", "dpm_solver"] = "ddim"  # Song et al. 2021; Lu et al. 2022 (DPM-Solver++, second order)
    sampling_steps: Count = 50  # evaluations of the network a sample
    guidance: NotNegative = 1.0  # classifier-free guidance scale; 1: none

    def conflicts(self) -> Iterator[Conflict]:
        yield from super().conflicts()
        if odd := [width for width in self.widths if width % self.groups]:
            yield ("widths", "groups"), f"{odd[0]} given, expected multiples of `groups` ({self.groups})"

    def expected_resolution(self, resolution: int) -> str:
        unit = max(8, 2 ** (len(self.widths) - 1))  # each width but the first halves the image
        return "" if resolution % unit == 0 and resolution <= LARGEST else f"a multiple of {unit} up to {LARGEST}"


Settings = BigGANSettings | StyleGAN2Settings | DiffusionSettings

PRESETS: dict[str, dict[str, Settings]] = {
    "biggan": {
        "tiny": BigGANSettings(
            steps=1500, batch=32, width=16, depth=1, bottleneck=2, latent=32, class_embedding=16, attention_at=0,
            generator_lr=3e-3, discriminator_lr=3e-3, adam_beta1=0.5, adam_beta2=0.99, discriminator_steps=1,
            ema_half_life=1_000.0,
        ),
        "small": BigGANSettings(
            steps=20_000, batch=64, width=64, attention_at=16, generator_lr=2e-4, discriminator_lr=4e-4,
            ema_half_life=20_000.0, precision="bfloat16",
        ),
        # As in Feng et al. 2021: average of decay 0.999 a step, no orthogonal regularisation.
        "paper": BigGANSettings(steps=25_000, batch=56, width=128, ema_half_life=38_800.0),
    },
    "stylegan2": {
        "tiny": StyleGAN2Settings(
            steps=3000, batch=16, channels=256, widest=64, latent=16, mapping_depth=3, mapping_rate=1.0,
            generator_lr=1e-2, discriminator_lr=1e-2, r1_gamma=0.5, path_length=0.0, style_mixing=0.0,
            ema_half_life=1_000.0,
        ),
        "small": StyleGAN2Settings(
            steps=20_000, batch=64, channels=4096, widest=256, latent=256, mapping_depth=4, r1_gamma=0.05,
            ema_half_life=20_000.0, precision="bfloat16",
        ),
        # Configuration F; gamma and the 25 million images as in Feng et al. 2021.
        "paper": StyleGAN2Settings(
            steps=781_250, batch=32, channels=32_768, widest=512, r1_gamma=100.0, ema_half_life=10_000.0
        ),
    },
    "diffusion": {
        "tiny": DiffusionSettings(
            steps=1500, batch=32, widths=(16, 32, 32), layers=1, learning_rate=3e-3, warm_up=100,
            noise_schedule="squaredcos_cap_v2", prediction="v_prediction", sampling_steps=25, ema_half_life=2_000.0,
        ),
        "small": DiffusionSettings(
            steps=20_000, batch=128, widths=(64, 128, 128), attention=(16,), warm_up=500,
            noise_schedule="squaredcos_cap_v2", prediction="v_prediction", ema_half_life=50_000.0, precision="bfloat16",
        ),
        # Ho et al. 2020 at 128 px; Feng et al. 2021 trained no diffusion model.
        "paper": DiffusionSettings(
            steps=500_000, batch=64, widths=(128, 128, 256, 256, 512, 512), attention=(16,), groups=32,
            learning_rate=2e-5, warm_up=5000, sampling_steps=250, ema_half_life=450_000.0,
        ),
    },
}  # fmt: skip


def settings_for(family: str, preset: str, overrides: dict[str, object]) -> Settings:
    """The preset's settings with single values replaced."""
    return replace(PRESETS[family][preset], **overrides)  # type: ignore[arg-type]
