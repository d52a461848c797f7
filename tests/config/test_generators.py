"""The section `generators`."""

from tests.config.studies import GONE, Wrong, named, study

STYLE = {"family": "stylegan2", "preset": "tiny"}
WRONG: Wrong = [
    ({"generators.gan.presets": "tiny"}, "generators.gan.presets", 'did you mean "preset"?'),
    ({"generators.gan.overrides.stpes": 5}, "generators.gan.overrides.stpes", 'did you mean "steps"?'),
    ({"generators.gan.steps": 5}, "generators.gan.steps", "there is generators.NAME.overrides.steps"),
    ({"generators.gan.family": GONE}, "generators.gan.family", "missing, expected one of biggan"),
    ({"generators.gan.preset": GONE}, "generators.gan.preset", "missing, expected one of tiny, small, paper"),
    ({"generators.gan.overrides": [5]}, "generators.gan.overrides", "[5] given"),
    ({"generators.gan.overrides.steps": 5.5}, "generators.gan.overrides.steps", "expected a whole number at least 1"),
    ({"generators.gan.overrides.steps": True}, "generators.gan.overrides.steps", "true given"),
    ({"generators.gan.overrides.compile": 1}, "generators.gan.overrides.compile", "expected true or false"),
    ({"generators.gan.overrides.generator_lr": "1e-5"}, "generators.gan.overrides.generator_lr", "write 1.0e-05"),
    ({"generators.gan.family": "bigan"}, "generators.gan.family", 'did you mean "biggan"?'),
    ({"generators.gan.preset": "huge"}, "generators.gan.preset", "one of tiny, small, paper"),
    ({"generators.gan.overrides.steps": 0}, "generators.gan.overrides.steps", "at least 1"),
    ({"generators.gan.overrides.generator_lr": 0}, "generators.gan.overrides.generator_lr", "above 0"),
    ({"generators.gan.overrides.generator_lr": float("inf")}, "generators.gan.overrides.generator_lr", "Infinity"),
    ({"generators.gan.overrides.adam_beta1": 1.0}, "generators.gan.overrides.adam_beta1", "at least 0 and below 1"),
    ({"generators.gan.overrides.precision": "float16"}, "generators.gan.overrides.precision", "bfloat16"),
    ({"generators.a/": study()["generators"]["gan"]}, "generators.a/", "a name of small letters, digits"),
    ({f"generators.{'a' * 41}": study()["generators"]["gan"]}, f"generators.{'a' * 41}", "at most 40"),
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
]

test_what_is_wrong_is_named = named(WRONG)
