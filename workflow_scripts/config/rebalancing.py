"""The section `rebalancing`."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from workflow_scripts.classifiers.presets import PRESETS, ClassifierSettings
from workflow_scripts.config.messages import repeated
from workflow_scripts.config.sound import Sound, where_sound
from workflow_scripts.config.types import MOST, Model, Name, Seed, Text, overrides_of


class Exponential(Model):
    """Counts that fall geometrically from the largest class to the smallest."""

    profile: Literal["exponential"] = Field(description="how the counts fall")
    largest: int = Field(ge=1, le=MOST, examples=[200], description="images of the largest class")
    ratio: float = Field(ge=1, examples=[50.0], description="ratio of the largest class to the smallest")


class StepProfile(Model):
    """Classes of two sizes."""

    profile: Literal["step"] = Field(description="how the counts fall")
    largest: int = Field(ge=1, le=MOST, examples=[200], description="images of a large class")
    ratio: float = Field(ge=1, examples=[20.0], description="ratio of a large class to a small one")
    small_share: float = Field(0.5, gt=0, lt=1, description="share of the classes that are small")


class GivenCounts(Model):
    """A count for each class."""

    profile: Literal["counts"] = Field(description="how the counts fall")
    counts: Annotated[dict[Text, Annotated[int, Field(ge=1, le=MOST)]], Field(min_length=2)] = Field(
        examples=[{"owl": 500, "wren": 12}],
        description="images of each class, by name; classes not named are left out",
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
    steps: int = Field(1, ge=0, le=10, description="how often the classifier is retrained and selects again")
    budget: int = Field(5, ge=1, le=1000, description="images generated for each one that a class lacks")


class RebalancingClassifier(Model):
    """The classifier of all arms."""

    preset: Literal[tuple(PRESETS)] = Field(  # type: ignore[valid-type]
        "tiny", description="`tiny`: seconds on a CPU; `small`: minutes on a GPU; others: as published"
    )
    overrides: overrides_of(ClassifierSettings) = Field(  # type: ignore[valid-type]
        {}, examples=[{"steps": 2000}], description="settings to change in the preset"
    )


class Rebalancing(Model):
    """Does a long-tailed set gain from synthetic images of its rare classes (GM-augCls)?"""

    datasets: list[Name] = Field(
        examples=[["my-images"]], description="names under `datasets`, with classes; also listed under `similarity`"
    )
    generators: list[Name] = Field(
        examples=[["my-class-gan"]], description="names under `generators`, with `conditional: true`"
    )
    imbalance: Annotated[Exponential | StepProfile | GivenCounts, Field(discriminator="profile")] | None = Field(
        None,
        examples=[{"profile": "exponential", "largest": 200, "ratio": 50.0}],
        description="how the set is made long-tailed; null: it already is",
    )
    groups: Groups = Field(Groups(size=2, alike=0, unlike=0, random=0), examples=[{"size": 4, "alike": 1, "unlike": 1}])
    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(
        [0], examples=[[0, 1, 2]], description="each draws its own set and trains its own networks; pairs for intervals"
    )
    selection: ImageSelection = ImageSelection.model_validate({})
    classifier: RebalancingClassifier = RebalancingClassifier.model_validate({})


def check(rebalancing: Sound) -> Iterator[str]:
    """Contradictions within the section."""
    for key in ("datasets", "generators", "seeds"):
        yield from repeated(f"rebalancing.{key}", rebalancing.get(key, ()))
    yield from _imbalance(rebalancing)


@where_sound
def _imbalance(rebalancing: Sound) -> Iterator[str]:
    imbalance = rebalancing["imbalance"]
    if imbalance and imbalance["profile"] != "counts" and imbalance["largest"] / imbalance["ratio"] < 0.5:
        yield (
            f"rebalancing.imbalance: the smallest class would keep no image with `largest` {imbalance['largest']} and "
            f"`ratio` {imbalance['ratio']:g}, expected a smaller ratio"
        )
