"""What is in a set of images: how many, how large, of which colours and classes, which are broken or repeated."""

import hashlib
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.config.datasets import SOURCES
from workflow_scripts.core.progress import progress
from workflow_scripts.data.decoding import Shape, fit_image, has_more_frames, is_deep, is_grey, is_transparent
from workflow_scripts.data.formats import orientation
from workflow_scripts.data.groups import groups_of
from workflow_scripts.data.packing import BLOCK, listing_of
from workflow_scripts.data.source import Source, reason
from workflow_scripts.data.sources import open_source
from workflow_scripts.data.survey import OUTLIERS, background_of, bits_in_use, bits_of, values_of
from workflow_scripts.study.recognition import INNERMOST, settings_for, unread_labels

MOST = 20_000  # images that are looked at; of more, a sample at even places
SIDE = 64  # px that an image is decoded to for it
GREY = 128  # level behind transparent parts, where dark and bright ones are seen


@dataclass
class Inspection:
    """A set of images.

    settings: how it is read, the keys of `datasets`. count: images; looked_at: of them, those that were opened.
    classes: images by class. sides: int (n, 2), width and height of the readable ones, turned as their EXIF says. grey,
    coloured: images whose files are grey, and that show a colour. limits: smallest and largest value by kind, `wide` or
    `bytes`. bits: how many of the wide values need each number of bits, as `bits_of` counts. groups: images of each
    group, empty if each image is its own. transparent: images that may have transparent parts. frames: images of which
    only the first frame or page is read. broken: reason by file. repeated: images that are equal to another one.
    left_out: names by kind of what is no image. seconds_an_image: what it took to open one, by all threads at once.
    """

    root: Path
    settings: dict[str, Any]
    count: int
    looked_at: int
    classes: dict[str, int]
    sides: np.ndarray
    grey: int
    coloured: int
    limits: dict[str, tuple[float, float]]
    transparent: int
    background: str
    seconds_an_image: float
    frames: int = 0
    bits: np.ndarray = field(default_factory=lambda: bits_of(np.empty(0)))
    groups: tuple[int, ...] = ()
    left_out: dict[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    broken: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, str] = field(default_factory=dict)

    @property
    def together(self) -> float:
        """How many images are in the group of an image, on average over images."""
        return float(np.square(self.groups).sum() / sum(self.groups)) if self.groups else 1.0

    @property
    def usable(self) -> int:
        """About how many images can be read: of a sample, the same share of all."""
        return self.count - round(len(self.broken) * self.count / max(self.looked_at, 1))

    def lines(self) -> list[str]:
        """What a person is told, a line for each finding."""
        sampled = "" if self.looked_at == self.count else f" ({self.looked_at:,} of them looked at)"
        lines = [f"{self.count:,} images in {self.root}{sampled}"]
        if len(self.sides):
            lines.append(f"sizes: {_sizes(self.sides)}")
        files = len(self.sides) - self.grey
        kinds = [f"{files:,} in colour" * bool(files), f"{self.grey:,} grey" * bool(self.grey)]
        content = ", all of them grey in content" * (files > 0 and not self.coloured)
        lines.append(f"colours: {', '.join(filter(None, kinds))}{content}")
        if self.transparent:
            lines.append(f"transparency: {self.transparent:,}; most of them show on {self.background}")
        if self.frames:
            lines.append(f"animations or several pages: {self.frames:,}; only the first frame of each is read")
        for kind, (darkest, brightest) in self.limits.items():
            if kind == "wide":
                few = 2 ** bits_in_use(self.bits) - 1
                mostly = f"; but for {100 * OUTLIERS:g} % at most {few:,}" if 0 < few < brightest else ""
                lines.append(f"values: wider than bytes, from {darkest:g} to {brightest:g}{mostly}")
            elif brightest - darkest < 128:
                lines.append(f"values: only from {darkest:g} to {brightest:g} of 0 to 255")
        if len(self.limits) > 1:
            lines.append(
                "values: bytes in some files, wider in others; one range suits one kind only: convert the other"
            )
        if self.classes:
            named = sorted(self.classes.items(), key=lambda item: item[1])
            few, many = named[0], named[-1]
            smallest = f"{few[1]:,} image{'s' * (few[1] != 1)} ({few[0]})"
            lines.append(f"classes: {len(named)}, from {smallest} to {many[1]:,} ({many[0]})")
            if empty := [name for name, count in named if not count]:
                lines.append(f"classes without a readable image: {', '.join(empty)}")
        else:
            lines.append("classes: none")
        if pattern := self.settings.get("group_pattern"):
            what = "the innermost folders" if pattern == INNERMOST else "what the names begin with"
            lines.append(f"groups: {len(self.groups):,}, by {what}, as of patients or scenes; each is kept together")
        if self.broken:
            lines.append(f"broken: {len(self.broken):,}, such as {_first(self.broken)}")
        if self.repeated:
            lines.append(
                f"exact duplicates: {len(self.repeated):,}, such as {_first(self.repeated, 'equals')}; better removed: "
                "where one is held out and its twin trained on, copying looks like chance"
            )
        for kind, names in self.left_out.items():
            lines.append(f"{kind}: {len(names):,}, which are left alone, such as {names[0]}")
        return lines + [f"note: {note}" for note in self.notes]


def problems_of(seen: Inspection) -> str:
    """Every broken, repeated or left-out file, a line for each, under a heading for each kind; empty without any."""
    broken = [f"{name}: {why}" for name, why in seen.broken.items()]
    repeated = [f"{name} equals {original}" for name, original in seen.repeated.items()]
    return listing_of({"unreadable images": broken, "exact duplicates": repeated} | seen.left_out)


def inspect(path: Path, threads: int = os.cpu_count() or 1) -> Inspection:
    """Open the images of a folder or file with the readers of the workflow. Raises InputError as these do."""
    settings = settings_for(path)
    model = SOURCES[settings["source"]].model_validate({**settings, "resolution": SIDE})
    source = open_source(model.model_dump(mode="json"))
    places = np.unique(np.linspace(0, source.count - 1, min(source.count, MOST)).astype(int))
    sides: list[tuple[int, int]] = []
    labels: Counter[int] = Counter()
    tally: Counter[str] = Counter()
    limits: dict[str, tuple[float, float]] = {}
    broken: dict[str, str] = {}
    repeated: dict[str, str] = {}
    first: dict[bytes, str] = {}
    bits = bits_of(np.empty(0))
    origins: list[str] = []

    started = time.monotonic()
    with ThreadPoolExecutor(threads) as pool, progress(len(places), "images", label="looking at") as bar:
        for start in range(0, len(places), BLOCK):
            part = places[start : start + BLOCK].tolist()
            for i, seen in zip(part, pool.map(lambda i: _look(source, i), part), strict=True):
                name = source.origin(i)
                if isinstance(seen, str):
                    broken[name] = seen.replace(str(path / name), "the file")
                    continue
                origins.append(name)
                sides.append(seen.size)
                bits += seen.bits
                labels[seen.label] += 1
                tally.update({key: getattr(seen, key) for key in ("grey", "coloured", "transparent", "frames")})
                kind = "wide" if seen.wide else "bytes"
                low, high = limits.get(kind, seen.limits)
                limits[kind] = min(low, seen.limits[0]), max(high, seen.limits[1])
                if (original := first.setdefault(seen.digest, name)) != name:
                    repeated[name] = original
            bar.advance(len(part))
    seconds = (time.monotonic() - started) / max(len(places), 1)
    share = source.count / len(places)
    pattern = settings.get("group_pattern")
    groups = np.bincount(groups_of(origins, None, pattern)) if pattern else np.empty(0)
    return Inspection(
        root=path,
        settings=settings,
        count=source.count,
        looked_at=len(places),
        classes={name: round(labels[i] * share) for i, name in enumerate(source.classes)},
        sides=np.array(sides, dtype=int).reshape(-1, 2),
        grey=tally["grey"],
        coloured=tally["coloured"],
        limits=limits,
        transparent=tally["transparent"],
        frames=tally["frames"],
        bits=bits,
        groups=tuple(np.rint(groups * share).astype(int).tolist()),
        background=background_of(source, "auto", threads) if tally["transparent"] else "black",
        seconds_an_image=seconds,
        left_out=source.left_out,
        notes=source.notes + unread_labels(path, settings, source.count),
        broken=broken,
        repeated=repeated,
    )


@dataclass(frozen=True)
class _Seen:
    label: int
    size: tuple[int, int]
    grey: bool
    coloured: bool
    transparent: bool
    frames: bool
    wide: bool
    limits: tuple[float, float]
    bits: np.ndarray
    digest: bytes


def _look(source: Source, i: int) -> _Seen | str:
    """One image, or why it cannot be read."""
    try:
        image, label = source.read(i)
        with image:
            grey, transparent, wide, frames = (
                is_grey(image), is_transparent(image), is_deep(image), has_more_frames(image),
            )  # fmt: skip
            size = image.size
            values = values_of(image) if wide else np.empty(0)
            limits = ((float(values.min()), float(values.max())) if values.size else (0.0, 0.0)) if wide else None
            spread = None if limits is None else (limits[0], max(limits[1], limits[0] + 1e-6))
            pixels = fit_image(image, Shape(SIDE, 3, "pad", GREY if transparent else 0, spread))
            if image.format == "TIFF":
                size = image.size  # turned as it was decoded
            elif orientation(image) > 4:
                size = size[::-1]
    except MemoryError:
        raise
    except Exception as cause:  # a decoder raises whatever it trips over
        return reason(cause)
    coloured = not grey and bool((pixels != pixels[..., :1]).any())
    if limits is None:  # what is seen through transparent parts is not the image's
        limits = (0.0, 255.0) if transparent else (float(pixels.min()), float(pixels.max()))
    digest = hashlib.blake2b(pixels.data, digest_size=16, key=repr((size, limits)).encode()).digest()
    return _Seen(label, size, grey, coloured, transparent, frames, wide, limits, bits_of(values), digest)


def _sizes(sides: np.ndarray) -> str:
    """Of images (n, 2), width and height: the smallest, the largest and the middle one, and how many stand upright."""
    order = np.argsort(sides.prod(axis=1), kind="stable")
    low, middle, high = (f"{width} x {height}" for width, height in sides[order[[0, len(sides) // 2, -1]]])
    alike = (np.sort(sides) == np.sort(sides[:1])).all()  # but for being turned
    told = f"{low} px" if alike else f"{low} to {high} px, half below {middle}"
    kinds = {"wider than high": sides[:, 0] > sides[:, 1], "higher than wide": sides[:, 0] < sides[:, 1]}
    mixed = [f"{chosen.sum():,} {kind}" for kind, chosen in kinds.items() if chosen.any()]
    return f"{told} ({', '.join(mixed)})" if len(mixed) > 1 else told


def _first(names: dict[str, str], word: str = "") -> str:
    name, what = next(iter(names.items()))
    return f"{name} {word} {what}" if word else f"{name} ({what})"
