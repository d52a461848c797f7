"""What is wrong with a config, and what it may hold, in words. All words come from the config's JSON schema."""

import difflib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Node = dict[str, Any]
Location = tuple[Any, ...]

LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "object": "a mapping (key: value)",
}
LONGEST = 80  # characters of a value that are shown


class Schema:
    """A JSON schema (draft 2020-12, as pydantic writes it) as a tree that can be asked.

    patterns: each regular expression that the schema asks of a text, in words.
    """

    def __init__(self, root: Node, patterns: dict[str, str]) -> None:
        self.root, self.patterns = root, patterns

    def resolve(self, node: Node, value: Any = None) -> Node:
        """The node behind references; with a value, the alternative that the value chooses."""
        while (optional := "$ref" in node.get("anyOf", [{}])[0]) or "$ref" in node:
            reference = node["anyOf"][0]["$ref"] if optional else node["$ref"]
            beside = {key: child for key, child in node.items() if key not in ("$ref", "anyOf")}
            node = self.root["$defs"][reference.rsplit("/", 1)[1]] | beside
        if value is not None and "anyOf" in node:
            return self.resolve(node["anyOf"][0])
        if isinstance(value, dict) and "discriminator" in node:
            tag = value.get(node["discriminator"]["propertyName"])
            if isinstance(tag, str) and tag in node["discriminator"]["mapping"]:
                return self.resolve({"$ref": node["discriminator"]["mapping"][tag]})
        return node

    def child(self, node: Node, key: Any) -> Node:
        """The node of a mapping's key or of a list's item; empty where the schema has none."""
        if isinstance(key, int) and node.get("type") == "array":
            first = node.get("prefixItems", [])
            return first[key] if key < len(first) else node.get("items", {})
        patterns = node.get("patternProperties", {})
        others = next(iter(patterns.values())) if patterns else node.get("additionalProperties")
        return node.get("properties", {}).get(key) or (others if isinstance(others, dict) else {})

    def at(self, location: Location, config: Any) -> Node:
        """The node of a place in a config."""
        node, value = self.root, config
        for part in location:
            node = self.child(self.resolve(node, value), part)
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                value = None
        return self.resolve(node, value if isinstance(value, dict) else None)

    def places(self, node: Node | None = None, place: str = "") -> Iterator[tuple[str, str]]:
        """(place, key) of every key; a place is a path that ends in a full stop, NAME standing for the user's names."""
        top = self.resolve(self.root if node is None else node)
        for kind in (self.resolve(alternative) for alternative in top.get("oneOf", [top])):
            for key, child in kind.get("properties", {}).items():
                yield place, key
                yield from self.places(child, f"{place}{key}.")
            if "properties" not in kind and (named := self.child(kind, "NAME")):
                yield from self.places(named, f"{place}NAME.")

    def words(self, node: Node) -> str:
        """Type and range of the values that a node allows; empty if it says nothing."""
        node = self.resolve(node)
        if "const" in node:
            return str(node["const"])
        if "enum" in node:
            return "one of " + ", ".join(map(str, node["enum"]))
        if "anyOf" in node:
            return ", or ".join(map(self.words, node["anyOf"]))
        kind = node.get("type")
        if kind == "string" and "pattern" in node:
            return self.patterns[node["pattern"]]
        if kind == "string":
            return "text, not empty" if node.get("minLength") else "text"
        if kind == "array":
            least, most = node.get("minItems", 0), node.get("maxItems")
            items = node.get("prefixItems", [node.get("items", {})])
            length = f" of {least}" if least == most else f" of at least {least}" if least else ""
            return f"a list{length}, each {' or '.join(dict.fromkeys(map(self.words, items)))}"
        if node.get("minProperties") == node.get("maxProperties") == 1:
            return "one of the keys " + ", ".join(node["properties"])
        if "oneOf" in node:
            return KINDS["object"]
        if "patternProperties" in node or isinstance(node.get("additionalProperties"), dict):
            return "a mapping of names"
        return KINDS.get(kind or "", "") + _range(node)


def _range(node: Node) -> str:
    limits = {key: f"{node[key]:,}".replace(",", " ") for key in LIMITS if key in node}
    if limits.keys() == {"minimum", "maximum"}:
        return f" from {limits['minimum']} to {limits['maximum']}"
    words = " and ".join(f"{LIMITS[key]} {limit}" for key, limit in limits.items())
    return f" {words}" if words else ""


def describe(error: Any, at: Location, schema: Schema, config: Any) -> str:
    """One line for one of pydantic's errors: the key path, what was given, what was expected.

    at: the error's place in the user's own keys; config: what the user gave as a whole.
    """
    kind, value = error["type"], error["input"]
    if at[-1:] == ("[key]",):
        pattern = next(iter(schema.at(at[:-2], config).get("patternProperties", {})), "")
        return f"{path(at[:-1])}: this name given, expected {schema.patterns.get(pattern, 'text, not empty')}"
    node = schema.at(at, config)
    expected = schema.words(node)
    if kind == "extra_forbidden":
        return f"{path(at)}: {quoted(value)} given, but there is no such key{_right_key(at, schema, config)}"
    if kind == "missing":
        meaning = f" ({node['description']})" if "description" in node else ""
        return f"{path(at)}: missing, expected {expected}{meaning}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        key, known = node["discriminator"]["propertyName"], list(node["discriminator"]["mapping"])
        what, tag = (f"{quoted(value[key])} given", value[key]) if key in value else ("missing", None)
        return f"{path((*at, key))}: {what}, expected one of {', '.join(known)}{did_you_mean(tag, known)}"
    hint = did_you_mean(value, node["enum"]) if "enum" in node else _as_number(value, node)
    return f"{path(at)}: {quoted(value)} given, expected {expected or error['msg']}{hint}"


def path(at: Location) -> str:
    parts = [part if isinstance(part, str) and part.isprintable() else quoted(part) for part in at]
    return ".".join(parts) or "the config"


def quoted(value: Any) -> str:
    """A value on one line, much as YAML would have it, cut if it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):  # keys that are no text, values that hold themselves
        text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def repeated(where: str, values: Iterable[Any], quote: Callable[[Any], str] = quoted) -> Iterator[str]:
    """A line for each value that a list has more than once."""
    for value, count in Counter(map(quote, values)).items():
        if count > 1:
            yield f"{where}: {value} is listed {count} times, expected once"


def did_you_mean(value: Any, known: Iterable[Any]) -> str:
    """`; did you mean "rgb"?`, or nothing if nothing is near."""
    close = difflib.get_close_matches(value.lower(), map(str, known), n=1) if isinstance(value, str) else []
    return f"; did you mean {quoted(close[0])}?" if close else ""


def did_you_mean_or_list(value: Any, known: Iterable[Any]) -> str:
    """The same, but the known ones are listed if nothing is near."""
    listed = list(known)
    return did_you_mean(value, listed) or f"; known are {', '.join(map(str, listed)) or 'none'}"


def _right_key(at: Location, schema: Schema, config: Any) -> str:
    """The nearest key at this place, the place where a key of this name belongs, or the keys that there are."""
    known = list(schema.at(at[:-1], config).get("properties", {}))
    near = did_you_mean(at[-1], known)
    for place, key in schema.places():
        outer = place.split(".")[:-1]
        here = len(outer) == len(at) - 1 and all(part in ("NAME", at[i]) for i, part in enumerate(outer))
        if {at[0], place.partition(".")[0]} == {"datasets", "samples"}:  # which have most keys in common
            continue
        if key == at[-1] and not here:  # a key of this very place belongs to another source or family
            return f"{near}; there is {place}{key}"
    return near or did_you_mean_or_list(at[-1], known)


def _as_number(value: Any, node: Node) -> str:
    """How to write a number that YAML takes for text, such as 1e-3."""
    kinds = {kind.get("type") for kind in (node, *node.get("anyOf", []))}
    try:
        number = float(value) if isinstance(value, str) and kinds & {"integer", "number"} else math.nan
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    import yaml  # only now: the usual config has no such error

    whole = "integer" in kinds and number.is_integer()
    written = yaml.safe_dump(int(number) if whole else number).splitlines()[0]
    return f"; this is text, write {written} without quotes"
