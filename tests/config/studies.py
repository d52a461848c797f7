"""A config that uses every section, changes of it, and how a wrong one is told: for the tests of all sections."""

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from workflow_scripts.config.models import schema
from workflow_scripts.config.types import ROOT
from workflow_scripts.config.validation import validate
from workflow_scripts.core.errors import InputError

DISTILLATION = {
    "datasets": ["drawn"],
    "checkpoints": {"own": {"architecture": "resnet18", "weights": "/data/own.pth"}},
    "ensembles": [["own", "weak"]],
}
SAMPLES = {
    "elsewhere": {"source": "npz", "path": "/data/samples.npz", "images_key": "arr_0"},
    "own": {"source": "generator", "generator": "gan", "size": 64, "seed": 1},
}
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "config").glob("*.yaml"))]
GONE = object()
SCHEMA = jsonschema.Draft202012Validator(schema().root)
Wrong = list[tuple[dict[str, Any], str, str]]  # what is changed in the study, the place that is named, words about it


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


def named(wrong: Wrong) -> Callable[[dict[str, Any], str, str], None]:
    """A test that each wrong study is named with its key path, and nowhere else."""

    @pytest.mark.parametrize(
        ("changes", "place", "message"), wrong, ids=[f"{place}-{i}" for i, (_, place, _) in enumerate(wrong)]
    )
    def test(changes: dict[str, Any], place: str, message: str) -> None:
        """No consequence of a mistake is listed beside it, except where the mistake concerns both keys."""
        lines = problems(changed(changes))
        assert any(message in line for line in lines if line.startswith(f"{place}: ")), lines
        top = tuple(place.split(".")[:2])
        related = {"datasets": ("replication", "datasets"), "generators": ("replication", "generators")}
        for line in lines:
            where = tuple(line.split(":")[0].split("."))
            same = where[:1] == top[:1] != ("replication",)
            assert same or where[:2] in (top, related.get(top[0])), lines

    return test
