"""Numbers and names in sentences."""

from collections.abc import Iterable


def listed(words: Iterable[object]) -> str:
    """`a`, `a and b`, or `a, b and c`; whole numbers with commas. Of at least one word."""
    *first, last = (f"{word:,}" if isinstance(word, int) else str(word) for word in words)
    return f"{', '.join(first)} and {last}" if first else last
