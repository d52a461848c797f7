"""The section `distillation`."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from workflow_scripts.classifiers.presets import LADDER, WITHOUT_CLASS_MAPS, Rung, classifier_settings
from workflow_scripts.config.messages import did_you_mean_or_list, path, quoted, repeated
from workflow_scripts.config.rebalancing import RebalancingClassifier
from workflow_scripts.config.sound import Sound, where_sound
from workflow_scripts.config.types import MOST, FilePath, Model, Name, Seed, Text


class DistillationClassifier(RebalancingClassifier):
    """The network of the teachers, or of the students."""


class Checkpoint(Model):
    """Your own trained network as a teacher, for the data set's classes in their order."""

    architecture: Text = Field(examples=["resnet50"], description="its name in torchvision.models")
    weights: FilePath = Field(
        examples=["/data/teachers/a.pth"], description="file of its weights, .pth or .safetensors"
    )
    augmentation: Rung = Field(
        "weak",
        description="rung of the ladder at which it was trained, as far as known: it decides its place in the trends "
        "and, in the loop, its views",
    )
    normalisation: Literal["imagenet", "training"] = Field(
        "imagenet", description="mean and deviation that its inputs had: ImageNet's, or those of the training images"
    )


class Attention(Model):
    """What counts as a network's attention."""

    method: Literal["class_sum", "predicted", "grad_cam", "rollout"] = Field(
        "predicted",
        description="class activation map of the predicted class, or summed over all classes (`class_sum`, as "
        "published, which shows how the head started), Grad-CAM of the predicted class, or attention roll-out (for "
        "a `vit`)",
    )
    threshold: float = Field(
        0.4, gt=0, lt=1, description="value of the map, scaled to 0..1, above which a place counts as attended"
    )


class Distillation(Model):
    """What should a student take from its teachers?"""

    datasets: list[Name] = Field(examples=[["my-images"]], description="names under `datasets`, with classes")
    training: int | None = Field(
        None, ge=2, le=MOST, examples=[2000], description="training images; null: all that are not held out"
    )
    imbalance: float | None = Field(
        None,
        ge=1,
        examples=[10.0],
        description="ratio of the exponential long tail that is imposed; null: none",
    )
    checkpoints: dict[Name, Checkpoint] = Field(
        {},
        examples=[{"mine": {"architecture": "resnet50", "weights": "/data/teachers/a.pth"}}],
        description="your own trained networks, by name; `ensembles` may list them like rungs",
    )
    ensembles: Annotated[list[Annotated[list[Name], Field(min_length=1, max_length=8)]], Field(min_length=1)] = Field(
        [["none", "none"], ["weak", "weak"], ["strong", "strong"]],
        description="each ensemble's teachers: rungs of the ladder of augmentations (none, weak, strong, stronger) at "
        "which they are trained, or names under `checkpoints`",
    )
    views: Annotated[list[Rung], Field(min_length=1)] = Field(
        ["weak", "strong"], description="rungs of the students' views; each ensemble teaches one student at each rung"
    )
    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(
        [0], examples=[[0, 1, 2]], description="each draws its own images and trains its own teachers and students"
    )
    teacher: DistillationClassifier = DistillationClassifier.model_validate({})
    student: DistillationClassifier = DistillationClassifier.model_validate({})
    alpha: float = Field(0.6, ge=0, le=1, description="weight of the labels; the rest is that of the teachers")
    temperature: float = Field(3.0, gt=0, le=100, description="softens the predictions that are compared")
    combination: Literal["losses", "logits", "probabilities"] = Field(
        "losses", description="mean of the losses against each teacher, or one loss against their mean"
    )
    protocol: Literal["fresh", "stored"] = Field(
        "fresh", description="teachers see fresh views in every step, or their logits on a few views are stored"
    )
    stored_views: int = Field(8, ge=1, le=1000, description="views of each image that are stored")
    crops: Literal["own", "shared"] = Field(
        "own", description="teachers and student see separate crops, as published, or the same one (`fresh` only)"
    )
    attention: Attention = Attention.model_validate({})


def check(distillation: Sound) -> Iterator[str]:
    """Contradictions within the section."""
    yield from _crops(distillation)
    for key in ("datasets", "views", "seeds", "ensembles"):
        yield from repeated(f"distillation.{key}", distillation.get(key, ()))
    yield from _ensembles(distillation)
    for role in ("teacher", "student"):
        yield from _attention_of_role(distillation, role)
    for name, checkpoint in distillation.get("checkpoints", {}).items():
        if name in LADDER:
            yield f"{path(('distillation', 'checkpoints', name))}: a rung of the ladder, expected another name"
        yield from _attention(distillation, name, checkpoint)


@where_sound
def _crops(distillation: Sound) -> Iterator[str]:
    if distillation["crops"] == "shared" and distillation["protocol"] == "stored":
        yield "distillation.crops: shared given, expected own, since the teachers' views are stored (protocol: stored)"


@where_sound
def _ensembles(distillation: Sound) -> Iterator[str]:
    checkpoints = distillation["checkpoints"]
    for ensemble in distillation["ensembles"]:
        for name in dict.fromkeys(ensemble):
            if name not in LADDER and name not in checkpoints:
                meant = did_you_mean_or_list(name, [*LADDER, *checkpoints])
                yield (
                    f"distillation.ensembles: {quoted(name)} is neither a rung of the ladder nor under "
                    f"`distillation.checkpoints`{meant}"
                )
        yield from repeated("distillation.ensembles", [name for name in ensemble if name in checkpoints])


@where_sound
def _attention_of_role(distillation: Sound, role: str) -> Iterator[str]:
    classifier = distillation[role]
    yield from _attention(distillation, role, vars(classifier_settings(classifier["preset"], classifier["overrides"])))


@where_sound
def _attention(distillation: Sound, role: str, classifier: dict[str, Any]) -> Iterator[str]:
    """Whether the attention of this network can be computed by the chosen method."""
    method, network = distillation["attention"]["method"], classifier["architecture"]
    if method in ("rollout", "grad_cam") and (network == "vit") != (method == "rollout"):
        kind = "a residual network" if network == "vit" else "a `vit`"
        yield f"distillation.attention.method: {method} given, expected {kind} as the {role}'s network"
    if method in ("class_sum", "predicted") and network.startswith(WITHOUT_CLASS_MAPS):
        yield (
            f"distillation.attention.method: {method} given, expected grad_cam, since the {role}'s network {network} "
            "is not linear on the mean of its feature map"
        )
