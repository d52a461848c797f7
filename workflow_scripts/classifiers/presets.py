"""Every setting of a classifier and of its training, and the presets, as data. No torch: the config check imports this.

`tiny` trains in seconds on a CPU, `small` in a minute on a GPU; the others hold the published settings.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import MinLen

from workflow_scripts.core.settings import Count, Fraction, NotNegative, Positive, Share, WeightsFile

# Families of torchvision whose logits are not linear on the mean of their last feature map: no class activation map.
WITHOUT_CLASS_MAPS = ("alexnet", "convnext", "maxvit", "mobilenet_v3", "squeezenet", "vgg", "vit_")
LADDER = ("none", "weak", "strong", "stronger")
Rung = Literal["none", "weak", "strong", "stronger"]


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """A classifier, trained by stochastic gradient descent for a fixed number of steps."""

    architecture: Annotated[str, MinLen(1)] = "resnet8"  # resnet8, 14, 20, ..., vit, or one of torchvision.models
    width: Count = 16  # channels of the first stage of a small ResNet; an eighth of the size of a ViT's tokens
    stem: Literal["auto", "small", "full"] = (
        "auto"  # of torchvision's ResNets; small keeps the resolution, as auto does below 96 px
    )
    steps: Count  # updates
    batch: Count  # images an update sees
    learning_rate: Positive = 0.1  # the highest
    momentum: Fraction = 0.9
    nesterov: bool = True  # Nesterov's momentum
    weight_decay: NotNegative = 5e-4  # L2, of all weights
    schedule: Literal["cosine", "steps"] = "cosine"  # how the learning rate falls
    milestones: tuple[Share, ...] = ()  # shares of the steps at which `steps` divides it by ten
    warm_up: Share = 0.05  # share of the steps in which it rises from zero
    label_smoothing: Share = 0.0  # share of the target that all classes have in common
    augmentation: Rung = "weak"  # what training images go through: a rung of the ladder
    smallest_crop: Share = 0.2  # smallest share of the area that a crop shows
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast; weights stay float32
    compile: bool = False  # torch.compile the network; needs a C++ compiler
    weights: WeightsFile | None = None  # file of initial weights, .pth or .safetensors, of one of torchvision.models


PRESETS = {
    "tiny": ClassifierSettings(steps=200, batch=64, width=8, learning_rate=0.2, smallest_crop=0.6),
    "small": ClassifierSettings(architecture="resnet20", width=32, steps=8_000, batch=128, precision="bfloat16"),
    # Guo et al. 2023: 100 epochs, here of 256 x 256 = 65,536 images.
    "guo2023": ClassifierSettings(
        architecture="resnet18", steps=25_600, batch=256, nesterov=False, weight_decay=1e-4,
        schedule="steps", milestones=(0.3, 0.6, 0.9), warm_up=0.0, augmentation="weak",
    ),
    # Guo et al. 2024: 200 epochs of CIFAR-100 in batches of 128; steps at 190 and 195 epochs, warm-up of 8.
    "guo2024-student": ClassifierSettings(
        architecture="resnet18", steps=78_200, batch=128, nesterov=False, weight_decay=0.0, schedule="steps",
        milestones=(0.95, 0.975), warm_up=0.04,
    ),
    # 61 epochs, steps at 25, 40, 60; from ImageNet's weights.
    "guo2024-teacher": ClassifierSettings(
        architecture="resnet50", steps=23_851, batch=128, nesterov=False, weight_decay=0.0, schedule="steps",
        milestones=(0.41, 0.656, 0.984), warm_up=0.13,
    ),
}  # fmt: skip


def classifier_settings(preset: str, overrides: dict[str, object]) -> ClassifierSettings:
    """The preset's settings with single values replaced."""
    return replace(PRESETS[preset], **overrides)  # type: ignore[arg-type]
