"""Numbers and names in sentences."""

import pytest

from workflow_scripts.core.words import listed


@pytest.mark.parametrize(
    ("words", "said"),
    [(["a"], "a"), (["a", "b"], "a and b"), ([8, 16, 1024], "8, 16 and 1,024"), (iter("abc"), "a, b and c")],
)
def test_words_are_listed_as_in_a_sentence(words: list[object], said: str) -> None:
    assert listed(words) == said
