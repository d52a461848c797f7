"""The part of a config that is right by itself, so that contradictions in it are found although the rest is wrong."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, ParamSpec

from workflow_scripts.config.messages import Location, Node, Schema

Arguments = ParamSpec("Arguments")


class Unsound(LookupError):
    """A check has asked for a value that is missing or wrong by itself."""


class Sound(dict[str, Any]):
    """A mapping of the config, of its right values and the defaults of those not given. Other keys raise Unsound."""

    def __missing__(self, _: str) -> NoReturn:
        raise Unsound


def where_sound(check: Callable[Arguments, Iterator[str]]) -> Callable[Arguments, Iterator[str]]:
    """A check that is left out where it asks for a value that is wrong by itself."""

    @functools.wraps(check)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[str]:
        try:
            yield from check(*args, **kwargs)
        except Unsound:
            return

    return checked


def sound_part(schema: Schema, node: Node, value: Any, wrong: set[Location], at: Location = ()) -> Any:
    """Of a value at a node of the schema: what is right by itself, with the defaults of keys that were not given."""
    node = schema.resolve(node, value)
    if isinstance(value, list):
        kept = [(i, item) for i, item in enumerate(value) if (*at, i) not in wrong]
        return [sound_part(schema, schema.child(node, i), item, wrong, (*at, i)) for i, item in kept]
    if not isinstance(value, dict):
        return value
    defaults = {key: child["default"] for key, child in node.get("properties", {}).items() if "default" in child}
    values = {key: item for key, item in value.items() if isinstance(key, str)}
    return Sound(
        {
            key: sound_part(schema, schema.child(node, key), item, wrong, (*at, key))
            for key, item in (defaults | values).items()
            if (*at, key) not in wrong
        }
    )
