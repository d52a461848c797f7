"""Types that the sections of the config share, with their patterns and limits."""

import operator
import os
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, with_config
from typing_extensions import Doc, TypedDict

from workflow_scripts.core.settings import WeightsFile

ROOT = Path(__file__).parent.parent.parent
NAME = r"^[a-z0-9][a-z0-9-]*$"
PATH = r"^[^\x00-\x1f]*[^\x00-\x20][^\x00-\x1f]*$"
IDENTIFIER = r"^[A-Za-z][A-Za-z0-9_]*$"
SPACE = r"^[a-z0-9][a-z0-9+-]*$"
SHA256 = r"^[0-9a-f]{64}$"
MODEL = r"^[a-z][a-z0-9_]*$"
TIMM_MODEL = r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)?$"
PATTERNS = {
    NAME: "a name of small letters, digits and hyphens (at most 40, no hyphen first)",
    SPACE: "a name of small letters, digits, hyphens and plus signs (at most 40)",
    SHA256: "a SHA-256: 64 hexadecimal digits",
    MODEL: "the name of a network in torchvision.models",
    TIMM_MODEL: "the name of a network in timm, with or without its weights' tag",
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


def overrides_of(settings: type) -> Any:
    """The mapping of what can be changed in a preset: any of its settings, within the limits it states."""
    hints = {name: _as_in_yaml(hint) for name, hint in get_type_hints(settings, include_extras=True).items()}
    changes = TypedDict(f"{settings.__name__}Overrides", hints, total=False)  # type: ignore[misc]
    return with_config(STRICT)(changes)


def _as_in_yaml(hint: Any) -> Any:
    """The type of a setting as a config gives it: a tuple as the list that YAML has, a file as its path."""
    if hint == WeightsFile:
        return FilePath
    if get_origin(hint) is Annotated:
        kind, *limits = get_args(hint)
        meaning = [Field(description=limit.documentation) if isinstance(limit, Doc) else limit for limit in limits]
        return Annotated[_as_in_yaml(kind), *meaning]
    if get_origin(hint) is tuple:
        return Annotated[hint, Strict(False)]
    if type(None) in get_args(hint):
        return reduce(operator.or_, map(_as_in_yaml, get_args(hint)))
    return hint


def one_of(models: Iterable[Any], key: str) -> Any:
    """The union of models that `key` tells apart."""
    return Annotated[Union[tuple(models)], Field(discriminator=key)]  # noqa: UP007 - the number of models is not fixed
