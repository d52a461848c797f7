"""The section `replication`."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from workflow_scripts.config.messages import path, repeated
from workflow_scripts.config.sound import Sound, where_sound
from workflow_scripts.config.types import MOST, STRICT, Model, Name, Seed, SpaceName
from workflow_scripts.replication.thresholds import KINDS, threshold_label


def _one_key(threshold: dict[str, float]) -> dict[str, float]:
    if len(threshold) != 1:
        raise PydanticCustomError("one_key", "one key")
    return threshold


def _threshold_model() -> Any:
    fields = {
        name: Annotated[kind.limits, Field(examples=[kind.example], description=kind.meaning)]
        for name, kind in KINDS.items()
    }
    threshold = TypedDict("Threshold", fields, total=False)  # type: ignore[misc]
    threshold.__doc__ = "The distance up to which a sample counts as a replica: one of the keys."
    config = ConfigDict(**STRICT, json_schema_extra={"minProperties": 1, "maxProperties": 1})
    return Annotated[with_config(config)(threshold), AfterValidator(_one_key)]


Threshold = _threshold_model()


class ReplicationDataset(Model):
    """A data set on which generators are trained."""

    sizes: Annotated[list[Annotated[int, Field(ge=2, le=MOST)]], Field(min_length=1)] = Field(
        examples=[[64, 256, 1024]], description="sizes of the nested training sets, rising"
    )


class Replication(Model):
    """Will a generator copy its images? Every generator on every size and seed of every data set named here."""

    datasets: dict[Name, ReplicationDataset] = Field(
        examples=[{"my-images": {"sizes": [64, 256, 1024]}}], description="names under `datasets`, each with its sizes"
    )
    generators: list[Name] = Field(examples=[["my-gan"]], description="names under `generators`")
    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(
        [0], examples=[[0, 1]], description="each seed draws its own subsets and trains its own generators"
    )
    samples: int = Field(1024, ge=1, le=MOST, description="images drawn from each generator")
    snapshot_samples: int = Field(
        256, ge=16, le=MOST, description="images drawn at each of eight moments of training, to see when copying begins"
    )
    spaces: Annotated[list[SpaceName], Field(min_length=1)] = Field(
        ["pixel"],
        examples=[["pixel", "simclr"]],
        description="where distances are measured: pixel, perceptual, simclr, inception, pixel+inception, or "
        "names under `spaces`",
    )
    thresholds: Annotated[list[Threshold], Field(min_length=1)] = Field(  # type: ignore[valid-type]
        [{"calibrated": 0.01}, {"rms": 0.1415}],
        description="when a sample counts as a replica; the first one leads figures and laws",
    )
    neighbours: int = Field(
        2, ge=2, le=1000, description="nearest training images to record for each sample and each control"
    )
    shards: int = Field(
        1,
        ge=1,
        le=10_000,
        description="jobs that each search and each extraction of features is split into; results do not change",
    )
    wanted_percentage: float = Field(
        1.0,
        gt=0,
        le=100,
        description="percentage of copies below which a training set counts as safe; of training images that are told "
        "beyond chance, as private",
    )


def sound_thresholds(replication: Sound) -> list[dict[str, float]]:
    """The thresholds that have a right number."""
    return [threshold for threshold in replication["thresholds"] if len(threshold) == 1]


def check(replication: Sound) -> Iterator[str]:
    """Contradictions within the section."""
    for key in ("generators", "seeds", "spaces"):
        yield from repeated(f"replication.{key}", replication.get(key, ()))
    yield from _thresholds(replication)
    for name in replication.get("datasets", ()):
        yield from _sizes(replication, name)


@where_sound
def _thresholds(replication: Sound) -> Iterator[str]:
    # By label: thresholds of one label would share their rows in the tables.
    labels = map(threshold_label, sound_thresholds(replication))
    yield from repeated("replication.thresholds", labels, quote=str)


@where_sound
def _sizes(replication: Sound, name: str) -> Iterator[str]:
    sizes = replication["datasets"][name]["sizes"]
    if sorted(set(sizes)) != sizes:
        where = path(("replication", "datasets", name, "sizes"))
        yield f"{where}: {sizes} given, expected each size once, in rising order"
