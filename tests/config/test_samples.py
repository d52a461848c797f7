"""The section `samples`."""

from tests.config.studies import SAMPLES, Wrong, named

WRONG: Wrong = [
    ({"samples": 5}, "samples", "5 given, expected a mapping of names"),
    ({"samples": {"mine": {**SAMPLES["elsewhere"], "resolution": 32}}}, "samples.mine.resolution", "no such key"),
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
]

test_what_is_wrong_is_named = named(WRONG)
