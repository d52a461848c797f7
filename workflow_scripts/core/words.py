"""Numbers, durations and names in sentences."""

from collections.abc import Iterable


def listed(words: Iterable[object]) -> str:
    """`a`, `a and b`, or `a, b and c`; whole numbers with commas. Of at least one word."""
    *first, last = (f"{word:,}" if isinstance(word, int) else str(word) for word in words)
    return f"{', '.join(first)} and {last}" if first else last


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`, `2.1 days`."""
    for limit, unit, name in ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.1f} {name}" if name == "h" else f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.1f} days"
