"""The section `audit`."""

from tests.config.studies import SAMPLES, Wrong, named

AUDIT = {"datasets": {"drawn": {"samples": ["elsewhere", "own"]}}}
WRONG: Wrong = [
    (
        {"samples": SAMPLES, "audit": {"datasets": {"drawn": {"samples": ["owm"]}}}},
        "audit.datasets.drawn.samples",
        '"owm" is not defined under `samples`; did you mean "own"?',
    ),
    (
        {"samples": SAMPLES, "audit": AUDIT | {"spaces": ["pixel+inception"]}},
        "audit.spaces",
        "is joint, expected the names",
    ),
    ({"samples": SAMPLES, "audit": {"datasets": {"drwan": {"samples": ["own"]}}}}, "audit.datasets.drwan", "drawn"),
]

test_what_is_wrong_is_named = named(WRONG)
