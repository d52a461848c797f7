"""Every setting of every generator family, and the presets, as data. No torch here: the config check imports this.

`tiny` trains in minutes on a CPU, `small` in minutes on one GPU, `paper` holds the published settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from typing_extensions import Doc

from workflow_scripts.core.settings import Count, Fraction, NotNegative, Positive, Share, Whole

LARGEST = 256  # px, the side of the largest images
SAMPLED_AT_ONCE = 256  # images of a diffusion model, or fewer where GPU memory is short
SNAPSHOTS = 8  # moments of training at which samples are kept
SNAPSHOT_SAMPLES = 16  # of each moment, where they are only looked at
Conflict = tuple[tuple[str, ...], str]  # the settings that contradict each other, the one to change first; how


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What all families share."""

    steps: Annotated[Count, Doc("updates of the generator")]
    batch: Annotated[Count, Doc("images an update sees, over all devices and micro-batches")]
    accumulate: Annotated[Count, Doc("micro-batches that a batch is split into, to fit the memory")] = 1
    precision: Annotated[Literal["float32", "bfloat16"], Doc("bfloat16: autocast; weights stay float32")] = "float32"
    compile: Annotated[bool, Doc("torch.compile the networks; needs a C++ compiler")] = False
    ema_half_life: Annotated[Positive, Doc("images after which the averaged weights have moved half-way")] = 10_000.0
    keep: Annotated[Literal["last", "best"], Doc("best: the average nearest by Fréchet distance of pixels")] = "last"
    evaluations: Annotated[Count, Doc("how often, evenly spaced, that distance is measured for `best`")] = 20

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

    conditional: Annotated[bool, Doc("learn the classes of the image set; Feng et al. 2021 did not")] = False
    transition: Annotated[tuple[Whole, Whole] | None, Doc("images between which the condition fades in")] = None
    width: Annotated[Count, Doc("channels of the layers next to the image")]
    depth: Annotated[Count, Doc("residual blocks a resolution")] = 2
    bottleneck: Annotated[Count, Doc("how many times narrower a block's inner layers are")] = 4
    latent: Annotated[Count, Doc("size of z, given to every block (hierarchical latent)")] = 128
    class_embedding: Annotated[Count, Doc("size of the class embedding that all blocks share")] = 128
    attention_at: Annotated[Whole, Doc("resolution with self-attention; 0: none")] = 64
    generator_lr: Annotated[Positive, Doc("Adam's learning rate of the generator")] = 1e-4
    discriminator_lr: Annotated[Positive, Doc("Adam's learning rate of the discriminator")] = 4e-4
    adam_beta1: Annotated[Fraction, Doc("Adam's decay of the mean gradient")] = 0.0
    adam_beta2: Annotated[Fraction, Doc("Adam's decay of the mean squared gradient")] = 0.999
    discriminator_steps: Annotated[Count, Doc("updates of the discriminator before one of the generator")] = 2
    orthogonal: Annotated[NotNegative, Doc("strength of orthogonal regularisation of the generator")] = 0.0
    truncation: Annotated[NotNegative, Doc("resample |z| above this when sampling; 0: no truncation")] = 0.0
    standing_batches: Annotated[Count, Doc("batches that give the batch-norm statistics for sampling")] = 16

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

    conditional: Annotated[bool, Doc("learn the classes of the image set; Feng et al. 2021 did not")] = False
    channels: Annotated[Count, Doc("channels of a layer times its resolution, down to `widest`")]
    widest: Annotated[Count, Doc("most channels of a layer")]
    latent: Annotated[Count, Doc("size of z, of w and of the class embedding")] = 512
    mapping_depth: Annotated[Count, Doc("layers from z to w")] = 8
    mapping_rate: Annotated[Positive, Doc("learning rate of the mapping network relative to the generator's")] = 0.01
    generator_lr: Annotated[Positive, Doc("Adam's learning rate of the generator")] = 2e-3
    discriminator_lr: Annotated[Positive, Doc("Adam's learning rate of the discriminator")] = 2e-3
    adam_beta1: Annotated[Fraction, Doc("Adam's decay of the mean gradient")] = 0.0
    adam_beta2: Annotated[Fraction, Doc("Adam's decay of the mean squared gradient")] = 0.99
    r1_gamma: Annotated[NotNegative, Doc("strength of the gradient penalty on training images; 0: none")] = 10.0
    r1_every: Annotated[Count, Doc("steps from one gradient penalty to the next")] = 16
    path_length: Annotated[NotNegative, Doc("strength of path-length regularisation; 0: none")] = 2.0
    path_length_every: Annotated[Count, Doc("steps from one path-length regularisation to the next")] = 4
    style_mixing: Annotated[Share, Doc("share of training samples that mix two latents")] = 0.9
    minibatch_std: Annotated[Count, Doc("largest group of the minibatch standard deviation")] = 4
    transition: Annotated[tuple[Whole, Whole] | None, Doc("images between which the condition fades in")] = None
    augment: Annotated[Literal["none", "ada", "diffaugment"], Doc("Karras et al. 2020; Zhao et al. 2020")] = "none"
    ada_target: Annotated[Share, Doc("mean sign of the training images' logits that adaptive augmentation holds")] = 0.6
    ada_images: Annotated[Count, Doc("images in which adaptive augmentation can go from never to always")] = 500_000
    truncation: Annotated[Share, Doc("psi: how far w keeps from its mean when sampling; 1: no truncation")] = 1.0

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

    conditional: Annotated[bool, Doc("learn the classes of the image set, with classifier-free guidance")] = False
    widths: Annotated[tuple[Count, ...], Doc("channels of the U-Net, from the image's resolution down by halves")]
    layers: Annotated[Count, Doc("residual blocks a resolution")] = 2
    attention: Annotated[tuple[Count, ...], Doc("resolutions with self-attention")] = ()
    groups: Annotated[Count, Doc("groups of the group normalisation; divides every width")] = 8
    dropout: Annotated[Fraction, Doc("share of features dropped in training")] = 0.0
    learning_rate: Annotated[Positive, Doc("Adam's learning rate, after the warm-up")] = 2e-4
    warm_up: Annotated[Whole, Doc("steps in which the learning rate rises from zero")] = 0
    noise_schedule: Annotated[Literal["linear", "scaled_linear", "squaredcos_cap_v2"], Doc("of beta")] = "linear"
    noise_levels: Annotated[Count, Doc("steps of the forward process")] = 1000
    prediction: Annotated[Literal["epsilon", "v_prediction"], Doc("what the network predicts")] = "epsilon"
    label_dropout: Annotated[Share, Doc("share of training images whose class is hidden, for guidance")] = 0.1
    sampler: Annotated[Literal["ddim", "dpm_solver"], Doc("Song et al. 2021; Lu et al. 2022 (DPM-Solver++)")] = "ddim"
    sampling_steps: Annotated[Count, Doc("evaluations of the network a sample")] = 50
    guidance: Annotated[NotNegative, Doc("classifier-free guidance scale; 1: none")] = 1.0

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
