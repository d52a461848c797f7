"""What every source of images is: a number of images that are read one by one, from several threads."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from workflow_scripts.core.errors import InputError

UNKNOWN_LICENCE = "unknown: the source does not say"
HELD_OUT = "held-out/"  # before the origin of the user's own held-out images
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Source:
    """A collection of images that can be read one by one; nothing is decoded before it is asked for.

    read: i -> (image as PIL image, label), where the label is an index into `classes` or -1. It may raise any exception
    for an image that cannot be decoded. origin: i -> where image i comes from, for people, always valid UTF-8.
    block: (start, stop) -> (uint8 (n, H, W, C), labels (n,)), for sources whose images are of one size already.
    left_out: names by kind of what is no image. notes: what was converted or looks odd, a sentence each.
    held_out: images from this one on are the user's own held-out images; None: there are none.
    """

    name: str
    count: int
    classes: list[str]
    read: Callable[[int], tuple[Image.Image, int]]
    origin: Callable[[int], str]
    licence: str = UNKNOWN_LICENCE
    superclasses: dict[str, list[str]] = field(default_factory=dict)
    block: Callable[[int, int], tuple[np.ndarray, np.ndarray]] | None = None
    left_out: dict[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    held_out: int | None = None


def require(path: Path, what: str) -> Path:
    """`path` if it is there, else an InputError that says what to put where."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; put {what} there, or correct the path in the config")
    return path


def printable(name: str) -> str:
    """A name as valid UTF-8 on one line: other bytes, and control characters, are escaped, `caf\\xe9.jpg`."""
    return _UNPRINTABLE.sub(_escaped, name)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    code -= 0xDC00 if 0xDC80 <= code <= 0xDCFF else 0  # how Python keeps a byte of a name that is not UTF-8
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def reason(cause: Exception) -> str:
    """Why a decoder gave up, in its own words; of a file within an archive it knows an address in memory only."""
    words = printable(" ".join(str(cause).split()))
    return re.sub(r" <_io\.\w+ object at 0x[0-9a-f]+>", "", words) or type(cause).__name__


def twin_notes(classes: Sequence[str]) -> tuple[str, ...]:
    """A note of classes whose names differ only in large letters, the code of an accent, or spaces at the ends."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(unicodedata.normalize("NFKC", name).casefold().strip(), []).append(name)
    twins = [", ".join(map(repr, names)) for names in alike.values() if len(names) > 1]
    if not twins:
        return ()
    return (f"classes of nearly the same name count as several: {'; '.join(twins)}; if they are one, rename them",)


def with_held_out(source: Source, held_out: Source) -> Source:
    """One source of both: the images of `held_out` come last and are marked.

    Raises InputError if they have classes that the source lacks, or only one of the two has classes.
    """
    unknown = [name for name in held_out.classes if name not in source.classes]
    if unknown or bool(source.classes) != bool(held_out.classes):
        raise InputError(
            f"held_out_path: {held_out.name} has the classes {', '.join(held_out.classes) or '(none)'}, "
            f"expected some of those of {source.name}: {', '.join(source.classes) or '(none)'}"
        )
    codes = np.array([*(source.classes.index(name) for name in held_out.classes), -1])  # the last one: unlabelled

    def read(i: int) -> tuple[Image.Image, int]:
        if i < source.count:
            return source.read(i)
        image, label = held_out.read(i - source.count)
        return image, int(codes[label])

    def origin(i: int) -> str:
        return source.origin(i) if i < source.count else HELD_OUT + held_out.origin(i - source.count)

    kinds = dict.fromkeys([*source.left_out, *held_out.left_out])
    return replace(
        source,
        count=source.count + held_out.count,
        read=read,
        origin=origin,
        block=None,
        left_out={kind: source.left_out.get(kind, []) + held_out.left_out.get(kind, []) for kind in kinds},
        notes=(*source.notes, *held_out.notes),
        held_out=source.count,
    )
