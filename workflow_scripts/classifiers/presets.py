"""Every setting of a classifier and of its training, and the presets, as data. No torch: the config check imports this.

`tiny` trains in seconds on a CPU, `small` in a minute on a GPU; the others hold the published settings.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import MinLen
from typing_extensions import Doc

from workflow_scripts.core.settings import Count, Fraction, NotNegative, Positive, Share, WeightsFile

# Families of torchvision whose logits are not linear on the mean of their last feature map: no class activation map.
WITHOUT_CLASS_MAPS = ("alexnet", "convnext", "maxvit", "mobilenet_v3", "squeezenet", "vgg", "vit_")
LADDER = ("none", "weak", "strong", "stronger")
Rung = Literal["none", "weak", "strong", "stronger"]


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """A classifier, trained by stochastic gradient descent for a fixed number of steps."""

    architecture: Annotated[str, MinLen(1), Doc("resnet8, 14, 20, ..., vit, or one of torchvision.models")] = "resnet8"
    width: Annotated[Count, Doc("channels of a small ResNet's first stage; an eighth of those of a ViT's tokens")] = 16
    stem: Annotated[Literal["auto", "small", "full"], Doc("of a torchvision ResNet; auto: small below 96 px")] = "auto"
    steps: Annotated[Count, Doc("updates")]
    batch: Annotated[Count, Doc("images an update sees")]
    learning_rate: Annotated[Positive, Doc("the highest")] = 0.1
    momentum: Annotated[Fraction, Doc("of the descent")] = 0.9
    nesterov: Annotated[bool, Doc("whether it is Nesterov's")] = True
    weight_decay: Annotated[NotNegative, Doc("L2, of all weights")] = 5e-4
    schedule: Annotated[Literal["cosine", "steps"], Doc("how the learning rate falls")] = "cosine"
    milestones: Annotated[tuple[Share, ...], Doc("shares of the steps at which `steps` divides it by ten")] = ()
    warm_up: Annotated[Share, Doc("share of the steps in which it rises from zero")] = 0.05
    label_smoothing: Annotated[Share, Doc("share of the target that all classes have in common")] = 0.0
    augmentation: Annotated[Rung, Doc("what training images go through: a rung of the ladder")] = "weak"
    smallest_crop: Annotated[Share, Doc("smallest share of the area that a crop shows")] = 0.2
    precision: Annotated[Literal["float32", "bfloat16"], Doc("bfloat16: autocast; weights stay float32")] = "float32"
    compile: Annotated[bool, Doc("torch.compile the network; needs a C++ compiler")] = False
    weights: Annotated[WeightsFile | None, Doc("file of a torchvision network's initial weights")] = None


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
