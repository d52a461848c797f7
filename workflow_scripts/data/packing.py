"""Pack a source into an image set: square images of one size in one memory-mapped array, in bounded memory."""

import hashlib
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import atomic_path
from workflow_scripts.core.progress import progress
from workflow_scripts.data.sources import Source

BLOCK = 512  # images decoded at a time
ROW = 16  # of them that a thread takes in one go: one by one, threads get in each other's way for a fifth of the time
LARGEST = 2**27  # pixels of an image before it is scaled down; a bigger header is taken for damage or an attack
GREY_MODES = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L"}


@dataclass(frozen=True)
class Shape:
    """What every packed image is."""

    resolution: int  # px, height and width
    channels: Literal[1, 3]
    fit: Literal["crop", "pad"]


@dataclass
class Packed:
    """What packing found out. labels: int32 (N,); duplicates: groups of indices of equal images."""

    labels: np.ndarray
    origins: list[str]
    skipped: list[dict[str, str]] = field(default_factory=list)
    duplicates: list[list[int]] = field(default_factory=list)

    def table(self) -> pd.DataFrame:
        return pd.DataFrame({"label": self.labels.astype(np.int32), "origin": self.origins})


def fit_image(image: Image.Image, shape: Shape) -> np.ndarray:
    """Decode an image into uint8 (resolution, resolution, channels).

    The EXIF orientation is applied; of an animation the first frame counts; transparency is laid on black; 16-bit grey
    is reduced to 8 bits. `crop` takes the central square, `pad` adds black borders; scaling is anti-aliased bilinear.
    Raises OSError or ValueError for an image that cannot be decoded or is larger than LARGEST pixels.
    """
    if image.width * image.height > LARGEST:
        raise ValueError(f"{image.width} x {image.height} pixels, more than the limit of {LARGEST}")
    side = shape.resolution
    if image.format == "JPEG":
        image.draft(None, (2 * side, 2 * side))  # decode at a fraction of the size, still at least twice what is needed
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, dtype=np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode in ("P", "PA", "LA", "RGBA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    wanted = "L" if shape.channels == 1 else "RGB"
    image = image if image.mode == wanted else image.convert(wanted)
    if shape.fit == "crop":
        width, height = image.size
        square = min(width, height)
        left, top = (width - square) // 2, (height - square) // 2
        image = image if width == height else image.crop((left, top, left + square, top + square))
        image = image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)
    else:
        image = ImageOps.pad(image, (side, side), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(side, side, shape.channels)


def pack(
    source: Source,
    shape: Shape,
    path: str | os.PathLike[str],
    on_bad_image: Literal["stop", "skip"] = "stop",
    threads: int = 1,
) -> Packed:
    """Write the source's images to `path`, a .npy file of uint8 (N, H, W, C), and give what else is to be known.

    Images are decoded by `threads` threads, a block at a time; their order is the source's. A bad image raises
    InputError that names it, or is left out and listed in `skipped`. Colour images among grey ones raise it, too.
    """
    labels: list[np.ndarray] = []
    result = Packed(np.empty(0, np.int32), [])
    groups: dict[bytes, list[int]] = defaultdict(list)
    kinds: dict[bool, str] = {}  # grey or not -> where the first such image comes from
    with (
        atomic_path(path) as temporary,
        open(temporary, "wb") as handle,
        ThreadPoolExecutor(threads) as pool,
        progress(source.count, "images", label="packing") as bar,
    ):
        _write_header(handle, source.count, shape)
        written = 0
        for start in range(0, source.count, BLOCK):
            stop = min(start + BLOCK, source.count)
            pixels, codes, kept = _read_block(source, shape, start, stop, on_bad_image, pool, result.skipped, kinds)
            pixels = np.ascontiguousarray(pixels)
            handle.write(pixels.data)
            for i, image in enumerate(pixels):
                groups[hashlib.blake2b(image, digest_size=16).digest()].append(written + i)
            labels.append(codes)
            result.origins += [source.origin(i) for i in kept]
            written += len(pixels)
            bar.advance(stop - start)
        if not written:
            raise InputError(f"{source.name}: none of its {source.count} images can be read")
        # NumPy leaves room in the header for the count to change.
        handle.seek(0)
        _write_header(handle, written, shape)
    result.labels = np.concatenate(labels).astype(np.int32)
    result.duplicates = [group for group in groups.values() if len(group) > 1]
    return result


def _write_header(handle: Any, count: int, shape: Shape) -> None:
    size = (count, shape.resolution, shape.resolution, shape.channels)
    np.lib.format.write_array_header_1_0(handle, {"descr": "|u1", "fortran_order": False, "shape": size})


def _read_block(
    source: Source,
    shape: Shape,
    start: int,
    stop: int,
    on_bad_image: str,
    pool: ThreadPoolExecutor,
    skipped: list[dict[str, str]],
    kinds: dict[bool, str],
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Images, labels and the indices of those that could be read."""
    wanted = (shape.resolution, shape.resolution, shape.channels)
    if source.block is not None:
        pixels, codes = source.block(start, stop)
        if pixels.shape[1:] == wanted:
            return pixels, codes, list(range(start, stop))

    def read(i: int) -> tuple[np.ndarray, int, bool] | str:
        try:
            image, label = source.read(i)
            with image:
                grey = image.mode in GREY_MODES
                return fit_image(image, shape), label, grey
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as cause:
            return str(cause) or type(cause).__name__

    rows = [range(first, min(first + ROW, stop)) for first in range(start, stop, ROW)]
    found = [one for part in pool.map(lambda row: [read(i) for i in row], rows) for one in part]
    good = [(i, one) for i, one in zip(range(start, stop), found, strict=True) if not isinstance(one, str)]
    for i, reason in zip(range(start, stop), found, strict=True):
        if isinstance(reason, str):
            if on_bad_image == "stop":
                raise InputError(
                    f"{source.origin(i)} in {source.name}: not a readable image ({reason}); repair or remove it, or "
                    "set `on_bad_image: skip`"
                )
            skipped.append({"file": source.origin(i), "reason": reason})
    if shape.channels == 3:
        for i, (_, _, grey) in good:
            kinds.setdefault(grey, source.origin(i))
        if len(kinds) > 1:
            raise InputError(
                f"{source.name}: mixed channels, {kinds[True]} is grey and {kinds[False]} is in colour; convert them "
                "to one kind, or set `color: grey`"
            )
    pixels = np.stack([one[0] for _, one in good]) if good else np.empty((0, *wanted), np.uint8)
    return pixels, np.array([one[1] for _, one in good], dtype=np.int64), [i for i, _ in good]
