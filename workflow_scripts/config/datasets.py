"""The section `datasets`: where images come from, one model for each source."""

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from workflow_scripts.config.messages import did_you_mean_or_list, path, quoted, repeated
from workflow_scripts.config.sound import Sound, where_sound
from workflow_scripts.config.types import IDENTIFIER, MOST, ROOT, FilePath, Model, Seed, Text, one_of
from workflow_scripts.core.files import read_json
from workflow_scripts.data.sprites import FACTORS, SHAPES

SHIPPED_COUNTS = {"fashion-mnist-test": 10_000}
WILDCARD = re.compile(r"\{\s*\w[^{}]*\}?")  # in a path: what Snakemake takes for one


class Dataset(Model):
    """What every data set has, whatever its source."""

    source: str = Field(description="where the images come from")
    resolution: int = Field(ge=8, le=512, examples=[32], description="side of the packed square images, px")
    color: Literal["grey", "rgb"] = Field("rgb", description="channels of the packed images")
    fit: Literal["crop", "pad"] = Field(
        "crop", description="how an image becomes square: its central square, or borders"
    )
    background: Literal["auto", "black", "white", "grey"] = Field(
        "auto",
        description="what shows through transparent parts, and the borders of `pad`; `auto`: black, or what shows more "
        "of transparent images",
    )
    range: Literal["type", "set"] | Annotated[list[float], Field(min_length=2, max_length=2)] = Field(
        "type",
        examples=[[0, 4095]],
        description="values that become black and white: `type`, the limits of the files' type (0 to 255, 0 to 65535, "
        "0.0 to 1.0); `set`, the smallest and largest of the set; or two numbers",
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
    groups: FilePath | None = Field(
        None,
        examples=["/data/patients.csv"],
        description="CSV file of each image's path or name and its group, such as a patient or a scene: a group never "
        "stands on both sides of a split",
    )
    group_pattern: Text | None = Field(
        None,
        description="instead of `groups`, a regular expression that finds the group in an image's path, by its first "
        "parenthesis if it has one, such as `patient-([0-9]+)`",
    )
    superclasses: dict[Text, Annotated[list[Text], Field(min_length=1)]] | None = Field(
        None,
        examples=[{"birds": ["owl", "wren"], "fungi": ["morel"]}],
        description="super-class to its classes, each class in one of them; null: as the source has it",
    )
    without_labels: ClassVar[tuple[str, str | None] | None] = None  # key and value by which a set has no labels
    files: ClassVar[tuple[str, ...]] = ()  # keys of what it is read from: files, folders, or URLs of files

    @classmethod
    def known_count(cls, _: Sound) -> int | None:
        """How many images the set has, if its settings say."""
        return None

    @classmethod
    def known_classes(cls, _: Sound) -> list[str]:
        """The set's classes, if they are known before it is read."""
        return []


class Shipped(Dataset):
    """An image set that comes with the repository."""

    source: Literal["shipped"] = Field(description="where the images come from")
    name: Literal[tuple(SHIPPED_COUNTS)] = Field(  # type: ignore[valid-type]
        examples=["fashion-mnist-test"], description="which one"
    )

    @classmethod
    def known_count(cls, settings: Sound) -> int | None:
        return SHIPPED_COUNTS[settings["name"]]

    @classmethod
    def known_classes(cls, settings: Sound) -> list[str]:
        return read_json(ROOT / "resources" / settings["name"] / "about.json")["classes"]


class Stored(Dataset):
    """Image files in one place."""

    path: FilePath = Field(examples=["/data/my images"], description="where they are")
    held_out_path: FilePath | None = Field(
        None,
        examples=["/data/my held-out images"],
        description="your own held-out images, in the same form: `held_out` of them are drawn, the others left out; "
        "null: drawn from `path`",
    )
    files = ("path", "held_out_path")


class Folders(Stored):
    """Image files in folders."""

    tree: Literal["auto", "flat", "classes", "supers", "tops"] = Field(
        "auto",
        description="`flat`: no classes, folders are ignored; `classes`: one folder a class; `supers`: super-class "
        "folders that hold class folders; `tops`: the outermost folders are the classes, whatever lies below; `auto`: "
        "whichever of the first three it is",
    )
    splits: list[Text] = Field(
        [],
        examples=[["train", "test"]],
        description="which of the folders train, val, test and the like to read together; needed where there are such "
        "folders",
    )
    without_labels = ("tree", "flat")


class ImageFolder(Folders):
    """A folder of image files of any size and of every format that Pillow reads."""

    source: Literal["imagefolder"] = Field(description="where the images come from")
    follow_links: bool = Field(False, description="follow symbolic links that lead out of the folder")


class Zip(Folders):
    """A zip file of images: one of StyleGAN's, with classes in its dataset.json, or any other, by its folders."""

    source: Literal["zip"] = Field(description="where the images come from")
    path: FilePath = Field(examples=["/data/dataset.zip"], description="the zip file")


class WebDataset(Stored):
    """A tar file in the form of WebDataset, or a folder of them."""

    source: Literal["webdataset"] = Field(description="where the images come from")
    path: FilePath = Field(examples=["/data/shards"], description="the tar file, or a folder of them")
    labels_key: Text | None = Field(
        None, examples=["label"], description="key of the class in a sample's .json; null: its .cls file, if it has one"
    )


class Parquet(Stored):
    """A Parquet file of encoded images, or a folder of them, as Hugging Face's datasets are stored."""

    source: Literal["parquet"] = Field(description="where the images come from")
    path: FilePath = Field(examples=["/data/train-00000-of-00001.parquet"], description="the file, or a folder of them")
    images_key: Text = Field(
        "image", description="column of the images, as bytes or as {bytes, path}, or a field of one: `sample.image`"
    )
    labels_key: Text | None = Field(
        None, examples=["label"], description="column of the classes, numbers or text; null: no classes"
    )
    without_labels = ("labels_key", None)


class Torchvision(Dataset):
    """A classification data set of torchvision."""

    source: Literal["torchvision"] = Field(description="where the images come from")
    name: Annotated[str, Field(pattern=IDENTIFIER)] = Field(
        examples=["CIFAR10"], description="its class in `torchvision.datasets`"
    )
    root: FilePath = Field(examples=["/data/torchvision"], description="folder of the files, or for the download")
    splits: Annotated[list[Text], Field(min_length=1)] = Field(
        ["train"], description="parts of the data set to read together, in this order"
    )
    download: bool = Field(True, description="fetch what is missing in `root`")
    files = ("root",)


class Idx(Dataset):
    """IDX files, the format of MNIST; .gz is understood."""

    source: Literal["idx"] = Field(description="where the images come from")
    images: FilePath = Field(examples=["/data/train-images-idx3-ubyte.gz"], description="file of images")
    labels: FilePath | None = Field(
        None, examples=["/data/train-labels-idx1-ubyte.gz"], description="file of labels; null: no classes"
    )
    without_labels = ("labels", None)
    files = ("images", "labels")


class Npz(Stored):
    """A NumPy archive of images (N, H, W), (N, H, W, C) or (N, C, H, W) and labels (N,)."""

    source: Literal["npz"] = Field(description="where the images come from")
    path: FilePath = Field(examples=["/data/scans.npz"], description="the archive")
    images_key: Text | Annotated[list[Text], Field(min_length=1)] = Field(
        "images",
        examples=["arr_0", ["train_images", "test_images"]],
        description="name of its array of images, or several to join",
    )
    labels_key: Text | Annotated[list[Text], Field(min_length=1)] | None = Field(
        None, examples=["arr_1"], description="name of its array of labels, or several; null: no classes"
    )
    without_labels = ("labels_key", None)


class Npy(Dataset):
    """A NumPy file of images (N, H, W), (N, H, W, C) or (N, C, H, W)."""

    source: Literal["npy"] = Field(description="where the images come from")
    images: FilePath = Field(examples=["/data/scans.npy"], description="file of images")
    labels: FilePath | None = Field(
        None, examples=["/data/scan_labels.npy"], description="file of integer labels (N,); null: no classes"
    )
    without_labels = ("labels", None)
    files = ("images", "labels")


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

    @classmethod
    def known_count(cls, settings: Sound) -> int | None:
        return settings["count"]

    @classmethod
    def known_classes(cls, settings: Sound) -> list[str]:
        return [name for name, _ in SHAPES[: settings["classes"]]]


MODELS = (Shipped, ImageFolder, Zip, WebDataset, Parquet, Torchvision, Idx, Npz, Npy, Sprites)
SOURCES: dict[str, type[Dataset]] = {get_args(model.model_fields["source"].annotation)[0]: model for model in MODELS}
AnyDataset = one_of(MODELS, "source")


def known_count(dataset: Sound) -> int | None:
    """How many images a set has, if its settings say."""
    return SOURCES[dataset["source"]].known_count(dataset)


def why_unlabelled(dataset: Sound) -> str:
    """The setting by which a set has no labels, `labels: null`; empty if it may have some."""
    key, value = SOURCES[dataset["source"]].without_labels or ("", "")
    return f"{key}: {value or 'null'}" if key and dataset[key] == value else ""


def check(name: str, dataset: Sound) -> Iterator[str]:
    """Contradictions within one data set."""
    where = path(("datasets", name))
    yield from _held_out(where, dataset)
    if "held_out_path" in dataset:
        yield from _held_out_path(where, dataset)
    yield from _range(where, dataset)
    yield from _groups(where, dataset)
    for key in (*SOURCES[dataset["source"]].files, "groups"):
        yield from _wildcards(f"{where}.{key}", key, dataset)
    if "splits" in dataset:
        yield from repeated(f"{where}.splits", dataset["splits"])
    yield from _labels(where, dataset)
    yield from _superclasses(where, dataset)


@where_sound
def _held_out(where: str, dataset: Sound) -> Iterator[str]:
    count, held_out = known_count(dataset), dataset["held_out"]
    if count is not None and held_out >= count:
        yield f"{where}.held_out: {held_out} given, expected less than the {count} images of the set"


@where_sound
def _held_out_path(where: str, dataset: Sound) -> Iterator[str]:
    if dataset["held_out_path"] and dataset["held_out_path"].rstrip("/") == dataset["path"].rstrip("/"):
        yield f"{where}.held_out_path: is `path` itself, expected images that no generator has seen"


@where_sound
def _range(where: str, dataset: Sound) -> Iterator[str]:
    limits = dataset["range"]
    if not isinstance(limits, str) and limits[0] >= limits[1]:
        yield f"{where}.range: {limits[0]:g} to {limits[1]:g} given, expected the smaller value first"


@where_sound
def _groups(where: str, dataset: Sound) -> Iterator[str]:
    if dataset["groups"] and dataset["group_pattern"]:
        yield f"{where}.group_pattern: given beside `groups`, expected one of them"
    try:
        re.compile(dataset["group_pattern"] or "")
    except re.error as cause:
        yield f"{where}.group_pattern: {quoted(dataset['group_pattern'])} is no regular expression ({cause})"


@where_sound
def _wildcards(where: str, key: str, dataset: Sound) -> Iterator[str]:
    if WILDCARD.search(given := dataset[key] or ""):
        yield (
            f"{where}: {quoted(given)} holds a brace before a letter, which Snakemake takes for a wildcard; rename "
            "that folder, or give a link to it"
        )


@where_sound
def _labels(where: str, dataset: Sound) -> Iterator[str]:
    if unlabelled := why_unlabelled(dataset):
        if dataset["subsets"] == "balanced":
            yield f'{where}.subsets: "balanced" given, expected "random", since there are no classes ({unlabelled})'
        if dataset["superclasses"]:
            yield f"{where}.superclasses: given, expected null, since there are no classes ({unlabelled})"


@where_sound
def _superclasses(where: str, dataset: Sound) -> Iterator[str]:
    listed = [name for names in (dataset["superclasses"] or {}).values() for name in names]
    yield from repeated(f"{where}.superclasses", listed)
    classes = SOURCES[dataset["source"]].known_classes(dataset) if listed else []
    if not classes:
        return
    for name in dict.fromkeys(listed):
        if name not in classes:
            meant = did_you_mean_or_list(name, classes)
            yield f"{where}.superclasses: {quoted(name)} is not a class of the set{meant}"
    if missing := [name for name in classes if name not in listed]:
        yield f"{where}.superclasses: {', '.join(map(quoted, missing))} missing, expected every class of the set"
