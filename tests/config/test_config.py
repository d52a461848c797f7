"""The config: what is right passes, what is wrong is named, and all of it at once; sections have tests of their own."""

import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.cli import parse_config
from snakemake.utils import update_config

from tests.config.studies import DISTILLATION, GONE, SCHEMA, STUDIES, Wrong, changed, named, problems, study
from workflow_scripts.config.types import ROOT
from workflow_scripts.config.validation import (
    configured_paths,
    read_command_line,
    read_config,
    require_each_key_once,
    validate,
)
from workflow_scripts.core.errors import InputError


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_the_studies_of_the_repository_are_right(path: Path) -> None:
    raw = yaml.safe_load(path.read_text())
    SCHEMA.validate(raw)
    SCHEMA.validate(validate(raw))


def test_the_effective_config_has_every_default_and_is_a_config_itself() -> None:
    least = changed({"complexity": GONE})
    least["replication"] = {key: least["replication"][key] for key in ("datasets", "generators")}
    effective = validate(least)
    wanted = {"resolution": 32, "neighbours": [10, 20], "resampling": "subsets", "resamples": 100}
    assert effective["complexity"] == wanted
    assert effective["replication"]["thresholds"] == [{"calibrated": 0.01}, {"rms": 0.1415}]
    assert effective["datasets"]["photos"]["tree"] == "auto"
    assert effective["generators"]["gan"]["overrides"] == {}
    assert validate(yaml.safe_load(yaml.safe_dump(effective))) == effective


def test_validation_leaves_the_given_config_as_it_is() -> None:
    raw = study()
    validate(raw)
    assert raw == study()


@pytest.mark.parametrize(
    ("argument", "place", "value"),
    [
        ("replication={samples: 32, seeds: [2, 3]}", "replication.samples", 32),
        ("replication={samples: 32, seeds: [2, 3]}", "replication.seeds", [2, 3]),
        ("replication={thresholds: [{calibrated: 0.02}]}", "replication.thresholds", [{"calibrated": 0.02}]),
        (
            "generators={class-gan: {overrides: {conditional: false, steps: 7}}}",
            "generators.class-gan.overrides.steps",
            7,
        ),
        (
            "generators={class-gan: {overrides: {conditional: false}}}",
            "generators.class-gan.overrides.conditional",
            False,
        ),
        ("datasets={photos: {path: 2024}}", "datasets.photos.path", "2024"),
        ("spaces={small: {kind: pixel, resolution: 8}}", "spaces.small.resolution", 8),
    ],
)
def test_numbers_on_the_command_line_are_numbers(argument: str, place: str, value: Any) -> None:
    arguments = parse_config([argument])
    config = study()
    update_config(config, arguments)
    read: Any = validate(read_command_line(config, arguments))
    for key in place.split("."):
        read = read[key]
    assert read == value
    assert type(read) is type(value)


def test_every_path_of_a_config_is_known() -> None:
    config = changed(
        {
            "datasets.idx": {"source": "idx", "images": "/data/images", "resolution": 16},
            "datasets.set": {"source": "torchvision", "name": "SVHN", "root": "/data/root", "resolution": 16},
            "spaces.net": {"kind": "torchvision", "model": "resnet18", "weights": "/data/net.pth"},
            "distillation": DISTILLATION | {"teacher": {"overrides": {"weights": "/data/start.pth"}}},
        }
    )
    photos, *others = configured_paths(validate(config))
    assert photos == config["datasets"]["photos"]["path"]
    assert set(others) == {"/data/images", "/data/root", "/data/net.pth", "/data/own.pth", "/data/start.pth"}


WRONG: Wrong = [
    ({"complexities": {}}, "complexities", 'did you mean "complexity"?'),
    ({"sed": 1}, "sed", "known are datasets, generators, spaces, samples, replication"),
    (
        {"replication": GONE},
        "the config",
        "nothing to do, expected data sets under at least one",
    ),
    ({"replication.datasets": {}}, "the config", "nothing to do"),
]

test_what_is_wrong_is_named = named(WRONG)


def test_the_base_of_the_wrong_configs_is_right() -> None:
    validate(study())


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("datasets: {}\ncomplexity: {}\ndatasets: {}\n", "line 3: the key datasets "),
        ("generators:\n  gan: {preset: tiny}\n  gan: {preset: small}\n", "line 3: the key generators.gan "),
        ("replication:\n  thresholds:\n  - {rms: 0.1, rms: 0.2}\n", "line 3: the key replication.thresholds.[0].rms "),
    ],
)
def test_a_key_that_stands_there_twice_is_named(text: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(InputError, match=r"study\.yaml, " + re.escape(place)):
        require_each_key_once(tmp_path / "study.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datasets: [oops\n", r"bad\.yaml, line 2: not readable as YAML"),
        ("a: b: c\n", r"bad\.yaml, line 1: not readable as YAML"),
        ("", r"bad\.yaml: 1 problem"),
        (None, "there is no file"),
    ],
)
def test_a_file_that_is_no_config_is_named_with_the_line(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_config(path)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_no_key_of_the_repositorys_studies_stands_there_twice(path: Path) -> None:
    require_each_key_once(path)


def test_everything_wrong_is_reported_at_once() -> None:
    changes = {
        "datasets.drawn.colour": "grey",
        "datasets.drawn.resolution": "16",
        "datasets.photos.source": "folder",
        "generators.gan.overrides.stpes": 3,
        "replication.seeds": [-1, 0, 0],
        "replication.thresholds": [{"rms": 2}, {"calibrated": 0.0001}],
        "replication.datasets.drwan": {"sizes": [64, 32]},
        "replication.generators": ["gan", "gam", 5],
        "complexity.neighbours": [20, 12],
        "complexity.resamples": None,
    }
    places = [line.split(": ")[0] for line in problems(changed(changes))]
    assert sorted(places) == sorted(
        [
            "datasets.drawn.colour",
            "datasets.drawn.resolution",
            "datasets.photos.source",
            "generators.gan.overrides.stpes",
            "replication.seeds.0",
            "replication.thresholds.0.rms",
            "replication.generators.2",
            "complexity.resamples",
            # Contradictions among what is right by itself: a repeated seed, unknown names, ..
            "replication.seeds",
            "replication.datasets.drwan",
            "replication.generators",
            "replication.datasets.drwan.sizes",
            "datasets.drawn.held_out",
            "complexity.neighbours",
        ]
    )


def test_a_wrong_value_is_not_replaced_by_its_default_in_the_search_for_contradictions() -> None:
    assert len(problems(changed({"datasets.drawn.held_out": "500"}))) == 1
    assert len(problems(changed({"generators.gan.overrides": {"batch": "33", "accumulate": 3}}))) == 1
    assert len(problems(changed({"complexity.neighbours": "5 to 10"}))) == 1


def test_an_entry_that_is_wrong_is_still_known_by_its_name() -> None:
    assert len(problems(changed({"generators.gan": None}))) == 1
    assert len(problems(changed({"datasets.drawn": None}))) == 1


def test_the_message_says_which_files_were_read() -> None:
    with pytest.raises(InputError, match=r"^a\.yaml, b\.yaml: 1 problem\n"):
        validate(changed({"complexity.resamples": 5}), "a.yaml, b.yaml")


def test_a_value_that_holds_itself_is_an_error_like_others() -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless
    assert problems(changed({"generators.gan.overrides": endless}))
    assert problems(changed({"datasets.photos.superclasses": endless}))
    assert problems(changed({"more": endless}))


ANY_TEXT = st.text(st.characters(), max_size=8)  # with surrogates, which cannot be written as UTF-8
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.dates() | st.binary(max_size=4)
KEYS = ANY_TEXT | st.integers() | st.none() | st.booleans() | st.sampled_from(["source", "family", "gan", "[key]"])
JUNK = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)
LIKELY = st.sampled_from([0, 1, 3, 8, 16, 100, 0.5, "gan", "drawn", "npy", "tiny", [3, 5], [], {}, "1e-3", 10**30])


def places(config: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    for key, child in (
        config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    ):
        yield from places(child, (*at, key))


@st.composite
def damaged_studies(draw: st.DrawFn) -> dict[str, Any]:
    """The study with some values replaced, removed or added."""
    config = study()
    for _ in range(draw(st.integers(1, 3))):
        *outer, last = draw(st.sampled_from(list(places(config))))
        part: Any = config
        for key in outer:
            part = part[key]
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "remove":
            del part[last]
        elif action == "add" and isinstance(part, dict):
            part[draw(KEYS)] = copy.deepcopy(draw(JUNK | st.just(part[last])))
        else:
            part[last] = copy.deepcopy(draw(LIKELY | JUNK))
        if not list(places(config)):
            break
    return config


def accepted(config: Any) -> bool:
    try:
        validate(config)
    except InputError as error:
        str(error).encode()
        return False
    return True


@settings(max_examples=40)
@given(JUNK)
def test_junk_is_bad_input(config: Any) -> None:
    assert not accepted(config)


@settings(max_examples=80)
@given(damaged_studies())
def test_a_damaged_study_is_right_or_bad_input(config: dict[str, Any]) -> None:
    if accepted(config):
        SCHEMA.validate(config)


def test_checking_a_config_does_not_import_torch() -> None:
    code = "import sys; import workflow_scripts.config.validation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
