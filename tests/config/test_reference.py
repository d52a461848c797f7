"""What is written from the models: the schema and the reference are current and true."""

from importlib import import_module
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from tests.config.studies import SAMPLES, SCHEMA, changed, study
from workflow_scripts.config import reference as config_reference
from workflow_scripts.config.models import Config, schema
from workflow_scripts.config.reference import example, reference_text, schema_text
from workflow_scripts.config.types import ROOT
from workflow_scripts.config.validation import validate
from workflow_scripts.generators.presets import PRESETS

SECTIONS = sorted(file.stem for file in Path(__file__).parent.glob("test_*.py") if file.name != "test_reference.py")
WRONG = [case for section in SECTIONS for case in import_module(f"tests.config.{section}").WRONG]


def test_the_schema_and_the_reference_in_the_repository_are_current() -> None:
    assert (ROOT / "schemas/config.schema.json").read_text() == schema_text(), "run `make schema`"
    assert (ROOT / "docs/config.md").read_text() == reference_text(), "run `make schema`"


@pytest.mark.parametrize(("what", "path"), [("schema", "schemas/config.schema.json"), ("reference", "docs/config.md")])
def test_the_commands_write_their_files(what: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_reference, "ROOT", tmp_path)
    config_reference.main([what])
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [tmp_path / path]
    assert (tmp_path / path).read_text() == (ROOT / path).read_text()


def test_the_schema_is_one_and_refuses_what_is_wrong_by_itself() -> None:
    SCHEMA.check_schema(schema().root)
    refused = 0
    for changes, _, _ in WRONG:
        config = changed(changes)
        try:
            Config.model_validate(config)
        except ValidationError:
            refused += not SCHEMA.is_valid(config)
        else:
            SCHEMA.validate(config)
    assert refused > 80


def test_every_example_of_the_reference_is_right() -> None:
    blocks = [yaml.safe_load(block.split("```")[0]) for block in reference_text().split("```yaml\n")[1:]]
    right = changed(
        {
            "datasets.my-images": study()["datasets"]["drawn"],
            "generators.my-gan": study()["generators"]["gan"],
            "generators.my-class-gan": study()["generators"]["class-gan"],
            "samples.my-model": SAMPLES["elsewhere"],
            "similarity": {"datasets": ["my-images"]},
        }
    )
    for block in blocks:
        for section, content in block.items():
            whole = {
                **right,
                section: right[section] | content if section in ("datasets", "generators", "samples") else content,
            }
            validate(whole)
    shown = {tuple(block) for block in blocks}
    assert shown == {(section,) for section in Config.model_fields}


def test_the_reference_explains_every_key_of_the_schema() -> None:
    text = reference_text()
    for _, key in schema().places():
        assert f"| `{key}` |" in text
    for node in schema().root["$defs"].values():
        if "Overrides" not in node["title"] and "Threshold" not in node["title"]:
            assert example(node).keys() == node["properties"].keys()


def test_the_reference_gives_the_value_of_every_setting_in_every_preset() -> None:
    rows = [line.split(" | ") for line in reference_text().splitlines() if line.startswith("| `")]
    for presets in PRESETS.values():
        for key in vars(next(iter(presets.values()))):
            shown = [
                f"`{yaml.safe_dump(getattr(preset, key), default_flow_style=True).split(chr(10))[0]}`"
                for preset in presets.values()
            ]
            assert any(row[0] == f"| `{key}`" and row[2 : 2 + len(shown)] == shown for row in rows), key
