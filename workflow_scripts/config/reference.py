"""Write schemas/config.schema.json and docs/config.md, the config's reference, from the config's models."""

import argparse
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from workflow_scripts.classifiers import presets as classifier_presets
from workflow_scripts.config.checks import NAMED
from workflow_scripts.config.datasets import Dataset
from workflow_scripts.config.messages import Node
from workflow_scripts.config.models import schema
from workflow_scripts.config.samples import OF_DATASETS
from workflow_scripts.config.types import ROOT
from workflow_scripts.core.files import write_text
from workflow_scripts.features import presets as encoder_presets
from workflow_scripts.generators import presets

SCHEMA, REFERENCE = Path("schemas/config.schema.json"), Path("docs/config.md")
INTRODUCTION = """\
# Config reference

*Written by `make schema` from the models in `workflow_scripts/config/`; changes here are lost.*

A study is one YAML file. `snakemake` runs `config.yaml`; `snakemake --configfile mine.yaml` runs `mine.yaml` in its
place. Several files after `--configfile` are merged, the later ones win. What a study leaves out has the default given
here; the config that a run really used, every default filled in, is written to `results/config.yaml`.

The whole config is checked before the first job, and everything wrong is reported at once: unknown keys, types, ranges,
and contradictions between keys. Types are strict: `"16"` and `16.0` are no whole numbers, and to YAML `1e-3` is text:
write `1.0e-3`. Names of data sets and generators become names of folders. A path may be relative to the working
directory and may begin with `~`; whether it exists is checked by the job that reads it, so that `snakemake -n` plans a
study without its data. Threads, memory, run time and GPUs are no part of a study: they belong to `profiles/`.

Editors that know JSON schemas check and complete a study by `schemas/config.schema.json`.
"""


def schema_text() -> str:
    return json.dumps(schema().root, indent=2, ensure_ascii=False) + "\n"


def reference_text() -> str:
    return "\n".join([INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    root = schema().root
    yield from _section("## The parts of a study", "", root)

    sources, common = _alternatives("datasets"), Dataset.model_json_schema()
    common["properties"]["source"] |= {"enum": list(sources)}
    yield from _section("## `datasets`", f"Image sets by name. {common['description']}", common)
    yield _yaml({"datasets": {"my-images": example(sources["imagefolder"])}})
    for tag, node in sources.items():
        own = {key: child for key, child in node["properties"].items() if key not in common["properties"]}
        yield from _section(f"### `source: {tag}`", node["description"], {**node, "properties": own})
        shown = example(node, {key for key in node["properties"] if key in own or key in node["required"]})
        yield _yaml({"datasets": {"my-images": shown}})

    introduction = "Generators by name: a family, one of its presets, and what is changed in it."
    families = _alternatives("generators")
    first = next(iter(families.values()))
    family = {"enum": list(families), "description": first["properties"]["family"]["description"]}
    yield from _section(
        "## `generators`", introduction, {**first, "properties": first["properties"] | {"family": family}}
    )
    for tag, node in families.items():
        yield f"### `family: {tag}`\n\n{node['description']} Keys of `overrides`, and what the presets have:\n"
        yield _settings_table(presets.PRESETS[tag], schema().resolve(node["properties"]["overrides"]))
        yield _yaml({"generators": {"my-gan": example(node)}})

    spaces = _alternatives("spaces")
    yield (
        "## `spaces`\n\nWhere distances between images are measured, by name. `pixel`, `perceptual`, `simclr`, "
        "`inception` and `pixel+inception` are there without being defined; under the same name their settings can be "
        "changed.\n"
    )
    for tag, node in spaces.items():
        yield from _section(f"### `kind: {tag}`", node["description"], node)
        if "overrides" in node["properties"]:
            overrides = schema().resolve(node["properties"]["overrides"])
            yield _settings_table(encoder_presets.PRESETS, overrides)
        yield _yaml({"spaces": {"my-space": example(node)}})

    samples = _alternatives("samples")
    made = {name: samples.pop(name) for name in ("generator", "diffusers")}
    missing = ", ".join(f"`{key}`" for key in sorted(OF_DATASETS))
    yield (
        "## `samples`\n\nImages that a generator has made, by name, for the `audit`. They have the keys of `datasets` "
        f"with the same `source` ({', '.join(samples)}), but for {missing}: "
        "they are packed as the data set that they are compared with.\n"
    )
    shown = example(samples["npz"], ("source", "path", "images_key"))
    yield _yaml({"samples": {"my-model": shown}})
    for name, node in made.items():
        yield from _section(f"### `source: {name}`", node["description"], node)
        yield _yaml({"samples": {"my-model": example(node)}})

    for key, section in root["properties"].items():
        if key in NAMED:
            continue
        node = schema().resolve(section)
        yield from _section(f"## `{key}`", node["description"], node)
        for inner, child in node["properties"].items():
            yield from _nested(f"{key}.{inner}", schema().resolve(child))
        yield _yaml({key: example(node)})


def _nested(place: str, node: Node) -> Iterator[str]:
    """The sections of what a key holds: a mapping of its own, one of several kinds, or a list or mapping of such."""
    item = schema().resolve(schema().child(node, 0))
    if "discriminator" in node:
        for tag, reference in node["discriminator"]["mapping"].items():
            kind = schema().resolve({"$ref": reference})
            yield from _section(
                f"### `{place}`, `{node['discriminator']['propertyName']}: {tag}`", kind["description"], kind
            )
    elif "properties" in item:
        where = f"`{place}.NAME`" if node["type"] == "object" else f"`{place}`, each"
        yield from _section(f"### {where}", item["description"], item)
    elif "properties" in node and place.endswith(".overrides"):
        yield f"### `{place}`\n\nSettings of the presets:\n"
        yield _settings_table(classifier_presets.PRESETS, node)
    elif "properties" in node:
        yield from _section(f"### `{place}`", node["description"], node)
        for inner, child in node["properties"].items():
            yield from _nested(f"{place}.{inner}", schema().resolve(child))


def _alternatives(section: str) -> dict[str, Node]:
    """The node of each kind of data set or generator, in the order of the models."""
    union = schema().child(schema().root["properties"][section], "NAME")
    nodes = {node["$ref"]: schema().resolve(node) for node in union["oneOf"]}
    tags = {reference: tag for tag, reference in union["discriminator"]["mapping"].items()}
    return {tags[reference]: node for reference, node in nodes.items()}


def _section(heading: str, introduction: str, node: Node) -> Iterator[str]:
    yield f"{heading}\n"
    if introduction:
        yield f"{introduction}\n"
    required = node.get("required", [])
    yield _table(
        ["key", "value", "default", "meaning"],
        [
            [
                f"`{key}`",
                schema().words(child),
                _default(child, key in required),
                schema().resolve(child)["description"],
            ]
            for key, child in node["properties"].items()
        ],
    )


def _settings_table(chosen: Mapping[str, Any], overrides: Node) -> str:
    """The settings of one kind: range, the value in each preset, meaning."""
    rows = [
        [
            f"`{key}`",
            schema().words(setting),
            *(_code(getattr(preset, key)) for preset in chosen.values()),
            setting.get("description", ""),
        ]
        for key, setting in overrides["properties"].items()
    ]
    return _table(["key", "value", *chosen, "meaning"], rows)


def _default(node: Node, required: bool) -> str:
    if required:
        return "required"
    if "properties" in schema().resolve(node):
        return "see below"
    return _code(node["default"]) if "default" in node else "–"


def _code(value: Any) -> str:
    return f"`{yaml.safe_dump(value, default_flow_style=True, width=1000).split(chr(10))[0]}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def example(node: Node, keys: Container[str] | None = None) -> dict[str, Any]:
    """Keys of a mapping, or all of them, with values that are allowed: the models' examples, else the defaults."""
    return {
        key: child["examples"][0] if "examples" in child else child["default"] if "default" in child else child["const"]
        for key, child in node["properties"].items()
        if keys is None or key in keys
    }


class _Dumper(yaml.SafeDumper):
    """Mappings in lines, lists in brackets."""


_Dumper.add_representer(list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, True))


def _yaml(value: Any) -> str:
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=100)
    return f"```yaml\n{text}```\n"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m workflow_scripts.config", description=__doc__)
    parser.add_argument("what", choices=["schema", "reference"])
    if parser.parse_args(arguments).what == "schema":
        write_text(ROOT / SCHEMA, schema_text())
    else:
        write_text(ROOT / REFERENCE, reference_text())
