"""The section `complexity`."""

from tests.config.studies import Wrong, named

WRONG: Wrong = [
    ({"complexity.neighbors": [5, 9]}, "complexity.neighbors", 'did you mean "neighbours"?'),
    ({"complexity.neighbours": 10}, "complexity.neighbours", "expected a list of 2"),
    ({"complexity": 10}, "complexity", "expected a mapping"),
    ({"complexity.neighbours": [5]}, "complexity.neighbours", "a list of 2"),
    ({"complexity.neighbours": [2, 5]}, "complexity.neighbours.0", "2 given, expected a whole number from 3"),
    ({"complexity.resamples": 0}, "complexity.resamples", "from 10 to 100 000"),
    ({"complexity.resolution": 1}, "complexity.resolution", "from 4 to 512"),
    ({"complexity.neighbours": [20, 10]}, "complexity.neighbours", "expected the second number to be no smaller"),
]

test_what_is_wrong_is_named = named(WRONG)
