"""The config: its models are the one source of truth for its validation, its JSON schema and its reference.

`validate` reports everything that is wrong at once, before the first job. It does not look at the data: that a path
does not exist is reported by the rule that reads it, so that a study can be planned (`snakemake -n`) elsewhere.

`python -m workflow_scripts.config schema` writes schemas/config.schema.json, `... reference` docs/config.md. Nothing
here imports torch.
"""

import math
import operator
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache, reduce
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
    create_model,
    with_config,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from workflow_scripts.classifiers.presets import (
    LADDER,
    WITHOUT_CLASS_MAPS,
    ClassifierSettings,
    Rung,
    classifier_settings,
)
from workflow_scripts.classifiers.presets import PRESETS as CLASSIFIER_PRESETS
from workflow_scripts.config.messages import Location, Node, Schema, describe, did_you_mean_or_list, path, quoted
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_json
from workflow_scripts.data.sprites import FACTORS, SHAPES
from workflow_scripts.features.presets import PRESETS as ENCODER_PRESETS
from workflow_scripts.features.presets import SimCLRSettings
from workflow_scripts.generators.presets import PRESETS, settings_for

ROOT = Path(__file__).parent.parent.parent
NAME = r"^[a-z0-9][a-z0-9-]*$"
PATH = r"^[^\x00-\x1f]*[^\x00-\x20][^\x00-\x1f]*$"
IDENTIFIER = r"^[A-Za-z][A-Za-z0-9_]*$"
SPACE = r"^[a-z0-9][a-z0-9+-]*$"
SHA256 = r"^[0-9a-f]{64}$"
MODEL = r"^[a-z][a-z0-9_]*$"
PATTERNS = {
    NAME: "a name of small letters, digits and hyphens (at most 40, no hyphen first)",
    SPACE: "a name of small letters, digits, hyphens and plus signs (at most 40)",
    SHA256: "a SHA-256: 64 hexadecimal digits",
    MODEL: "the name of a network in torchvision.models",
    PATH: "a path",
    IDENTIFIER: "the name of a Python class",
}
MOST = 100_000_000  # images, of anything
SHIPPED_COUNTS = {"fashion-mnist-test": 10_000}

Name = Annotated[str, Field(pattern=NAME, max_length=40)]
SpaceName = Annotated[str, Field(pattern=SPACE, max_length=40)]
Text = Annotated[str, Field(min_length=1)]
FilePath = Annotated[str, Field(pattern=PATH), AfterValidator(os.path.expanduser)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Model(BaseModel):
    model_config = ConfigDict(**STRICT, frozen=True)


class Dataset(Model):
    """What every data set has, whatever its source."""

    source: str = Field(description="where the images come from")
    resolution: int = Field(ge=8, le=512, examples=[32], description="side of the packed square images, px")
    color: Literal["grey", "rgb"] = Field("rgb", description="channels of the packed images")
    fit: Literal["crop", "pad"] = Field(
        "crop", description="how an image becomes square: its central square, or black borders"
    )
    on_bad_image: Literal["stop", "skip"] = Field(
        "stop", description="an unreadable image ends the run, or is left out and listed in the manifest"
    )
    held_out: int = Field(
        0,
        ge=0,
        le=MOST,
        examples=[500],
        description="images kept out of every subset, for controls and for calibrated thresholds",
    )
    subsets: Literal["balanced", "random"] = Field(
        "random", description="subsets with equal class counts as far as possible, or drawn at random"
    )
    superclasses: dict[Text, Annotated[list[Text], Field(min_length=1)]] | None = Field(
        None,
        examples=[{"birds": ["owl", "wren"], "fungi": ["morel"]}],
        description="super-class to its classes, each class in one of them; null: as the source has it",
    )


class Shipped(Dataset):
    """An image set that comes with the repository."""

    source: Literal["shipped"] = Field(description="where the images come from")
    name: Literal[tuple(SHIPPED_COUNTS)] = Field(  # type: ignore[valid-type]
        examples=["fashion-mnist-test"], description="which one"
    )


class ImageFolder(Dataset):
    """A folder of PNG, JPEG and WebP files of any size."""

    source: Literal["imagefolder"] = Field(description="where the images come from")
    path: FilePath = Field(examples=["/data/my images"], description="the folder")
    tree: Literal["auto", "flat", "classes", "supers"] = Field(
        "auto",
        description="`flat`: images only; `classes`: one folder a class; `supers`: super-class folders that hold class "
        "folders; `auto`: whichever it is",
    )


class Torchvision(Dataset):
    """A classification data set of torchvision."""

    source: Literal["torchvision"] = Field(description="where the images come from")
    name: Annotated[str, Field(pattern=IDENTIFIER)] = Field(
        examples=["CIFAR10"], description="its class in `torchvision.datasets`"
    )
    root: FilePath = Field(examples=["/data/torchvision"], description="folder of the files, or for the download")
    splits: Annotated[list[Text], Field(min_length=1)] = Field(
        ["train"], description="parts of the data set, put together in this order"
    )
    download: bool = Field(True, description="fetch what is missing in `root`")


class Idx(Dataset):
    """IDX files, the format of MNIST; .gz is understood."""

    source: Literal["idx"] = Field(description="where the images come from")
    images: FilePath = Field(examples=["/data/train-images-idx3-ubyte.gz"], description="file of images")
    labels: FilePath | None = Field(
        None, examples=["/data/train-labels-idx1-ubyte.gz"], description="file of labels; null: no classes"
    )


class Npz(Dataset):
    """A NumPy archive of uint8 images (N, H, W) or (N, H, W, C) and integer labels (N,)."""

    source: Literal["npz"] = Field(description="where the images come from")
    path: FilePath = Field(examples=["/data/scans.npz"], description="the archive")
    images_key: Text = Field("images", description="name of its array of images")
    labels_key: Text | None = Field(
        None, examples=["labels"], description="name of its array of labels; null: no classes"
    )


class Npy(Dataset):
    """A NumPy file of uint8 images (N, H, W) or (N, H, W, C)."""

    source: Literal["npy"] = Field(description="where the images come from")
    images: FilePath = Field(examples=["/data/scans.npy"], description="file of images")
    labels: FilePath | None = Field(
        None, examples=["/data/scan_labels.npy"], description="file of integer labels (N,); null: no classes"
    )


class Sprites(Dataset):
    """Shapes drawn from k continuous factors: images of known intrinsic dimension, for tests and controls."""

    source: Literal["sprites"] = Field(description="where the images come from")
    count: int = Field(ge=1, le=MOST, examples=[10_000], description="images")
    factors: int = Field(
        ge=1, le=len(FACTORS), examples=[3], description=f"k, the first k of {', '.join(name for name, *_ in FACTORS)}"
    )
    classes: int = Field(
        1, ge=1, le=len(SHAPES), description=f"the first so many of {', '.join(name for name, _ in SHAPES)}"
    )
    seed: Seed = Field(0, description="seed of the factors' values")


AnyDataset = Annotated[Shipped | ImageFolder | Torchvision | Idx | Npz | Npy | Sprites, Field(discriminator="source")]


class Generator(Model):
    """A generator: a family, one of its presets, and what is changed in it."""


def _generator(family: str) -> type[Generator]:
    """The model of one family; any of the family's settings can be overridden, within the limits it states."""
    settings = type(next(iter(PRESETS[family].values())))
    fields: dict[str, Any] = {
        "family": (Literal[family], Field(description="kind of generator")),
        "preset": (
            Literal[tuple(PRESETS[family])],
            Field(
                examples=["tiny"],
                description="`tiny`: minutes on a CPU; `small`: minutes on a GPU; `paper`: the published settings",
            ),
        ),
        "overrides": (
            _overrides(settings),
            Field({}, examples=[{"steps": 500, "batch": 16}], description="settings to change in the preset"),
        ),
    }
    name = settings.__name__.removesuffix("Settings")
    return create_model(name, __base__=Generator, __doc__=settings.__doc__, **fields)


def _overrides(settings: type) -> Any:
    """The mapping of what can be changed in a preset: any of its settings, within the limits it states."""
    hints = {name: _lists_for_tuples(hint) for name, hint in get_type_hints(settings, include_extras=True).items()}
    overrides = TypedDict(f"{settings.__name__}Overrides", hints, total=False)  # type: ignore[misc]
    return with_config(STRICT)(overrides)


def _lists_for_tuples(hint: Any) -> Any:
    """The same type, but a tuple may be given as the list that YAML has."""
    if get_origin(hint) is tuple:
        return Annotated[hint, Strict(False)]
    if type(None) in get_args(hint):
        return reduce(operator.or_, map(_lists_for_tuples, get_args(hint)))
    return hint


def _one_of(models: Iterable[Any], key: str) -> Any:
    """The union of models that `key` tells apart."""
    return Annotated[Union[tuple(models)], Field(discriminator=key)]  # noqa: UP007 - the number of models is not fixed


AnyGenerator = _one_of(map(_generator, PRESETS), "family")


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
    overrides: _overrides(SimCLRSettings) = Field(  # type: ignore[valid-type]
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


class Joint(Space):
    """Several spaces side by side, each with the same weight."""

    kind: Literal["joint"] = Field(description="how the vectors come about")
    parts: Annotated[list[SpaceName], Field(min_length=2)] = Field(
        examples=[["pixel", "inception"]], description="names of the spaces"
    )


AnySpace = Annotated[Pixel | SimCLR | Classifier | Joint, Field(discriminator="kind")]
SPACES = TypeAdapter(dict[str, AnySpace]).validate_python(
    {
        "pixel": {"kind": "pixel"},
        "simclr": {"kind": "simclr"},
        "inception": {"kind": "torchvision", "model": "inception_v3"},
        "pixel+inception": {"kind": "joint", "parts": ["pixel", "inception"]},
    }
)


def _with_known_spaces(given: dict[str, Any]) -> dict[str, Any]:
    return SPACES | given


@with_config(ConfigDict(**STRICT, json_schema_extra={"minProperties": 1, "maxProperties": 1}))
class Threshold(TypedDict, total=False):
    """The distance up to which a sample counts as a replica: one of the two keys."""

    calibrated: Annotated[
        float,
        Field(
            gt=0, lt=1, examples=[0.01], description="the distance at which this share of held-out images would count"
        ),
    ]
    rms: Annotated[
        float,
        Field(gt=0, le=1, examples=[0.1415], description="root-mean-square difference per value, pixel values in 0..1"),
    ]


def _one_key(threshold: Threshold) -> Threshold:
    if len(threshold) != 1:
        raise PydanticCustomError("one_key", "one key")
    return threshold


def threshold_label(threshold: dict[str, float]) -> str:
    """`calibrated-0.01` for {"calibrated": 0.01}: how tables and files name a threshold."""
    ((kind, value),) = threshold.items()
    return f"{kind}-{value:g}"


class ReplicationDataset(Model):
    """A data set in the replication study."""

    sizes: Annotated[list[Annotated[int, Field(ge=2, le=MOST)]], Field(min_length=1)] = Field(
        examples=[[64, 256, 1024]], description="sizes of the nested training sets, rising"
    )


class Replication(Model):
    """The replication study: every generator on every size and seed of every data set named here."""

    datasets: Annotated[dict[Name, ReplicationDataset], Field(min_length=1)] = Field(
        examples=[{"my-images": {"sizes": [64, 256, 1024]}}], description="names under `datasets`, each with its sizes"
    )
    generators: Annotated[list[Name], Field(min_length=1)] = Field(
        examples=[["my-gan"]], description="names under `generators`"
    )
    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(
        [0], examples=[[0, 1]], description="each seed draws its own subsets and trains its own generators"
    )
    samples: int = Field(1024, ge=1, le=MOST, description="images drawn from each generator")
    spaces: Annotated[list[SpaceName], Field(min_length=1)] = Field(
        ["pixel"],
        examples=[["pixel", "simclr"]],
        description="where distances are measured: pixel, simclr, inception, pixel+inception, or names under `spaces`",
    )
    thresholds: Annotated[list[Annotated[Threshold, AfterValidator(_one_key)]], Field(min_length=1)] = Field(
        [{"calibrated": 0.01}, {"rms": 0.1415}],
        description="when a sample counts as a replica; the first one leads figures and laws",
    )
    neighbours: int = Field(
        2, ge=2, le=1000, description="nearest training images of each sample, and of each control, that are written"
    )
    shards: int = Field(
        1,
        ge=1,
        le=10_000,
        description="jobs that each search, and the features of each set, are split into; the results are the same",
    )
    wanted_percentage: float = Field(
        1.0, gt=0, le=100, description="replication that a set should stay below: for the smallest safe size, %"
    )


class Similarity(Model):
    """The similarity study: SSIM-supSubCls of every data set named here, and a map of its classes."""

    datasets: Annotated[list[Name], Field(min_length=1)] = Field(
        examples=[["my-images"]], description="names under `datasets`, with classes"
    )
    measure: Literal["between_sub", "contrast", "within", "between_super"] = Field(
        "between_sub",
        description="what laws and advice go by: pairs from different classes of a super-class, that minus pairs from "
        "one class, pairs from one class, or pairs from different super-classes",
    )
    resolution: int = Field(
        64, ge=11, le=512, description="px at which images are compared; smaller ones are not enlarged"
    )
    channels: Literal["luminance", "mean"] = Field(
        "luminance", description="SSIM of the luminance, or its mean over the colour channels"
    )
    standard_error: float = Field(0.002, gt=0, lt=1, description="of the measure, when pairs are sampled")
    exact_pairs: int = Field(500_000, ge=1, le=MOST, description="up to so many pairs of images all are taken")
    bootstraps: int = Field(500, ge=10, le=100_000, description="resamples of the images for the intervals")


class Exponential(Model):
    """Counts that fall geometrically from the largest class to the smallest."""

    profile: Literal["exponential"] = Field(description="how the counts fall")
    largest: int = Field(ge=1, le=MOST, examples=[200], description="images of the largest class")
    ratio: float = Field(ge=1, examples=[50.0], description="largest to smallest class")


class StepProfile(Model):
    """Classes of two sizes."""

    profile: Literal["step"] = Field(description="how the counts fall")
    largest: int = Field(ge=1, le=MOST, examples=[200], description="images of a large class")
    ratio: float = Field(ge=1, examples=[20.0], description="large to small class")
    small_share: float = Field(0.5, gt=0, lt=1, description="share of the classes that is small")


class GivenCounts(Model):
    """A count for each class."""

    profile: Literal["counts"] = Field(description="how the counts fall")
    counts: Annotated[dict[Text, Annotated[int, Field(ge=1, le=MOST)]], Field(min_length=2)] = Field(
        examples=[{"owl": 500, "wren": 12}], description="images of each class, by name"
    )


class Groups(Model):
    """Groups of classes of one data set, chosen by their similarity, each a data set of its own for the gain law."""

    size: int = Field(ge=2, le=1000, examples=[4], description="classes in a group")
    alike: int = Field(1, ge=0, le=100, description="groups of the most alike classes")
    unlike: int = Field(1, ge=0, le=100, description="groups of the least alike classes")
    random: int = Field(0, ge=0, le=100, description="groups at random")


class ImageSelection(Model):
    """How synthetic images are chosen by a classifier."""

    threshold: float = Field(
        0.2, gt=0, lt=1, description="probability of the intended class above which an image is kept"
    )
    steps: int = Field(1, ge=0, le=10, description="how often the classifier is trained anew and selects again")
    budget: int = Field(5, ge=1, le=1000, description="images generated for each one that a class lacks")


class RebalancingClassifier(Model):
    """The classifier of all arms."""

    preset: Literal[tuple(CLASSIFIER_PRESETS)] = Field(  # type: ignore[valid-type]
        "tiny", description="`tiny`: seconds on a CPU; `small`: minutes on a GPU; others: as published"
    )
    overrides: _overrides(ClassifierSettings) = Field(  # type: ignore[valid-type]
        {}, examples=[{"steps": 2000}], description="settings to change in the preset"
    )


class Rebalancing(Model):
    """The rebalancing study (GM-augCls): does a long-tailed set gain from synthetic images of its rare classes?"""

    datasets: Annotated[list[Name], Field(min_length=1)] = Field(
        examples=[["my-images"]], description="names under `datasets`, with classes; also listed under `similarity`"
    )
    generators: Annotated[list[Name], Field(min_length=1)] = Field(
        examples=[["my-class-gan"]], description="names under `generators`, with `conditional: true`"
    )
    imbalance: Annotated[Exponential | StepProfile | GivenCounts, Field(discriminator="profile")] | None = Field(
        None,
        examples=[{"profile": "exponential", "largest": 200, "ratio": 50.0}],
        description="how the set is made long-tailed; null: it is so as it is",
    )
    groups: Groups | None = None
    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(
        [0], examples=[[0, 1, 2]], description="each draws its own set and trains its own networks; pairs for intervals"
    )
    selection: ImageSelection = ImageSelection.model_validate({})
    classifier: RebalancingClassifier = RebalancingClassifier.model_validate({})


class DistillationClassifier(RebalancingClassifier):
    """The network of the teachers, or of the students."""


class Checkpoint(Model):
    """A trained network of one's own as a teacher, of the data set's classes in their order."""

    architecture: Text = Field(examples=["resnet50"], description="its name in torchvision.models")
    weights: FilePath = Field(
        examples=["/data/teachers/a.pth"], description="file of its weights, .pth or .safetensors"
    )
    augmentation: Rung = Field(
        "weak",
        description="rung of the ladder that it was trained at, as far as known: for trends, and what a teacher in the "
        "loop is shown",
    )
    normalisation: Literal["imagenet", "training"] = Field(
        "imagenet", description="mean and deviation that its inputs had: ImageNet's, or those of the training images"
    )


class Attention(Model):
    """What counts as a network's attention."""

    method: Literal["class_sum", "predicted", "grad_cam", "rollout"] = Field(
        "class_sum",
        description="class activation map summed over all classes (as published) or of the predicted class, Grad-CAM "
        "of the predicted class, or attention roll-out (for a `vit`)",
    )
    threshold: float = Field(0.4, gt=0, lt=1, description="of the map scaled to 0..1, above which a place is attended")


class Distillation(Model):
    """The distillation study: what should a student take from its teachers?"""

    datasets: Annotated[list[Name], Field(min_length=1)] = Field(
        examples=[["my-images"]], description="names under `datasets`, with classes"
    )
    training: int | None = Field(
        None, ge=2, le=MOST, examples=[2000], description="training images; null: all that are not held out"
    )
    imbalance: float | None = Field(
        None,
        ge=1,
        examples=[10.0],
        description="make them long-tailed, exponentially, with this ratio; null: as they are",
    )
    checkpoints: dict[Name, Checkpoint] = Field(
        {},
        examples=[{"mine": {"architecture": "resnet50", "weights": "/data/teachers/a.pth"}}],
        description="trained networks of one's own, by names that `ensembles` may have beside the rungs",
    )
    ensembles: Annotated[list[Annotated[list[Name], Field(min_length=1, max_length=8)]], Field(min_length=1)] = Field(
        [["none", "none"], ["weak", "weak"], ["strong", "strong"]],
        description="each ensemble's teachers: rungs of the ladder of augmentations (none, weak, strong, stronger) at "
        "which they are trained, or names under `checkpoints`",
    )
    views: Annotated[list[Rung], Field(min_length=1)] = Field(
        ["weak", "strong"], description="rungs of the students' own views; each ensemble teaches one student at each"
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
        "fresh", description="teachers look at fresh views in every step, or their logits on some views are stored"
    )
    stored_views: int = Field(8, ge=1, le=1000, description="views of each image that are stored")
    crops: Literal["own", "shared"] = Field(
        "own", description="teachers and student see crops of their own, as published, or the same one (`fresh` only)"
    )
    attention: Attention = Attention.model_validate({})


class Complexity(Model):
    """How the intrinsic dimension of each subset is measured (Levina and Bickel 2004)."""

    resolution: int = Field(
        32, ge=4, le=512, description="px at which images are compared; smaller ones are not enlarged"
    )
    neighbours: Annotated[list[Annotated[int, Field(ge=3, le=1000)]], Field(min_length=2, max_length=2)] = Field(
        [10, 20], description="first and last number of neighbours k to average over"
    )
    bootstraps: int = Field(100, ge=1, le=100_000, description="bootstrap resamples of each subset")


class Law(Model):
    """How laws are fitted."""

    fit: Literal["binomial", "least_squares"] = Field(
        "binomial", description="maximum likelihood of the counts, or least squares on percentages as published"
    )


class Training(Model):
    """When trainings of every kind save their state. No result depends on it."""

    checkpoint_seconds: float = Field(
        60.0, ge=0, le=86_400, description="between checkpoints; what a kill can cost; 0: after every step"
    )
    limit_minutes: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        examples=[55.0],
        description="a training job stops, after a checkpoint, shortly before it has run so long, and the next run "
        "goes on from there; null: no limit but SLURM's own",
    )


class Config(Model):
    """A study."""

    datasets: Annotated[dict[Name, AnyDataset], Field(min_length=1)] = Field(description="data sets by name")
    generators: dict[Name, AnyGenerator] = Field(  # type: ignore[valid-type]
        {}, examples=[{"my-gan": {"family": "biggan", "preset": "tiny"}}], description="generators by name"
    )
    spaces: Annotated[dict[SpaceName, AnySpace], AfterValidator(_with_known_spaces)] = Field(
        SPACES, examples=[{"resnet": {"kind": "torchvision", "model": "resnet50"}}], description="spaces by name"
    )
    replication: Replication | None = None
    similarity: Similarity | None = None
    rebalancing: Rebalancing | None = None
    distillation: Distillation | None = None
    complexity: Complexity = Complexity.model_validate({})
    law: Law = Law.model_validate({})
    training: Training = Training.model_validate({})


STUDIES = (
    "replication",
    "similarity",
    "rebalancing",
    "distillation",
)  # sections that say what to do; at least one of them
BY_KIND = ("datasets", "generators", "spaces")  # sections of named entries of several kinds


@cache
def schema() -> Schema:
    """The config's JSON schema."""
    root = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Config.model_json_schema()
    return Schema(root, PATTERNS)


def validate(raw: dict[str, Any], source: str = "the config") -> Config:
    """The config with every default filled in.

    raw: the merged mappings of all config files; `source` names them. Raises InputError that lists everything wrong,
    one line each: the key path, what was given, what was expected. Contradictions between keys are listed too, wherever
    the keys concerned are right by themselves.
    """
    problems: list[str] = []
    wrong: set[Location] = set()
    try:
        config = Config.model_validate(raw)
        sound = config.model_dump(mode="json")
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            at = _location(detail["loc"])
            wrong.add(at)
            problems.append(describe(detail, at, schema(), raw))
        sound = {} if () in wrong else _sound_part(schema().root, raw, (), wrong)
    problems += _contradictions(sound, wrong)
    if problems:
        lines = list(dict.fromkeys(problems))
        counted = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        text = "\n".join(
            [f"{source}: {counted}", *(f"  - {line}" for line in lines), "docs/config.md describes every key."]
        )
        raise InputError(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    return config


def require_each_key_once(file: str | os.PathLike[str]) -> None:
    """Raise InputError if a mapping of a config file has a key twice: YAML would silently take the last of them."""
    try:
        root = yaml.compose(Path(file).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return  # Snakemake, which reads the file itself, has said so
    nodes = [(root, "")]
    while nodes:
        node, at = nodes.pop()
        if isinstance(node, yaml.SequenceNode):
            nodes += [(one, f"{at}[{i}].") for i, one in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            continue
        lines: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise InputError(
                    f"{file}, line {line}: the key {at}{name} stands there a second time (first in line "
                    f"{lines[name]}), expected once. Remove one of them, or give it another name."
                )
            lines[name] = line
            nodes.append((value, f"{at}{name}."))


def _location(at: Location) -> Location:
    """The place of an error in the user's own keys: pydantic names the chosen alternative of a union, too."""
    named = at[2:3] and at[0] in BY_KIND and at[2] in _alternatives(at[0])
    return at[:2] + at[3:] if named else at


@cache
def _alternatives(section: str) -> frozenset[str]:
    node = schema().root["properties"][section]
    return frozenset(schema().resolve(schema().child(node, "any"))["discriminator"]["mapping"])


def _sound_part(node: Node, value: Any, at: Location, wrong: set[Location]) -> Any:
    """Of a config that is wrong somewhere: what is right by itself, with the defaults of keys that were not given."""
    node = schema().resolve(node, value)
    if isinstance(value, list):
        kept = [(i, one) for i, one in enumerate(value) if (*at, i) not in wrong]
        return [_sound_part(schema().child(node, i), one, (*at, i), wrong) for i, one in kept]
    if not isinstance(value, dict):
        return value
    properties = node.get("properties", {})
    defaults = {key: one["default"] for key, one in properties.items() if "default" in one and key not in value}
    given = [key for key in value if isinstance(key, str) and (*at, key) not in wrong]
    return defaults | {key: _sound_part(schema().child(node, key), value[key], (*at, key), wrong) for key in given}


def _contradictions(config: dict[str, Any], wrong: set[Location]) -> Iterator[str]:
    """What is wrong between keys that are right by themselves; a check is left out where its keys are missing.

    wrong: the places of entries that are there, but not right.
    """
    datasets, generators = config.get("datasets", {}), config.get("generators", {})
    replication = config.get("replication") or {}
    if not any(config.get(study) for study in STUDIES) and not any(
        at[:1] == (study,) for at in wrong for study in STUDIES
    ):
        yield f"the config: no study given, expected at least one of the keys {', '.join(STUDIES)}"
    for name, dataset in datasets.items():
        yield from _dataset_contradictions(path(("datasets", name)), dataset)
    for name, generator in generators.items():
        yield from _generator_contradictions(name, generator, wrong)
    spaces = {name: space.model_dump(mode="json") for name, space in SPACES.items()} | config.get("spaces", {})
    yield from _space_contradictions(spaces, config)
    for section, known in (("datasets", datasets), ("generators", generators), ("spaces", spaces)):
        # An entry that is wrong as a whole is not among the known ones, but it is there.
        there = {*known, *(at[1] for at in wrong if len(at) > 1 and at[0] == section)}
        for study in STUDIES:
            names = (config.get(study) or {}).get(section, ())
            for name in dict.fromkeys(names):
                if name not in there and (section,) not in wrong:
                    meant = did_you_mean_or_list(name, sorted(map(str, there)))
                    where = path((study, section, *([name] if isinstance(names, dict) else [])))
                    yield f"{where}: {quoted(name)} is not defined under `{section}`{meant}"
    yield from _distillation_contradictions(config.get("distillation") or {})
    yield from _rebalancing_contradictions(config.get("rebalancing") or {}, config)
    for name in (config.get("similarity") or {}).get("datasets", ()):
        if unlabelled := _without_labels(datasets.get(name, {})):
            yield f"similarity.datasets: {quoted(name)} has no classes ({unlabelled}), expected a set with classes"
    for key in ("generators", "seeds", "spaces"):
        yield from _repeated(f"replication.{key}", map(quoted, replication.get(key, [])))
    # By label: thresholds of one label would share their rows in the tables.
    thresholds = [one for one in replication.get("thresholds", []) if len(one) == 1]
    yield from _repeated("replication.thresholds", map(threshold_label, thresholds))
    for name, chosen in replication.get("datasets", {}).items():
        yield from _size_contradictions(name, chosen.get("sizes", []), datasets.get(name, {}), config)
        for used in dict.fromkeys(replication.get("generators", [])):
            yield from _resolution_contradictions(name, datasets.get(name, {}), used, generators.get(used, {}))
    neighbours = config.get("complexity", {}).get("neighbours", [])
    if len(neighbours) == 2 and neighbours[0] >= neighbours[1]:
        yield f"complexity.neighbours: {neighbours} given, expected the second number to be the larger one"


def _repeated(where: str, values: Iterable[str]) -> Iterator[str]:
    for value, count in Counter(values).items():
        if count > 1:
            yield f"{where}: {value} stands there {count} times, expected once"


def _dataset_contradictions(where: str, dataset: dict[str, Any]) -> Iterator[str]:
    count, held_out = _known_count(dataset), dataset.get("held_out")
    if count is not None and held_out is not None and held_out >= count:
        yield f"{where}.held_out: {held_out} given, expected less than the {count} images of the set"
    yield from _repeated(f"{where}.splits", map(quoted, dataset.get("splits", [])))
    superclasses = dataset.get("superclasses") or {}
    listed = [one for names in superclasses.values() for one in names]
    yield from _repeated(f"{where}.superclasses", map(quoted, listed))
    if unlabelled := _without_labels(dataset):
        if dataset.get("subsets") == "balanced":
            yield f'{where}.subsets: "balanced" given, expected "random", since there are no classes ({unlabelled})'
        if superclasses:
            yield f"{where}.superclasses: given, expected null, since there are no classes ({unlabelled})"
    if superclasses and (classes := _known_classes(dataset)):
        for one in dict.fromkeys(listed):
            if one not in classes:
                meant = did_you_mean_or_list(one, classes)
                yield f"{where}.superclasses: {quoted(one)} is not a class of the set{meant}"
        if missing := [one for one in classes if one not in listed]:
            yield f"{where}.superclasses: without {', '.join(map(quoted, missing))}, expected every class of the set"


def _known_count(dataset: dict[str, Any]) -> int | None:
    """How many images the set has, if the config says."""
    return SHIPPED_COUNTS.get(dataset.get("name", "")) if dataset.get("source") == "shipped" else dataset.get("count")


def _known_classes(dataset: dict[str, Any]) -> list[str]:
    """The set's classes, if they are known before it is read."""
    if dataset.get("source") == "sprites" and "classes" in dataset:
        return [name for name, _ in SHAPES[: dataset["classes"]]]
    if dataset.get("source") == "shipped" and "name" in dataset:
        return read_json(ROOT / "resources" / dataset["name"] / "about.json")["classes"]
    return []


def _without_labels(dataset: dict[str, Any]) -> str:
    """The setting by which a set has no labels; empty if it may have some."""
    settings: dict[str, tuple[str, Any]] = {
        "idx": ("labels", None), "npy": ("labels", None), "npz": ("labels_key", None), "imagefolder": ("tree", "flat"),
    }  # fmt: skip
    key, value = settings.get(dataset.get("source", ""), ("", None))
    return f"{key}: {value or 'null'}" if key in dataset and dataset[key] == value else ""


def _generator_contradictions(name: str, generator: dict[str, Any], wrong: set[Location]) -> Iterator[str]:
    if not generator.keys() >= {"family", "preset", "overrides"}:
        return
    where = ("generators", name, "overrides")
    settings = settings_for(generator["family"], generator["preset"], generator["overrides"])
    if settings.batch % settings.accumulate and not {(*where, "batch"), (*where, "accumulate")} & wrong:
        yield (
            f"{path(where)}: a batch of {settings.batch} in {settings.accumulate} micro-batches, expected `batch` to "
            "be a multiple of `accumulate`"
        )
    width, bottleneck = getattr(settings, "width", 1), getattr(settings, "bottleneck", 1)
    if width < bottleneck and not {(*where, "width"), (*where, "bottleneck")} & wrong:
        yield f"{path(where)}: a width of {width}, expected at least the bottleneck of {bottleneck}"
    odd = [width for width in getattr(settings, "widths", ()) if width % getattr(settings, "groups", 1)]
    if odd and not {(*where, "widths"), (*where, "groups")} & wrong:
        yield f"{path(where)}: a width of {odd[0]}, expected a multiple of the {settings.groups} `groups`"  # type: ignore[union-attr]
    attention = generator["overrides"].get("attention_at")
    if attention and (attention.bit_count() != 1 or attention < 4):
        yield f"{path(where)}.attention_at: {attention} given, expected 0 (none) or a power of two, at least 4"
    if transition := generator["overrides"].get("transition"):
        first, last = [*transition, 0, 0][:2]
        if len(transition) == 2 and first > last:
            yield f"{path(where)}.transition: [{first}, {last}] given, expected the second number to be no smaller"
        if not getattr(settings, "conditional", True) and (*where, "conditional") not in wrong:
            yield f"{path(where)}.transition: given without `conditional`, expected `conditional: true` beside it"


def _space_contradictions(spaces: dict[str, Any], config: dict[str, Any]) -> Iterator[str]:
    for name, space in spaces.items():
        if name in SPACES and space.get("kind") != SPACES[name].kind:
            yield f"{path(('spaces', name))}: {space.get('kind')} given, expected {SPACES[name].kind}, or another name"
        for part in space.get("parts", ()):
            where = path(("spaces", name, "parts"))
            if part not in spaces:
                yield f"{where}: {quoted(part)} is not defined under `spaces`{did_you_mean_or_list(part, list(spaces))}"
            elif spaces[part].get("kind") == "joint":
                yield f"{where}: {quoted(part)} is itself joint, expected the names of its parts"
        yield from _repeated(f"spaces.{name}.parts", map(quoted, space.get("parts", ())))
    replication = config.get("replication") or {}
    beside = [name for name in replication.get("spaces", ()) if spaces.get(name, {}).get("kind", "pixel") != "pixel"]
    thresholds = replication.get("thresholds", [{"calibrated": 0.01}])
    if beside and thresholds and not any("calibrated" in one for one in thresholds):
        yield (
            "replication.thresholds: only `rms` given, a distance between pixels; expected a `calibrated` one beside "
            f"it for the space {quoted(beside[0])}"
        )


def _distillation_contradictions(distillation: dict[str, Any]) -> Iterator[str]:
    if distillation.get("crops") == "shared" and distillation.get("protocol") == "stored":
        yield "distillation.crops: shared given, expected own, since the teachers' views are stored (protocol: stored)"
    for key in ("datasets", "views", "seeds", "ensembles"):
        yield from _repeated(f"distillation.{key}", map(quoted, distillation.get(key, [])))
    checkpoints = distillation.get("checkpoints", {})
    for name in checkpoints:
        if name in LADDER:
            yield f"{path(('distillation', 'checkpoints', name))}: a rung of the ladder, expected another name"
    for ensemble in distillation.get("ensembles", []):
        for name in dict.fromkeys(ensemble):
            if name not in LADDER and name not in checkpoints:
                meant = did_you_mean_or_list(name, [*LADDER, *checkpoints])
                yield f"distillation.ensembles: {quoted(name)} is no rung, nor under `distillation.checkpoints`{meant}"
        yield from _repeated("distillation.ensembles", (quoted(name) for name in ensemble if name in checkpoints))
    networks = {
        role: classifier_settings(distillation[role]["preset"], distillation[role]["overrides"]).architecture
        for role in ("teacher", "student")
        if (distillation.get(role) or {}).keys() >= {"preset", "overrides"}
    } | {name: one.get("architecture", "") for name, one in checkpoints.items()}
    method = distillation.get("attention", {}).get("method")
    for role, network in networks.items():
        if method in ("rollout", "grad_cam") and (network == "vit") != (method == "rollout"):
            kind = "a residual network" if network == "vit" else "a `vit`"
            yield f"distillation.attention.method: {method} given, expected {kind} as the {role}'s network"
        if method in ("class_sum", "predicted") and network.startswith(WITHOUT_CLASS_MAPS):
            yield (
                f"distillation.attention.method: {method} given, expected grad_cam, since the {role}'s network "
                f"{network} is not linear on the mean of its feature map"
            )


def _rebalancing_contradictions(rebalancing: dict[str, Any], config: dict[str, Any]) -> Iterator[str]:
    similarity = (config.get("similarity") or {}).get("datasets", ())
    for name in rebalancing.get("datasets", ()):
        if name in config.get("datasets", {}) and name not in similarity:
            yield f"rebalancing.datasets: {quoted(name)} given, expected it under similarity.datasets, too"
        for used in rebalancing.get("generators", ()):
            generator = config.get("generators", {}).get(used, {})
            yield from _resolution_contradictions(name, config.get("datasets", {}).get(name, {}), used, generator)
    for used in rebalancing.get("generators", ()):
        generator = config.get("generators", {}).get(used, {})
        if generator.keys() >= {"family", "preset", "overrides"}:
            settings = settings_for(generator["family"], generator["preset"], generator["overrides"])
            if not settings.conditional:
                yield (
                    f"rebalancing.generators: {quoted(used)} knows no classes, expected `conditional: true` in its "
                    "overrides"
                )
    imbalance = rebalancing.get("imbalance") or {}
    if imbalance.get("ratio") and imbalance.get("largest", 0) / imbalance["ratio"] < 0.5:
        yield (
            f"rebalancing.imbalance: the smallest class would keep no image with largest {imbalance['largest']} and "
            f"ratio {imbalance['ratio']:g}, expected a smaller ratio"
        )
    for key in ("datasets", "generators", "seeds"):
        yield from _repeated(f"rebalancing.{key}", map(quoted, rebalancing.get(key, [])))


def _size_contradictions(name: str, sizes: list[int], dataset: dict[str, Any], config: dict[str, Any]) -> Iterator[str]:
    where = path(("replication", "datasets", name, "sizes"))
    if sorted(set(sizes)) != sizes:
        yield f"{where}: {sizes} given, expected each size once, in rising order"
    count, held_out = _known_count(dataset), dataset.get("held_out")
    largest = max(sizes, default=0)
    if count is not None and held_out is not None and held_out < count < largest + held_out:
        yield (
            f"{where}: {largest} is too large, expected at most {count - held_out}: the set has {count} images, and "
            f"{held_out} of them are held out"
        )
    last = max(config.get("complexity", {}).get("neighbours", []), default=0)
    if 0 < largest <= last:
        yield (
            f"{where}: {largest} is the largest, expected more than {last}: complexity.neighbours asks for {last} "
            "neighbours of each image, so no intrinsic dimension could be measured"
        )
    shares = [t["calibrated"] for t in (config.get("replication") or {}).get("thresholds", []) if "calibrated" in t]
    for share in shares if held_out is not None else []:
        needed = math.ceil(1 / share - 1e-6)
        if held_out < needed:
            yield (
                f"{path(('datasets', name, 'held_out'))}: {held_out} given, expected at least {needed}: the threshold "
                f"{threshold_label({'calibrated': share})} is set by that share of them"
            )


def _resolution_contradictions(
    name: str, dataset: dict[str, Any], used: str, generator: dict[str, Any]
) -> Iterator[str]:
    resolution, family, preset = dataset.get("resolution"), generator.get("family"), generator.get("preset")
    if resolution is None or family is None:
        return
    if family == "diffusion":
        settings = settings_for(family, preset or "tiny", generator.get("overrides", {}))
        unit = max(8, 2 ** (len(settings.widths) - 1))  # type: ignore[union-attr]
        fits, expected = resolution % unit == 0 and resolution <= 256, f"a multiple of {unit} up to 256"
    else:
        smallest = 8 if preset in ("tiny", None) else 16
        fits = resolution.bit_count() == 1 and smallest <= resolution <= 256
        expected = f"a power of two from {smallest} to 256"
    channels = generator.get("overrides", {}).get("channels")
    if channels is not None and channels < resolution:
        yield (
            f"{path(('generators', used, 'overrides', 'channels'))}: {channels} given, expected at least {resolution}, "
            f"the resolution of the data set {quoted(name)}"
        )
    if not fits:
        yield (
            f"{path(('datasets', name, 'resolution'))}: {resolution} given, expected {expected} for the generator "
            f"{quoted(used)} ({family}{f', {preset}' if preset else ''})"
        )
