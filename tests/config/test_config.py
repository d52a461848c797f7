"""The config: what is right passes, what is wrong is named, all of it at once, and the written files are current."""

import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from snakemake.cli import parse_config
from snakemake.utils import update_config

from workflow_scripts.config import reference as config_reference
from workflow_scripts.config.models import Config, schema
from workflow_scripts.config.reference import example, reference_text, schema_text
from workflow_scripts.config.types import ROOT
from workflow_scripts.config.validation import configured_paths, read_command_line, require_each_key_once, validate
from workflow_scripts.core.errors import InputError
from workflow_scripts.generators.presets import PRESETS
from workflow_scripts.replication.thresholds import threshold_label

REBALANCING = {
    "datasets": ["drawn"],
    "generators": ["class-gan"],
    "imbalance": {"profile": "exponential", "largest": 20, "ratio": 4.0},
}
DISTILLATION = {
    "datasets": ["drawn"],
    "checkpoints": {"own": {"architecture": "resnet18", "weights": "/data/own.pth"}},
    "ensembles": [["own", "weak"]],
}
SAMPLES = {
    "elsewhere": {"source": "npz", "path": "/data/samples.npz", "images_key": "arr_0"},
    "own": {"source": "generator", "generator": "gan", "size": 64, "seed": 1},
}
AUDIT = {"datasets": {"drawn": {"samples": ["elsewhere", "own"]}}}
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "config").glob("*.yaml"))]
GONE = object()
SCHEMA = jsonschema.Draft202012Validator(schema().root)


def study() -> dict[str, Any]:
    """A right config that uses every section; every test has its own."""
    return {
        "datasets": {
            "drawn": {
                "source": "sprites", "count": 2000, "factors": 2, "classes": 2, "resolution": 16, "held_out": 500,
            },
            "photos": {"source": "imagefolder", "path": "/data/Größe, my images", "resolution": 32, "held_out": 200},
        },
        "generators": {
            "gan": {"family": "biggan", "preset": "tiny"},
            "class-gan": {"family": "biggan", "preset": "tiny", "overrides": {"conditional": True}},
            "large-gan": {"family": "biggan", "preset": "paper", "overrides": {"batch": 48, "accumulate": 2}},
        },
        "replication": {
            "datasets": {"drawn": {"sizes": [32, 64, 128]}, "photos": {"sizes": [100]}},
            "generators": ["gan", "large-gan"],
            "seeds": [0, 1],
            "samples": 64,
            "spaces": ["pixel"],
            "thresholds": [{"calibrated": 0.01}, {"rms": 0.1}],
            "wanted_percentage": 1,
        },
        "complexity": {"resolution": 16, "neighbours": [5, 10], "resamples": 10},
    }  # fmt: skip


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The study with values set at key paths; GONE removes the key."""
    config = study()
    for place, value in changes.items():
        *outer, last = place.split(".")
        part: Any = config
        for key in outer:
            part = part[int(key)] if isinstance(part, list) else part.setdefault(key, {})
        if value is GONE:
            del part[last]
        elif isinstance(part, list):
            part[int(last)] = value
        else:
            part[last] = value
    return config


def problems(config: Any) -> list[str]:
    """The lines that name a problem, `key path: what is wrong`."""
    with pytest.raises(InputError) as caught:
        validate(config)
    first, *lines, last = str(caught.value).splitlines()
    assert first.startswith(f"the config: {len(lines)} problem")
    assert "docs/config.md" in last
    assert all(line.startswith("  - ") for line in lines)
    return [line.removeprefix("  - ") for line in lines]


# Right configs --------------------------------------------------------------------------------------------------------


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


def test_a_path_may_hold_spaces_and_any_letters_and_begins_at_home_with_a_tilde() -> None:
    given_path = changed({"datasets.photos.path": "data/Ünï cødé (1)/图片"})
    assert validate(given_path)["datasets"]["photos"]["path"] == "data/Ünï cødé (1)/图片"
    at_home = changed({"datasets.photos.path": "~/images"})
    assert validate(at_home)["datasets"]["photos"]["path"] == str(Path.home() / "images")


@pytest.mark.parametrize(
    ("threshold", "label"),
    [({"calibrated": 0.01}, "calibrated-0.01"), ({"rms": 0.1415}, "rms-0.1415"), ({"rms": 1.0}, "rms-1")],
)
def test_threshold_labels(threshold: dict[str, float], label: str) -> None:
    assert threshold_label(threshold) == label


@pytest.mark.parametrize(("share", "needed"), [(0.01, 100), (0.001, 1000), (0.02, 50), (0.3, 4), (0.015, 67)])
def test_calibration_needs_just_one_expected_held_out_replica(share: float, needed: int) -> None:
    enough = {"datasets.drawn.held_out": needed, "datasets.photos.held_out": needed}
    thresholds = {"replication.thresholds": [{"calibrated": share}]}
    validate(changed(enough | thresholds))
    short = problems(changed(enough | thresholds | {"datasets.drawn.held_out": needed - 1}))
    assert len(short) == 1
    assert f"expected at least {needed}:" in short[0]


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


# Wrong configs --------------------------------------------------------------------------------------------------------

STYLE = {"family": "stylegan2", "preset": "tiny"}
IMAGES = {"source": "idx", "images": "a.gz", "resolution": 16}
WRONG: list[tuple[dict[str, Any], str, str]] = [
    # Keys
    ({"complexities": {}}, "complexities", 'did you mean "complexity"?'),
    ({"sed": 1}, "sed", "known are datasets, generators, spaces, samples, replication"),
    ({"samples": 5}, "samples", "5 given, expected a mapping of names"),
    ({"datasets.drawn.colour": "grey"}, "datasets.drawn.colour", '"grey" given, but there is no such key; did you'),
    ({"datasets.drawn.path": "x"}, "datasets.drawn.path", "no such key; known are source, resolution"),
    ({"datasets.drawn.splits": ["train"]}, "datasets.drawn.splits", "no such key"),
    ({"generators.gan.presets": "tiny"}, "generators.gan.presets", 'did you mean "preset"?'),
    ({"generators.gan.overrides.stpes": 5}, "generators.gan.overrides.stpes", 'did you mean "steps"?'),
    ({"generators.gan.steps": 5}, "generators.gan.steps", "there is generators.NAME.overrides.steps"),
    ({"replication.sampels": 5}, "replication.sampels", 'did you mean "samples"?'),
    ({"replication.datasets.drawn.size": [4]}, "replication.datasets.drawn.size", 'did you mean "sizes"?'),
    ({"replication.thresholds.0.quantile": 0.1}, "replication.thresholds.0.quantile", "calibrated, rms"),
    ({"complexity.neighbors": [5, 9]}, "complexity.neighbors", 'did you mean "neighbours"?'),
    ({"samples": {"mine": {**SAMPLES["elsewhere"], "resolution": 32}}}, "samples.mine.resolution", "no such key"),
    # Audits
    (
        {"samples": SAMPLES, "audit": {"datasets": {"drawn": {"samples": ["owm"]}}}},
        "audit.datasets.drawn.samples",
        '"owm" is not defined under `samples`; did you mean "own"?',
    ),
    (
        {"samples.own": {**SAMPLES["own"], "generator": "gam"}, "audit": {"datasets": {"drawn": {"samples": ["own"]}}}},
        "samples.own.generator",
        '"gam" is not defined under `generators`; did you mean "gan"?',
    ),
    (
        {"samples.own": {**SAMPLES["own"], "size": 1501}, "audit": {"datasets": {"drawn": {"samples": ["own"]}}}},
        "samples.own.size",
        "expected at most 1500",
    ),
    (
        {"samples": SAMPLES, "audit": AUDIT | {"spaces": ["pixel+inception"]}},
        "audit.spaces",
        "is joint, expected the names",
    ),
    ({"samples": SAMPLES, "audit": {"datasets": {"drwan": {"samples": ["own"]}}}}, "audit.datasets.drwan", "drawn"),
    # What is missing
    ({"datasets": GONE}, "datasets", "missing, expected a mapping of names (data sets by name)"),
    ({"generators": GONE}, "replication.generators", '"gan" is not defined under `generators`'),
    (
        {"replication": GONE},
        "the config",
        "nothing to do, expected data sets under at least one",
    ),
    ({"replication.datasets": GONE}, "replication.datasets", "missing"),
    ({"replication.datasets": {}}, "the config", "nothing to do"),
    ({"replication.generators": GONE}, "replication.generators", "missing, expected a list"),
    ({"replication.datasets.drawn.sizes": GONE}, "replication.datasets.drawn.sizes", "missing, expected a list"),
    ({"datasets.drawn.resolution": GONE}, "datasets.drawn.resolution", "missing, expected a whole number from 8 to"),
    ({"datasets.drawn.count": GONE}, "datasets.drawn.count", "missing"),
    ({"datasets.photos.path": GONE}, "datasets.photos.path", "missing, expected a path"),
    ({"datasets.photos.source": GONE}, "datasets.photos.source", "missing, expected one of idx, imagefolder"),
    ({"generators.gan.family": GONE}, "generators.gan.family", "missing, expected one of biggan"),
    ({"generators.gan.preset": GONE}, "generators.gan.preset", "missing, expected one of tiny, small, paper"),
    # Types, strictly
    ({"datasets": []}, "datasets", "[] given, expected a mapping of names"),
    ({"datasets.drawn": 5}, "datasets.drawn", "5 given, expected a mapping"),
    ({"datasets.drawn.resolution": "16"}, "datasets.drawn.resolution", "write 16 without quotes"),
    ({"datasets.drawn.resolution": 16.0}, "datasets.drawn.resolution", "16.0 given, expected a whole number"),
    ({"datasets.drawn.resolution": True}, "datasets.drawn.resolution", "true given, expected a whole number"),
    ({"datasets.drawn.resolution": None}, "datasets.drawn.resolution", "null given"),
    ({"datasets.photos.path": 5}, "datasets.photos.path", "5 given, expected a path"),
    ({"datasets.photos.superclasses": ["a"]}, "datasets.photos.superclasses", "expected a mapping of names"),
    ({"datasets.photos.superclasses": {"a": "b"}}, "datasets.photos.superclasses.a", "expected a list"),
    ({"generators.gan.overrides": [5]}, "generators.gan.overrides", "[5] given"),
    ({"generators.gan.overrides.steps": 5.5}, "generators.gan.overrides.steps", "expected a whole number at least 1"),
    ({"generators.gan.overrides.steps": True}, "generators.gan.overrides.steps", "true given"),
    ({"generators.gan.overrides.compile": 1}, "generators.gan.overrides.compile", "expected true or false"),
    ({"generators.gan.overrides.generator_lr": "1e-5"}, "generators.gan.overrides.generator_lr", "write 1.0e-05"),
    ({"replication.samples": "1e3"}, "replication.samples", "write 1000 without quotes"),
    ({"replication.generators": "gan"}, "replication.generators", '"gan" given, expected a list'),
    ({"replication.seeds": 0}, "replication.seeds", "0 given, expected a list of at least 1, each a whole number"),
    ({"replication.seeds": [0, "1"]}, "replication.seeds.1", "write 1 without quotes"),
    ({"replication.thresholds": {"rms": 0.1}}, "replication.thresholds", "expected a list"),
    ({"replication.thresholds.1": 0.1}, "replication.thresholds.1", "expected one of the keys calibrated, rms"),
    ({"replication.thresholds.1.rms": [0.1]}, "replication.thresholds.1.rms", "expected a number above 0"),
    ({"complexity.neighbours": 10}, "complexity.neighbours", "expected a list of 2"),
    ({"complexity": 10}, "complexity", "expected a mapping"),
    # Ranges
    ({"datasets": {}}, "datasets", "{} given"),
    ({"datasets.drawn.resolution": 7}, "datasets.drawn.resolution", "7 given, expected a whole number from 8 to 512"),
    ({"datasets.drawn.resolution": 1024}, "datasets.drawn.resolution", "from 8 to 512"),
    ({"datasets.drawn.held_out": -1}, "datasets.drawn.held_out", "from 0 to 100 000 000"),
    ({"datasets.drawn.color": "gray"}, "datasets.drawn.color", 'one of grey, rgb; did you mean "grey"?'),
    ({"datasets.drawn.fit": "stretch"}, "datasets.drawn.fit", "one of crop, pad"),
    ({"datasets.drawn.on_bad_image": "ignore"}, "datasets.drawn.on_bad_image", "one of stop, skip"),
    ({"datasets.drawn.subsets": "even"}, "datasets.drawn.subsets", "one of balanced, random"),
    ({"datasets.drawn.source": "sprite"}, "datasets.drawn.source", 'did you mean "sprites"?'),
    ({"datasets.drawn.source": ["npy"]}, "datasets.drawn.source", '["npy"] given, expected one of'),
    ({"datasets.drawn.factors": 7}, "datasets.drawn.factors", "from 1 to 6"),
    ({"datasets.drawn.classes": 0}, "datasets.drawn.classes", "from 1 to 4"),
    ({"datasets.drawn.count": 10**12}, "datasets.drawn.count", "from 1 to 100 000 000"),
    ({"datasets.drawn.seed": -1}, "datasets.drawn.seed", "-1 given"),
    ({"datasets.photos.path": ""}, "datasets.photos.path", '"" given, expected a path'),
    ({"datasets.photos.path": "   "}, "datasets.photos.path", "expected a path"),
    ({"datasets.photos.path": "a\x00b"}, "datasets.photos.path", '"a\\u0000b" given, expected a path'),
    ({"datasets.photos.tree": "deep"}, "datasets.photos.tree", "one of auto, flat, classes, supers"),
    ({"datasets.photos.superclasses": {"a": []}}, "datasets.photos.superclasses.a", "a list of at least 1"),
    ({"datasets.x": {"source": "shipped", "name": "mnist", "resolution": 16}}, "datasets.x.name", "fashion-mnist-test"),
    ({"datasets.x": {**IMAGES, "labels": ""}}, "datasets.x.labels", "expected a path"),
    (
        {"datasets.x": {"source": "torchvision", "name": "os.system", "root": "r", "resolution": 16}},
        "datasets.x.name",
        "the name of a Python class",
    ),
    (
        {"datasets.x": {"source": "torchvision", "name": "SVHN", "root": "r", "splits": [], "resolution": 16}},
        "datasets.x.splits",
        "a list of at least 1",
    ),
    ({"generators.gan.family": "bigan"}, "generators.gan.family", 'did you mean "biggan"?'),
    ({"generators.gan.preset": "huge"}, "generators.gan.preset", "one of tiny, small, paper"),
    ({"generators.gan.overrides.steps": 0}, "generators.gan.overrides.steps", "at least 1"),
    ({"generators.gan.overrides.generator_lr": 0}, "generators.gan.overrides.generator_lr", "above 0"),
    ({"generators.gan.overrides.generator_lr": float("inf")}, "generators.gan.overrides.generator_lr", "Infinity"),
    ({"generators.gan.overrides.adam_beta1": 1.0}, "generators.gan.overrides.adam_beta1", "at least 0 and below 1"),
    ({"generators.gan.overrides.precision": "float16"}, "generators.gan.overrides.precision", "bfloat16"),
    ({"replication.datasets.drawn.sizes": []}, "replication.datasets.drawn.sizes", "[] given"),
    ({"replication.datasets.drawn.sizes": [1, 64]}, "replication.datasets.drawn.sizes.0", "from 2 to"),
    ({"replication.generators": []}, "replication.generators", "a list of at least 1"),
    ({"replication.seeds": []}, "replication.seeds", "a list of at least 1"),
    ({"replication.seeds": [-1]}, "replication.seeds.0", "-1 given"),
    ({"replication.seeds": [2**31]}, "replication.seeds.0", "2147483648 given"),
    ({"replication.samples": 0}, "replication.samples", "from 1 to"),
    ({"replication.spaces": ["pixels"]}, "replication.spaces", '"pixels" is not defined under `spaces`; did you mean'),
    ({"spaces.x": {"kind": "joint", "parts": ["pixel", "y"]}}, "spaces.x.parts", '"y" is not defined under `spaces`'),
    ({"spaces.x": {"kind": "joint", "parts": ["pixel", "pixel+inception"]}}, "spaces.x.parts", "is itself joint"),
    ({"spaces.x": {"kind": "torchvision", "model": "resnet50", "sha256": "abc"}}, "spaces.x.sha256", "64 hexadecimal"),
    ({"spaces.pixel": {"kind": "simclr"}}, "spaces.pixel", "expected pixel, or another name"),
    (
        {"spaces.x": {"kind": "simclr", "overrides": {"stepps": 5}}},
        "spaces.x.overrides.stepps",
        'did you mean "steps"?',
    ),
    (
        {"replication.spaces": ["pixel", "simclr"], "replication.thresholds": [{"rms": 0.1}]},
        "replication.thresholds",
        "expected a `calibrated` one",
    ),
    ({"similarity": {"datasets": ["drawm"]}}, "similarity.datasets", 'did you mean "drawn"?'),
    ({"similarity": {"datasets": ["drawn"], "resolution": 10}}, "similarity.resolution", "from 11 to 512"),
    ({"rebalancing": REBALANCING | {"generators": ["gan"]}}, "rebalancing.generators", "expected `conditional: true`"),
    ({"rebalancing": REBALANCING | {"datasets": ["photo"]}}, "rebalancing.datasets", 'did you mean "photos"?'),
    ({"rebalancing": REBALANCING}, "rebalancing.datasets", "expected it under similarity.datasets"),
    (
        {"rebalancing": REBALANCING | {"imbalance": {"profile": "linear"}}},
        "rebalancing.imbalance.profile",
        "exponential",
    ),
    (
        {"rebalancing": REBALANCING | {"imbalance": {"profile": "exponential", "largest": 20, "ratio": 50.0}}},
        "rebalancing.imbalance",
        "would keep no image",
    ),
    (
        {"rebalancing": REBALANCING | {"classifier": {"preset": "tiny", "overrides": {"augmentation": "weakest"}}}},
        "rebalancing.classifier.overrides.augmentation",
        "none, weak, strong, stronger",
    ),
    ({"distillation": DISTILLATION | {"ensembles": [["weakk"]]}}, "distillation.ensembles", 'did you mean "weak"?'),
    ({"distillation": DISTILLATION | {"ensembles": [["own", "own"]]}}, "distillation.ensembles", "listed 2 times"),
    (
        {"distillation": DISTILLATION | {"checkpoints": {"weak": DISTILLATION["checkpoints"]["own"]}}},
        "distillation.checkpoints.weak",
        "expected another name",
    ),
    (
        {"distillation": DISTILLATION | {"teacher": {"overrides": {"architecture": "vgg11"}}}},
        "distillation.attention.method",
        "expected grad_cam, since the teacher's network vgg11",
    ),
    ({"replication.thresholds": []}, "replication.thresholds", "a list of at least 1"),
    ({"replication.thresholds.0": {}}, "replication.thresholds.0", "one of the keys calibrated, rms"),
    ({"replication.thresholds.0.rms": 0.1}, "replication.thresholds.0", "one of the keys calibrated, rms"),
    ({"replication.thresholds.0.calibrated": 1}, "replication.thresholds.0.calibrated", "above 0 and below 1"),
    ({"replication.thresholds.0.calibrated": 0}, "replication.thresholds.0.calibrated", "above 0 and below 1"),
    ({"replication.thresholds.1.rms": 1.5}, "replication.thresholds.1.rms", "above 0 and at most 1"),
    ({"replication.thresholds.1.rms": float("nan")}, "replication.thresholds.1.rms", "NaN given"),
    ({"replication.wanted_percentage": 0}, "replication.wanted_percentage", "above 0 and at most 100"),
    ({"replication.wanted_percentage": 101}, "replication.wanted_percentage", "above 0 and at most 100"),
    ({"complexity.neighbours": [5]}, "complexity.neighbours", "a list of 2"),
    ({"complexity.neighbours": [2, 5]}, "complexity.neighbours.0", "2 given, expected a whole number from 3"),
    ({"complexity.resamples": 0}, "complexity.resamples", "from 10 to 100 000"),
    ({"complexity.resolution": 1}, "complexity.resolution", "from 4 to 512"),
    # Names
    ({"datasets.Photos": study()["datasets"]["photos"]}, "datasets.Photos", "a name of small letters, digits"),
    ({"datasets.-x": study()["datasets"]["photos"]}, "datasets.-x", "a name of small letters, digits"),
    ({"datasets.$(ls)": study()["datasets"]["photos"]}, "datasets.$(ls)", "a name of small letters, digits"),
    ({"generators.a/": study()["generators"]["gan"]}, "generators.a/", "a name of small letters, digits"),
    ({f"generators.{'a' * 41}": study()["generators"]["gan"]}, f"generators.{'a' * 41}", "at most 40"),
    ({"replication.generators": ["../gan"]}, "replication.generators.0", "a name of small letters, digits"),
    # Contradictions
    ({"replication.datasets.drwan": {"sizes": [32]}}, "replication.datasets.drwan", 'did you mean "drawn"?'),
    ({"replication.generators": ["gam"]}, "replication.generators", '"gam" is not defined under `generators`; did you'),
    ({"replication.generators": ["diffusion"]}, "replication.generators", "known are class-gan, gan, large-gan"),
    ({"replication.generators": ["gan", "gan"]}, "replication.generators", '"gan" is listed 2 times'),
    ({"replication.seeds": [1, 0, 1]}, "replication.seeds", "1 is listed 2 times"),
    ({"replication.spaces": ["pixel", "pixel"]}, "replication.spaces", '"pixel" is listed 2 times'),
    ({"replication.thresholds": [{"rms": 0.1}, {"rms": 0.1}]}, "replication.thresholds", "rms-0.1 is listed 2"),
    ({"replication.thresholds": [{"rms": 0.1}, {"rms": 0.1 + 1e-9}]}, "replication.thresholds", "rms-0.1 is listed"),
    ({"replication.datasets.drawn.sizes": [64, 32]}, "replication.datasets.drawn.sizes", "rising order"),
    ({"replication.datasets.drawn.sizes": [32, 32]}, "replication.datasets.drawn.sizes", "each size once"),
    ({"replication.datasets.drawn.sizes": [1501]}, "replication.datasets.drawn.sizes", "expected at most 1500"),
    ({"replication.datasets.drawn.sizes": [8]}, "replication.datasets.drawn.sizes", "expected more than 10"),
    ({"datasets.drawn.held_out": 2000}, "datasets.drawn.held_out", "expected less than the 2000 images"),
    (
        {"datasets.drawn.held_out": 99},
        "datasets.drawn.held_out",
        "expected at least 100: the threshold calibrated-0.01",
    ),
    ({"datasets.photos.held_out": GONE}, "datasets.photos.held_out", "0 given, expected at least 100"),
    ({"datasets.drawn.resolution": 24}, "datasets.drawn.resolution", "power of two from 8 to 256"),
    ({"datasets.photos.resolution": 48}, "datasets.photos.resolution", 'for the generator "large-gan" (biggan, paper)'),
    ({"datasets.photos.resolution": 512}, "datasets.photos.resolution", "power of two from 8 to 256"),
    ({"complexity.neighbours": [20, 10]}, "complexity.neighbours", "expected the second number to be no smaller"),
    ({"generators.gan.overrides.accumulate": 3}, "generators.gan.overrides.batch", "32 given, expected a multiple of"),
    ({"generators.gan.overrides.width": 1}, "generators.gan.overrides.width", "1 given, expected at least `bottlen"),
    ({"generators.gan.overrides.attention_at": 12}, "generators.gan.overrides.attention_at", "power of two"),
    (
        {"generators.gan": {**STYLE, "overrides": {"transition": [9, 5], "conditional": True}}},
        "generators.gan.overrides.transition",
        "[9, 5] given, expected the second number to be at least the first",
    ),
    (
        {"generators.gan": {**STYLE, "overrides": {"transition": [5, 9]}}},
        "generators.gan.overrides.transition",
        "expected `conditional: true`",
    ),
    (
        {"generators.gan": {**STYLE, "overrides": {"transition": [5, "9"], "conditional": True}}},
        "generators.gan.overrides.transition.1",
        "write 9 without quotes",
    ),
    (
        {"generators.gan": {**STYLE, "overrides": {"channels": 24}}},
        "datasets.photos.resolution",
        "32 given, expected at most 24 (its `channels`)",
    ),
    ({"datasets.x": {**IMAGES, "subsets": "balanced"}}, "datasets.x.subsets", "no classes (labels: null)"),
    (
        {"datasets.photos.tree": "flat", "datasets.photos.subsets": "balanced"},
        "datasets.photos.subsets",
        "no classes (tree: flat)",
    ),
    ({"datasets.x": {**IMAGES, "superclasses": {"a": ["1"]}}}, "datasets.x.superclasses", "expected null"),
    ({"datasets.photos.superclasses": {"a": ["1"], "b": ["1"]}}, "datasets.photos.superclasses", '"1" is listed 2'),
    ({"datasets.drawn.superclasses": {"a": ["elipse", "rectangle"]}}, "datasets.drawn.superclasses", '"ellipse"?'),
    ({"datasets.drawn.superclasses": {"a": ["ellipse"]}}, "datasets.drawn.superclasses", '"rectangle" missing'),
    (
        {"datasets.x": {"source": "torchvision", "name": "SVHN", "root": "r", "splits": ["a", "a"], "resolution": 16}},
        "datasets.x.splits",
        '"a" is listed 2 times',
    ),
    (
        {
            "datasets.x": {"source": "shipped", "name": "fashion-mnist-test", "resolution": 16, "held_out": 2000},
            "replication.datasets.x": {"sizes": [8001]},
        },
        "replication.datasets.x.sizes",
        "8001 is too large, expected at most 8000",
    ),
]


def test_the_base_of_the_wrong_configs_is_right() -> None:
    validate(study())


@pytest.mark.parametrize(
    ("changes", "place", "message"), WRONG, ids=[f"{place}-{i}" for i, (_, place, _) in enumerate(WRONG)]
)
def test_what_is_wrong_is_named_with_its_key_path_and_nowhere_else(
    changes: dict[str, Any], place: str, message: str
) -> None:
    """No consequence of a mistake is listed beside it, except where the mistake concerns both keys."""
    lines = problems(changed(changes))
    assert any(message in line for line in lines if line.startswith(f"{place}: ")), lines
    top = tuple(place.split(".")[:2])
    related = {"datasets": ("replication", "datasets"), "generators": ("replication", "generators")}
    for line in lines:
        where = tuple(line.split(":")[0].split("."))
        assert where[:2] == top or where[:2] == related.get(top[0]) or where[:1] == top[:1] != ("replication",), lines


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


# Anything at all ------------------------------------------------------------------------------------------------------

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


@settings(deadline=None, max_examples=40)
@given(JUNK)
def test_junk_is_bad_input(config: Any) -> None:
    assert not accepted(config)


@settings(deadline=None, max_examples=80)
@given(damaged_studies())
def test_a_damaged_study_is_right_or_bad_input(config: dict[str, Any]) -> None:
    if accepted(config):
        SCHEMA.validate(config)


# What is written from the models --------------------------------------------------------------------------------------


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


def test_checking_a_config_does_not_import_torch() -> None:
    code = "import sys; import workflow_scripts.config.validation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
