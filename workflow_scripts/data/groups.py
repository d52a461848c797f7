"""Groups of images that belong together, such as those of one patient or scene: from a table or from their names."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.source import HELD_OUT, require


def groups_of(origins: Sequence[str], table: str | None, pattern: str | None) -> np.ndarray:
    """The group of each image, int32 (N,), numbered by first appearance; without table and pattern, each is its own.

    table: a CSV file, by commas, semicolons or tabs, whose first two columns are an image's name and its group.
    pattern: a regular expression that is searched for in the name: its first parenthesis, or all that it matches, is
    the group. Raises InputError for an image that has none.
    """
    if table is None and pattern is None:
        return np.arange(len(origins), dtype=np.int32)
    names = _from_table(origins, Path(table)) if table is not None else _from_pattern(origins, pattern or "")
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int32)


def _from_pattern(origins: Sequence[str], pattern: str) -> list[str]:
    names = []
    for origin in origins:
        if (match := re.search(pattern, origin)) is None:
            raise InputError(f"group_pattern: {pattern!r} matches nothing in {origin!r}; correct it")
        if not (name := match.group(1) if match.re.groups else match.group()):
            raise InputError(f"group_pattern: {pattern!r} gives no group to {origin!r}; correct it")
        names.append(name)
    return names


def _from_table(origins: Sequence[str], path: Path) -> list[str]:
    require(path, "the table of groups")
    try:
        with open(path, newline="", encoding="utf-8-sig") as handle:
            start, first = 0, handle.readline()
            if first.startswith("sep="):  # Excel's own first line
                start, first = handle.tell(), handle.readline()
            handle.seek(start)
            rows = csv.reader(handle, delimiter=max(",;\t", key=first.count))
            cells = [(row[0].strip().replace("\\", "/"), row[1].strip()) for row in rows if len(row) >= 2 and any(row)]
            named = [(name.removeprefix("./"), group) for name, group in cells]
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise InputError(f"{path}: not a readable CSV file ({cause}); save it as UTF-8") from cause
    table = dict(named)
    if twice := [f"{name} ({group}, then {table[name]})" for name, group in named if table[name] != group]:
        raise InputError(
            f"{path}: gives two groups to {len(twice)} names, such as {twice[0]}; expected one row for each"
        )
    if nameless := [name for name, group in named if not group]:
        raise InputError(f"{path}: gives no group to {len(nameless)} names, such as {nameless[0]}; complete it")
    last: dict[str, set[str]] = {}  # groups by the last part of the names, which may be paths of another machine
    for name, group in named:
        last.setdefault(name.rsplit("/", 1)[-1], set()).add(group)
    table = {name: next(iter(groups)) for name, groups in last.items() if len(groups) == 1} | table
    keys = [_key(table, origin) for origin in origins]
    missing = [origin for origin, key in zip(origins, keys, strict=True) if key is None]
    if missing:
        raise InputError(
            f"{path}: names no group of {missing[0]} ({len(missing)} of {len(origins)} images are missing); expected "
            f"rows of an image's path and its group{f', found {named[-1][0]}, {named[-1][1]}' if named else ''}"
        )
    matched = [key for key in keys if key is not None]
    training = {key for key, origin in zip(matched, origins, strict=True) if not origin.startswith(HELD_OUT)}
    if both := [o for key, o in zip(matched, origins, strict=True) if key in training and o.startswith(HELD_OUT)]:
        raise InputError(
            f"{path}: its row {_key(table, both[0])} fits a training image and {both[0]}, a held-out one "
            f"({len(both)} rows are such); add a row that begins with {HELD_OUT} for each held-out image of that name"
        )
    return [table[key] for key in matched]


def _key(table: dict[str, str], origin: str) -> str | None:
    """Its row: of the whole path (of held-out images with or without `held-out/` before it), the name, or its stem."""
    path, name = origin.removeprefix(HELD_OUT), origin.rsplit("/", 1)[-1]
    return next((key for key in (origin, path, name, name.rsplit(".", 1)[0]) if key in table), None)
