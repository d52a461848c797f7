"""The section `replication`."""

import pytest

from tests.config.studies import GONE, Wrong, changed, named, problems
from workflow_scripts.config.validation import validate
from workflow_scripts.replication.thresholds import threshold_label

WRONG: Wrong = [
    ({"replication.sampels": 5}, "replication.sampels", 'did you mean "samples"?'),
    ({"replication.datasets.drawn.size": [4]}, "replication.datasets.drawn.size", 'did you mean "sizes"?'),
    ({"replication.thresholds.0.quantile": 0.1}, "replication.thresholds.0.quantile", "calibrated, rms"),
    ({"generators": GONE}, "replication.generators", '"gan" is not defined under `generators`'),
    ({"replication.datasets": GONE}, "replication.datasets", "missing"),
    ({"replication.generators": GONE}, "replication.generators", "missing, expected a list"),
    ({"replication.datasets.drawn.sizes": GONE}, "replication.datasets.drawn.sizes", "missing, expected a list"),
    ({"replication.samples": "1e3"}, "replication.samples", "write 1000 without quotes"),
    ({"replication.generators": "gan"}, "replication.generators", '"gan" given, expected a list'),
    ({"replication.seeds": 0}, "replication.seeds", "0 given, expected a list of at least 1, each a whole number"),
    ({"replication.seeds": [0, "1"]}, "replication.seeds.1", "write 1 without quotes"),
    ({"replication.thresholds": {"rms": 0.1}}, "replication.thresholds", "expected a list"),
    ({"replication.thresholds.1": 0.1}, "replication.thresholds.1", "expected one of the keys calibrated, rms"),
    ({"replication.thresholds.1.rms": [0.1]}, "replication.thresholds.1.rms", "expected a number above 0"),
    ({"replication.datasets.drawn.sizes": []}, "replication.datasets.drawn.sizes", "[] given"),
    ({"replication.datasets.drawn.sizes": [1, 64]}, "replication.datasets.drawn.sizes.0", "from 2 to"),
    ({"replication.generators": []}, "replication.generators", "a list of at least 1"),
    ({"replication.seeds": []}, "replication.seeds", "a list of at least 1"),
    ({"replication.seeds": [-1]}, "replication.seeds.0", "-1 given"),
    ({"replication.seeds": [2**31]}, "replication.seeds.0", "2147483648 given"),
    ({"replication.samples": 0}, "replication.samples", "from 1 to"),
    ({"replication.spaces": ["pixels"]}, "replication.spaces", '"pixels" is not defined under `spaces`; did you mean'),
    (
        {"replication.spaces": ["pixel", "simclr"], "replication.thresholds": [{"rms": 0.1}]},
        "replication.thresholds",
        "expected a `calibrated` one",
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
    ({"replication.generators": ["../gan"]}, "replication.generators.0", "a name of small letters, digits"),
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
    (
        {
            "datasets.x": {"source": "shipped", "name": "fashion-mnist-test", "resolution": 16, "held_out": 2000},
            "replication.datasets.x": {"sizes": [8001]},
        },
        "replication.datasets.x.sizes",
        "8001 is too large, expected at most 8000",
    ),
]

test_what_is_wrong_is_named = named(WRONG)


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
