"""What is in a folder of images: how many, how large, of which colours and classes, which are broken or repeated."""

import os
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from workflow_scripts.core.files import sha256
from workflow_scripts.core.progress import progress
from workflow_scripts.data.packing import BLOCK, GREY_MODES, Shape, fit_image
from workflow_scripts.data.sources import image_folder

MOST = 20_000  # images that are looked at; of more, a sample at even places
LOOKED_AT = Shape(64, 3, "pad")  # how large an image is decoded for it


@dataclass
class Inspection:
    """A folder of images.

    count: image files; looked_at: of them, those that were opened. ignored: other files. classes: images by class.
    sides: int (n, 2), width and height of the readable ones. modes: images by Pillow's mode. grey_content: whether all
    colour images show only grey. broken: reason by file. repeated: files that are byte for byte another one.
    seconds_an_image: what it took to open one, by `threads` threads at once.
    """

    root: Path
    count: int
    looked_at: int
    ignored: int
    classes: dict[str, int]
    sides: np.ndarray
    modes: dict[str, int]
    grey_content: bool
    seconds_an_image: float
    broken: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, str] = field(default_factory=dict)

    @property
    def grey(self) -> int:
        """Images whose files are grey."""
        return sum(count for mode, count in self.modes.items() if mode in GREY_MODES)

    @property
    def usable(self) -> int:
        """About how many images can be read: of a sample, the same share of all."""
        return self.count - round(len(self.broken) * self.count / max(self.looked_at, 1))

    def lines(self) -> list[str]:
        """What a person is told, a line for each finding."""
        sampled = "" if self.looked_at == self.count else f" ({self.looked_at:,} of them looked at)"
        lines = [f"{self.count:,} images in {self.root}{sampled}"]
        if len(self.sides):
            low, middle, high = (f"{w} x {h}" for w, h in _by_area(self.sides)[[0, len(self.sides) // 2, -1]])
            lines.append(f"sizes: {low} px" if low == high else f"sizes: {low} to {high} px, half below {middle}")
        colours = len(self.sides) - self.grey
        kinds = [f"{colours:,} in colour" * bool(colours), f"{self.grey:,} grey" * bool(self.grey)]
        lines.append(f"colours: {', '.join(filter(None, kinds))}" + ", all of them grey in content" * self.grey_content)
        if self.classes:
            named = sorted(self.classes.items(), key=lambda item: item[1])
            few, many = named[0], named[-1]
            lines.append(f"classes: {len(named)}, from {few[1]:,} images ({few[0]}) to {many[1]:,} ({many[0]})")
        else:
            lines.append("classes: none, the images lie in one folder")
        if self.broken:
            lines.append(f"broken: {len(self.broken):,}, such as {_first(self.broken)}")
        if self.repeated:
            lines.append(
                f"exact duplicates: {len(self.repeated):,}, such as {_first(self.repeated, 'equals')}; better removed: "
                "where one is held out and its twin trained on, copying looks like chance"
            )
        if self.ignored:
            lines.append(f"other files: {self.ignored:,}, which are left alone")
        return lines


def inspect_folder(root: Path, threads: int = os.cpu_count() or 1) -> Inspection:
    """Open the images of a folder with the readers of the workflow. Raises InputError as `image_folder` does."""
    source = image_folder(root)
    places = np.unique(np.linspace(0, source.count - 1, min(source.count, MOST)).astype(int))
    sides: list[tuple[int, int]] = []
    modes: Counter[str] = Counter()
    labels: Counter[int] = Counter()
    broken: dict[str, str] = {}
    coloured = 0
    by_size: dict[int, list[str]] = defaultdict(list)

    def look(i: int) -> tuple[str, int, tuple[int, int], str, bool, int] | tuple[str, str]:
        name = source.origin(i)
        try:
            image, label = source.read(i)
            with image:
                size, mode = image.size, image.mode
                pixels = fit_image(image, LOOKED_AT)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as cause:
            return name, str(cause).replace(str(root / name), "the file") or type(cause).__name__
        in_colour = mode not in GREY_MODES and bool((pixels != pixels[..., :1]).any())
        return name, label, size, mode, in_colour, (root / name).stat().st_size

    started = time.monotonic()
    with ThreadPoolExecutor(threads) as pool, progress(len(places), "images", label="looking at") as bar:
        for start in range(0, len(places), BLOCK):
            part = places[start : start + BLOCK]
            for found in pool.map(look, part.tolist()):
                if len(found) == 2:
                    broken[found[0]] = found[1]
                    continue
                name, label, size, mode, in_colour, length = found
                sides.append(size)
                modes[mode] += 1
                labels[label] += 1
                coloured += in_colour
                by_size[length].append(name)
            bar.advance(len(part))
    seconds = (time.monotonic() - started) / max(len(places), 1)
    share = source.count / len(places)
    return Inspection(
        root=root,
        count=source.count,
        looked_at=len(places),
        ignored=source.ignored,
        classes={name: round(labels[i] * share) for i, name in enumerate(source.classes)},
        sides=np.array(sides, dtype=int).reshape(-1, 2),
        modes=dict(modes),
        grey_content=bool(sides) and coloured == 0 and set(modes) - GREY_MODES != set(),
        seconds_an_image=seconds,
        broken=broken,
        repeated=_repeated(root, by_size),
    )


def _repeated(root: Path, by_size: dict[int, list[str]]) -> dict[str, str]:
    """Each file that is byte for byte one before it, with that one; only files of one length can be."""
    repeated: dict[str, str] = {}
    for names in by_size.values():
        first: dict[str, str] = {}
        for name in names if len(names) > 1 else []:
            original = first.setdefault(sha256(root / name), name)
            if original != name:
                repeated[name] = original
    return repeated


def _by_area(sides: np.ndarray) -> np.ndarray:
    return sides[np.argsort(sides.prod(axis=1), kind="stable")]


def _first(found: dict[str, str], word: str = "") -> str:
    name, what = next(iter(found.items()))
    return f"{name} {word} {what}" if word else f"{name} ({what})"
