"""The section `rebalancing`."""

from tests.config.studies import Wrong, named

REBALANCING = {
    "datasets": ["drawn"],
    "generators": ["class-gan"],
    "imbalance": {"profile": "exponential", "largest": 20, "ratio": 4.0},
}
WRONG: Wrong = [
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
]

test_what_is_wrong_is_named = named(WRONG)
