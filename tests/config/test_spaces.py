"""The section `spaces`."""

from tests.config.studies import Wrong, named

WRONG: Wrong = [
    ({"spaces.x": {"kind": "joint", "parts": ["pixel", "y"]}}, "spaces.x.parts", '"y" is not defined under `spaces`'),
    ({"spaces.x": {"kind": "joint", "parts": ["pixel", "pixel+inception"]}}, "spaces.x.parts", "is itself joint"),
    ({"spaces.x": {"kind": "torchvision", "model": "resnet50", "sha256": "abc"}}, "spaces.x.sha256", "64 hexadecimal"),
    ({"spaces.pixel": {"kind": "simclr"}}, "spaces.pixel", "expected pixel, or another name"),
    (
        {"spaces.x": {"kind": "simclr", "overrides": {"stepps": 5}}},
        "spaces.x.overrides.stepps",
        'did you mean "steps"?',
    ),
]

test_what_is_wrong_is_named = named(WRONG)
