"""Every setting of every generator family, and the presets, as data. No torch here: the config check imports this.

`tiny` trains in minutes on a CPU, `small` in minutes on one GPU, `paper` holds the published settings.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

# The config check reads these limits.
Count = Annotated[int, Ge(1)]
Whole = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]
NotNegative = Annotated[float, Ge(0)]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What all families share."""

    steps: Count  # updates of the generator
    batch: Count  # images an update sees, over all devices and micro-batches
    accumulate: Count = 1  # micro-batches that a batch is split into, to fit the memory
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast; weights stay float32
    compile: bool = False  # torch.compile the networks; needs a C++ compiler
    ema_half_life: Positive = 10_000.0  # images after which the averaged weights have moved half-way


@dataclass(frozen=True, kw_only=True)
class BigGANSettings(TrainingSettings):
    """BigGAN-deep (Brock et al. 2019), class-conditional where the image set has classes and `conditional` is set."""

    conditional: bool = False  # False as in Feng et al. 2021
    width: Count  # channels of the layers next to the image
    depth: Count = 2  # residual blocks a resolution
    bottleneck: Count = 4  # how many times narrower a block's inner layers are
    latent: Count = 128  # size of z, given to every block (hierarchical latent)
    class_embedding: Count = 128  # size of the class embedding that all blocks share
    attention_at: Whole = 64  # resolution with self-attention; 0: none
    generator_lr: Positive = 1e-4
    discriminator_lr: Positive = 4e-4
    adam_beta1: Fraction = 0.0
    adam_beta2: Fraction = 0.999
    discriminator_steps: Count = 2  # updates of the discriminator before one of the generator
    orthogonal: NotNegative = 0.0  # strength of orthogonal regularisation of the generator
    truncation: NotNegative = 0.0  # resample |z| above this when sampling; 0: no truncation
    standing_batches: Count = 16  # batches that give the batch-norm statistics for sampling


Settings = BigGANSettings

_BIGGAN_PAPER = BigGANSettings(
    steps=25_000, batch=56, width=128, ema_half_life=560_000.0, orthogonal=1e-4, precision="float32"
)

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
        "paper": _BIGGAN_PAPER,
    },
}  # fmt: skip


def settings_for(family: str, preset: str, overrides: dict[str, object]) -> Settings:
    """The preset's settings with single values replaced."""
    return replace(PRESETS[family][preset], **overrides)  # type: ignore[arg-type]
