"""The section `similarity`."""

from tests.config.studies import Wrong, named

WRONG: Wrong = [
    ({"similarity": {"datasets": ["drawm"]}}, "similarity.datasets", 'did you mean "drawn"?'),
    ({"similarity": {"datasets": ["drawn"], "resolution": 10}}, "similarity.resolution", "from 11 to 512"),
]

test_what_is_wrong_is_named = named(WRONG)
