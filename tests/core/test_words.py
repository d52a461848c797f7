"""Numbers, durations and names in sentences."""

import pytest

from workflow_scripts.core.words import duration, listed


@pytest.mark.parametrize(
    ("words", "said"),
    [(["a"], "a"), (["a", "b"], "a and b"), ([8, 16, 1024], "8, 16 and 1,024"), (iter("abc"), "a, b and c")],
)
def test_words_are_listed_as_in_a_sentence(words: list[object], said: str) -> None:
    assert listed(words) == said


def test_a_duration_has_the_unit_of_its_size() -> None:
    assert [duration(s) for s in (20, 600, 7200, 200_000)] == ["20 s", "10 min", "2.0 h", "2.3 days"]
