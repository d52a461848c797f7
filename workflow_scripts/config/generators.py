"""The section `generators`: one model for each family, made from its settings and presets."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, create_model

from workflow_scripts.config.messages import Location, path, quoted
from workflow_scripts.config.sound import Sound, where_sound
from workflow_scripts.config.types import Model, one_of, overrides_of
from workflow_scripts.generators.presets import PRESETS, Settings, settings_for


class Generator(Model):
    """A generator: a family, one of its presets, and what is changed in it."""


def _family(family: str) -> type[Generator]:
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
            overrides_of(settings),
            Field({}, examples=[{"steps": 500, "batch": 16}], description="settings to change in the preset"),
        ),
    }
    name = settings.__name__.removesuffix("Settings")
    return create_model(name, __base__=Generator, __doc__=settings.__doc__, **fields)


AnyGenerator = one_of(map(_family, PRESETS), "family")


def settings_of(generator: Sound) -> Settings:
    """The settings of an entry: its preset with what is changed in it."""
    return settings_for(generator["family"], generator["preset"], generator["overrides"])


@where_sound
def check(name: str, generator: Sound, wrong: set[Location]) -> Iterator[str]:
    """Contradictions within one generator, but for those of settings that are wrong by themselves."""
    where = ("generators", name, "overrides")
    for keys, message in settings_of(generator).conflicts():
        if not any(at[:4] == (*where, key) for at in wrong for key in keys):
            yield f"{path((*where, keys[0]))}: {message}"


@where_sound
def check_resolution(name: str, generator: Sound, dataset_name: str, dataset: Sound) -> Iterator[str]:
    """Whether the generator can learn images of the data set's size."""
    resolution = dataset["resolution"]
    if expected := settings_of(generator).expected_resolution(resolution):
        kind = f"{generator['family']}, {generator['preset']}"
        yield (
            f"{path(('datasets', dataset_name, 'resolution'))}: {resolution} given, expected {expected} for the "
            f"generator {quoted(name)} ({kind})"
        )
