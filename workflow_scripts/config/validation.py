"""The check of a config, before the first job. Everything wrong is reported at once.

The data are not looked at: that a path does not exist is reported by the rule that reads it, so that a study can be
planned (`snakemake -n`) elsewhere.
"""

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from workflow_scripts.config.checks import NAMED, contradictions
from workflow_scripts.config.messages import Location, Node, describe
from workflow_scripts.config.models import Config, schema
from workflow_scripts.config.sound import Sound, sound_part
from workflow_scripts.config.types import PATH
from workflow_scripts.core.errors import InputError


def validate(raw: dict[str, Any], source: str = "the config") -> dict[str, Any]:
    """The config with every default filled in: every section is there, with no data sets where it was left out.

    raw: the merged mappings of all config files; `source` names them. Raises InputError that lists everything wrong,
    one line each: the key path, what was given, what was expected. Contradictions between keys are listed too, wherever
    the keys concerned are right by themselves.
    """
    problems: list[str] = []
    wrong: set[Location] = set()
    config: dict[str, Any] = {}
    try:
        config = Config.model_validate(raw).model_dump(mode="json")
        sound = sound_part(schema(), schema().root, config, wrong)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            at = _location(detail["loc"], raw)
            wrong.add(at)
            if len(at) < len(detail["loc"]):
                detail["input"] = _given(at, raw, detail["input"])
            problems.append(describe(detail, at, schema(), raw))
        sound = Sound() if () in wrong else sound_part(schema(), schema().root, raw, wrong)
    problems += contradictions(sound, wrong)
    if problems:
        lines = list(dict.fromkeys(problems))
        counted = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        text = "\n".join(
            [f"{source}: {counted}", *(f"  - {line}" for line in lines), "docs/config.md describes every key."]
        )
        raise InputError(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    return config


def read_config(path: Path) -> dict[str, Any]:
    """The validated config of a YAML file. Raises InputError for a file that is not there, or is no config."""
    if not path.is_file():
        raise InputError(f"CONFIG: there is no file {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as cause:
        at = getattr(cause, "problem_mark", None)
        line = f", line {at.line + 1}" if at else ""
        why = getattr(cause, "problem", None) or str(cause).split("\n")[0]
        raise InputError(f"{path}{line}: not readable as YAML ({why}); correct it") from cause
    return validate(content, str(path))


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
            nodes += [(item, f"{at}[{i}].") for i, item in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            continue
        lines: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise InputError(
                    f"{file}, line {line}: the key {at}{name} is given twice (first in line "
                    f"{lines[name]}), expected once. Remove one of them, or give it another name."
                )
            lines[name] = line
            nodes.append((value, f"{at}{name}."))


def read_command_line(value: Any, arguments: Any, node: Node | None = None) -> Any:
    """The config with what `--config` gave read as YAML: within mappings and lists Snakemake leaves numbers as text.

    value: the config, with `arguments`, the values of the command line, merged into it; node: of the schema. Only what
    the schema wants as a number, a truth value or null is read, so that a name or a path of digits stays text.
    """
    node = schema().resolve(schema().root if node is None else node, value if isinstance(value, dict | list) else None)
    if isinstance(value, dict) and isinstance(arguments, Mapping):
        read = {
            key: read_command_line(value[key], item, schema().child(node, key))
            for key, item in arguments.items()
            if key in value
        }
        return value | read
    if isinstance(value, list):
        return [read_command_line(item, item, schema().child(node, i)) for i, item in enumerate(value)]
    kinds = {kind.get("type") for kind in (node, *node.get("anyOf", []))}
    try:
        number = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        return value
    kind = "null" if number is None else {bool: "boolean", int: "integer", float: "number"}.get(type(number), "")
    return number if kind in kinds or (kind == "integer" and "number" in kinds) else value


def configured_paths(config: dict[str, Any]) -> Iterator[str]:
    """Every file and folder that a validated config names."""
    nodes = [(schema().root, config)]
    while nodes:
        node, value = nodes.pop(0)
        node = schema().resolve(node, value)
        if isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            nodes += [(schema().child(node, key), item) for key, item in items]
        elif isinstance(value, str) and PATH in [kind.get("pattern") for kind in (node, *node.get("anyOf", []))]:
            yield value


def _given(at: Location, raw: Any, otherwise: Any) -> Any:
    """What the user gave at a place; of a key that is missing, as the error has it."""
    for part in at:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return otherwise
    return raw


def _location(at: Location, raw: Any) -> Location:
    """The place of an error in the user's own keys: pydantic names the alternatives of a union, too."""
    named = at[2:3] and at[0] in NAMED and at[2] in _alternatives(at[0])
    at = at[:2] + at[3:] if named else at
    for end in range(1, len(at)):
        kinds = schema().child(schema().at(at[: end - 1], raw), at[end - 1]).get("anyOf", [])
        if sum(kind.get("type") != "null" for kind in kinds) > 1:
            return at[:end]
    return at


@cache
def _alternatives(section: str) -> frozenset[str]:
    node = schema().root["properties"][section]
    return frozenset(schema().resolve(schema().child(node, "any"))["discriminator"]["mapping"])
