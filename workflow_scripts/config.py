"""The config: its models are the one source of truth for validation, for schemas/config.schema.json and docs/config.md.

`validate` reports everything that is wrong at once, before the first job. No torch is imported here.
"""

import dataclasses
import difflib
from collections import Counter
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_serializer, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from workflow_scripts.files import InputError
from workflow_scripts.generators.presets import PRESETS

NAME = r"^[a-z0-9][a-z0-9-]*$"
Name = Annotated[str, Field(pattern=NAME, max_length=40)]
Text = Annotated[str, Field(min_length=1)]
SHIPPED_COUNTS = {"fashion-mnist-test": 10_000}


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Dataset(Model):
    """What every data set has, whatever its source."""

    resolution: int = Field(ge=8, le=512, description="side of the packed square images, px")
    color: Literal["grey", "rgb"] = Field("rgb", description="channels of the packed images")
    fit: Literal["crop", "pad"] = Field(
        "crop", description="how an image becomes square: centre crop, or black borders"
    )
    on_bad_image: Literal["stop", "skip"] = Field(
        "stop", description="an unreadable image ends the run, or is left out and listed in the manifest"
    )
    held_out: int = Field(
        0, ge=0, description="images kept out of every subset, for controls and calibrated thresholds"
    )
    subsets: Literal["balanced", "random"] = Field(
        "random", description="subsets with equal class counts as far as possible, or drawn at random"
    )
    superclasses: dict[Text, list[Text]] | None = Field(
        None, description="super-class to its classes; null: what the source itself says"
    )


class Shipped(Dataset):
    """An image set that comes with the repository."""

    source: Literal["shipped"]
    name: Literal["fashion-mnist-test"] = Field(description="which one")


class ImageFolder(Dataset):
    """A folder of PNG, JPEG or WebP files."""

    source: Literal["imagefolder"]
    path: Text = Field(description="the folder")
    tree: Literal["auto", "flat", "classes", "supers"] = Field(
        "auto", description="flat; class folders; super-class folders with class folders; or found out"
    )


class Torchvision(Dataset):
    """Any classification data set of torchvision, by its name there."""

    source: Literal["torchvision"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$")] = Field(description="class in torchvision.datasets")
    root: Text = Field(description="folder that holds the files, or receives the download")
    splits: Annotated[list[Text], Field(min_length=1)] = Field(
        ["train"], description="parts of the data set, put together in this order"
    )
    download: bool = Field(True, description="download what is missing from `root`")


class Idx(Dataset):
    """IDX files, as MNIST comes in; .gz is understood."""

    source: Literal["idx"]
    images: Text = Field(description="file of images")
    labels: Text | None = Field(None, description="file of labels")


class Npz(Dataset):
    """A NumPy archive of uint8 images (N, H, W) or (N, H, W, C)."""

    source: Literal["npz"]
    path: Text = Field(description="the archive")
    images_key: Text = Field("images", description="its array of images")
    labels_key: Text | None = Field(None, description="its array of labels")


class Npy(Dataset):
    """A NumPy file of uint8 images (N, H, W) or (N, H, W, C)."""

    source: Literal["npy"]
    images: Text = Field(description="file of images")
    labels: Text | None = Field(None, description="file of labels (N,)")


class Sprites(Dataset):
    """Shapes drawn from k continuous factors: images of known intrinsic dimension."""

    source: Literal["sprites"]
    count: int = Field(ge=1, le=10_000_000, description="images")
    factors: int = Field(ge=1, le=6, description="continuous factors, the intrinsic dimension")
    classes: int = Field(1, ge=1, le=4, description="shapes, one a class")
    seed: int = Field(0, ge=0, description="seed of the factors")


AnyDataset = Annotated[Shipped | ImageFolder | Torchvision | Idx | Npz | Npy | Sprites, Field(discriminator="source")]


class Generator(Model):
    """A generator: a family, one of its presets, and what is changed in it."""

    family: Literal[tuple(PRESETS)] = Field(description="kind of generator")  # type: ignore[valid-type]
    preset: Literal["tiny", "small", "paper"] = Field(
        description="tiny: minutes on a CPU; small: minutes on a GPU; paper: published settings"
    )
    overrides: dict[str, Any] = Field({}, description="settings of the preset to change (docs/generators.md)")


class Threshold(Model):
    """The distance up to which a sample counts as a replica: one of the two keys."""

    calibrated: float | None = Field(
        None, gt=0, lt=1, description="the distance at which this share of held-out images would count as replicas"
    )
    rms: float | None = Field(
        None, gt=0, le=1, description="a fixed root-mean-square difference per value, values being in 0..1"
    )

    @model_validator(mode="after")
    def _one_key(self) -> "Threshold":
        if (self.calibrated is None) == (self.rms is None):
            raise PydanticCustomError("one_key", "one of the keys calibrated and rms, such as {{calibrated: 0.01}}")
        return self

    @model_serializer
    def _as_given(self) -> dict[str, float]:
        return {key: value for key in ("calibrated", "rms") if (value := getattr(self, key)) is not None}


def threshold_label(threshold: dict[str, float]) -> str:
    """`calibrated-0.01` for {"calibrated": 0.01}: how tables name a threshold."""
    ((kind, value),) = threshold.items()
    return f"{kind}-{value:g}"


class ReplicationDataset(Model):
    sizes: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)] = Field(
        description="sizes of the nested training sets, rising"
    )


class Replication(Model):
    """The replication study: every generator on every size and seed of every data set named here."""

    datasets: Annotated[dict[Name, ReplicationDataset], Field(min_length=1)] = Field(
        description="data set to its sizes"
    )
    generators: Annotated[list[Name], Field(min_length=1)] = Field(description="names under `generators`")
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)] = Field(
        [0], description="each seed draws its own subsets and trains its own generators"
    )
    samples: int = Field(1024, ge=1, le=10_000_000, description="images drawn from each generator")
    spaces: Annotated[list[Literal["pixel"]], Field(min_length=1)] = Field(
        ["pixel"], description="where distances are measured"
    )
    thresholds: Annotated[list[Threshold], Field(min_length=1)] = Field(
        [Threshold(calibrated=0.01), Threshold(rms=0.1415)],
        description="when a sample counts as a replica; the first one leads figures and laws",
    )
    wanted_percentage: float = Field(
        1.0,
        gt=0,
        le=100,
        description="replication, in percent, that a set should stay below: for the smallest safe size",
    )


class Complexity(Model):
    """Intrinsic dimension by maximum likelihood (Levina and Bickel 2004)."""

    resolution: int = Field(32, ge=4, le=512, description="px at which images are compared; never enlarged to")
    neighbours: tuple[int, int] = Field(
        (10, 20), strict=False, description="numbers of neighbours k to average over, first and last"
    )
    bootstraps: int = Field(100, ge=1, le=100_000, description="bootstrap resamples of each subset")


class Law(Model):
    """How laws are fitted."""

    fit: Literal["binomial", "least_squares"] = Field(
        "binomial", description="maximum likelihood of the counts, or least squares on percentages as published"
    )


class Config(Model):
    """A study."""

    datasets: Annotated[dict[Name, AnyDataset], Field(min_length=1)] = Field(description="data sets by name")
    generators: Annotated[dict[Name, Generator], Field(min_length=1)] = Field(description="generators by name")
    replication: Replication = Field(description="the replication study")
    complexity: Complexity = Field(Complexity(), description="measuring intrinsic dimension")
    law: Law = Field(Law(), description="fitting laws")


def validate(raw: dict[str, Any]) -> Config:
    """The config with every default filled in. Raises InputError that lists everything wrong, one line each."""
    problems: list[str] = []
    config = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems += [_describe(detail) for detail in error.errors()]
    names = {key: list(raw[key]) if isinstance(raw.get(key), dict) else [] for key in ("datasets", "generators")}
    problems += _contradictions(_valid_parts(raw) if config is None else config.model_dump(), names)
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems))
        raise InputError(
            f"the config is wrong in {len(dict.fromkeys(problems))} place(s):\n{listed}\nSee docs/config.md."
        )
    assert config is not None
    return config


def _valid_parts(raw: Any) -> dict[str, Any]:
    """Of a config that is wrong somewhere, the entries that are right by themselves, defaults filled in."""
    if not isinstance(raw, dict):
        return {}

    def entries(key: str, kind: Any) -> dict[str, Any]:
        section = raw.get(key)
        return (
            {name: one for name, value in section.items() if (one := _try(kind, value))}
            if isinstance(section, dict)
            else {}
        )

    parts: dict[str, Any] = {
        "datasets": entries("datasets", AnyDataset),
        "generators": entries("generators", Generator),
        "complexity": _try(Complexity, raw.get("complexity", {})) or {},
        "replication": {},
    }
    section = raw.get("replication")
    if isinstance(section, dict):
        for key, info in Replication.model_fields.items():
            if key in section and (one := _try(Annotated[info.annotation, *info.metadata], section[key])) is not None:
                parts["replication"][key] = one
    return parts


def _try(kind: Any, value: Any) -> Any:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    try:
        return adapter.dump_python(adapter.validate_python(value))
    except ValidationError:
        return None


def _contradictions(config: dict[str, Any], names: dict[str, list[str]]) -> Iterator[str]:
    """What is wrong between keys, each right by itself; `names` holds also the names of entries that are wrong."""
    datasets, generators = config.get("datasets", {}), config.get("generators", {})
    replication = config.get("replication", {})

    for name, generator in generators.items():
        yield from _override_problems(f"generators.{name}.overrides", generator)

    for key in ("generators", "seeds", "spaces", "thresholds"):
        for value, count in Counter(map(repr, replication.get(key, []))).items():
            if count > 1:
                yield f"replication.{key}: {value} stands {count} times; name each once"
    for name in replication.get("generators", []):
        if name not in names["generators"]:
            yield f"replication.generators: {name!r} is not under `generators`{_meant(name, names['generators'])}"

    calibrated = [t["calibrated"] for t in replication.get("thresholds", []) if "calibrated" in t]
    low, high = config.get("complexity", {}).get("neighbours", (3, 4))
    if not 3 <= low < high:
        yield f"complexity.neighbours: [{low}, {high}] given, expected two rising numbers, the first at least 3"

    for name, chosen in replication.get("datasets", {}).items():
        where, sizes = f"replication.datasets.{name}", chosen["sizes"]
        if sorted(set(sizes)) != sizes:
            yield f"{where}.sizes: {sizes} given, expected each size once, in rising order"
        if name not in names["datasets"]:
            yield f"{where}: {name!r} is not under `datasets`{_meant(name, names['datasets'])}"
        if name not in datasets:
            continue
        dataset = datasets[name]
        count, held_out = _known_count(dataset), dataset["held_out"]
        if count is not None and max(sizes) + held_out > count:
            yield (
                f"{where}.sizes: the largest size {max(sizes)} and {held_out} held-out images make "
                f"{max(sizes) + held_out}, but the set has {count}; lower either"
            )
        for share in calibrated:
            if held_out * share < 1:
                yield (
                    f"datasets.{name}.held_out: {held_out} given, expected at least {-(-1 // share):.0f} held-out images "
                    f"for the threshold calibrated: {share:g}"
                )
        for used in replication.get("generators", []):
            if used in generators:
                yield from _resolution_problems(name, dataset["resolution"], used, generators[used]["family"])


def _known_count(dataset: dict[str, Any]) -> int | None:
    if dataset["source"] == "shipped":
        return SHIPPED_COUNTS[dataset["name"]]
    return dataset.get("count")


def _resolution_problems(dataset: str, resolution: int, generator: str, family: str) -> Iterator[str]:
    if family == "diffusion":
        fits, expected = resolution % 8 == 0, "a multiple of 8"
    else:
        fits, expected = resolution.bit_count() == 1 and resolution <= 256, "a power of two from 8 to 256"
    if not fits:
        yield f"datasets.{dataset}.resolution: {resolution} given, but generator {generator!r} ({family}) needs {expected}"


def _override_problems(where: str, generator: dict[str, Any]) -> Iterator[str]:
    family, preset = PRESETS[generator["family"]], generator["preset"]
    if preset not in family:
        yield f"{where.removesuffix('.overrides')}.preset: {generator['family']} has {', '.join(family)}"
        return
    fields = {field.name: field for field in dataclasses.fields(family[preset])}
    for key, value in generator["overrides"].items():
        if key not in fields:
            yield f"{where}.{key}: unknown setting of {generator['family']}{_meant(key, fields)}"
            continue
        try:
            TypeAdapter(fields[key].type, config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError as error:
            yield from (_describe({**detail, "loc": (*where.split("."), key)}) for detail in error.errors())


def _meant(name: str, known: Any) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(map(str, known)) or 'none'}"


def _describe(error: ErrorDetails | dict[str, Any]) -> str:
    """One line: the key path, what was given, what was expected."""
    # Pydantic names the chosen alternative of a union inside the path; users did not write it.
    sources = {_tag(kind) for kind in _alternatives(AnyDataset)}
    hidden = sources if error["loc"][:1] == ("datasets",) else set()
    parts = [str(part) for i, part in enumerate(error["loc"]) if not (i >= 2 and part in hidden) and part != "[key]"]
    path = ".".join(parts) or "the config"
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        return f"{path}: unknown key{_meant(parts[-1], _keys_at(error['loc'][:-1]))}"
    if kind == "missing":
        return f"{path}: missing; it has no default"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        tag = given.get("source") if isinstance(given, dict) else None
        return f"{path}.source: {tag!r} given, expected one of {', '.join(sorted(sources))}"
    if kind == "string_pattern_mismatch" and error.get("ctx", {}).get("pattern") == NAME:
        return f"{path}: {given!r} given, expected a name of small letters, digits and hyphens, such as 'my-images'"
    expected = error["msg"].removeprefix("Input should be ").replace("Input should have", "it should have")
    return f"{path}: {_short(given)} given, expected {expected[:1].lower()}{expected[1:]}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the model at this place of the config knows."""
    kinds: list[Any] = [Config]
    for part in location:
        kinds = [child for kind in kinds for child in _children(kind, part)]
    return [key for kind in kinds if _is_model(kind) for key in kind.model_fields]


def _tag(kind: type[BaseModel]) -> str:
    """How pydantic names this model as a union's alternative."""
    source = kind.model_fields.get("source")
    return get_args(source.annotation)[0] if source else kind.__name__


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _children(kind: Any, part: int | str) -> Iterator[Any]:
    if _is_model(kind) and part in kind.model_fields:
        yield from _alternatives(kind.model_fields[str(part)].annotation)
    elif _is_model(kind) and part == _tag(kind):
        yield kind
    elif get_origin(kind) in (dict, list):
        yield from _alternatives(get_args(kind)[-1])


def _alternatives(kind: Any) -> Iterator[Any]:
    if get_origin(kind) is Annotated:
        yield from _alternatives(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for one in get_args(kind):
            yield from _alternatives(one)
    else:
        yield kind
