"""Pack a source into an image set: square images of one size in one memory-mapped array, in bounded memory."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import atomic_path
from workflow_scripts.core.progress import progress
from workflow_scripts.data.decoding import Shape, fit_image, has_more_frames, is_deep, is_grey, padded_size
from workflow_scripts.data.source import Source, reason

BLOCK = 512  # images decoded at a time
ROW = 16  # of them that a thread takes in one go: one by one, threads get in each other's way for a fifth of the time
NAMED = 20  # files that a message names
ONE_COLOUR = 2  # levels within which all pixels of an image of one colour lie
USED = 0.5  # of the levels 0..255, below which a set's contrast is low


@dataclass
class Packed:
    """What packing found out.

    labels: int32 (N,); grey: whether image i was grey in its file; duplicates: groups of indices of equal images.
    skipped: {file, reason} of unreadable ones; one_colour, elongated, frames: origins of images of one colour, of those
    whose shorter side is 1 px, and of those of whose frames or pages only the first is read; wide: of those with values
    wider than bytes; enlarged: of those of fewer pixels a side than they get. levels: (256,), how many pixels have each
    value, of one image in eight in large sets.
    """

    labels: np.ndarray
    origins: list[str]
    grey: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    kept: list[int] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    duplicates: list[list[int]] = field(default_factory=list)
    one_colour: list[str] = field(default_factory=list)
    elongated: list[str] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)
    wide: list[str] = field(default_factory=list)
    enlarged: list[str] = field(default_factory=list)
    levels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))

    def repeated(self) -> int:
        return sum(len(group) - 1 for group in self.duplicates)


@dataclass(frozen=True)
class _Decoded:
    pixels: np.ndarray
    label: int
    grey: bool
    elongated: bool
    frames: bool
    wide: bool
    enlarged: bool


def pack(
    source: Source,
    shape: Shape,
    path: str | os.PathLike[str],
    on_bad_image: Literal["stop", "skip"] = "stop",
    threads: int = 1,
) -> Packed:
    """Write the source's images to `path`, a .npy file of uint8 (N, H, W, C), and give what else is to be known.

    Images are decoded by `threads` threads, a block at a time; their order is the source's. Bad images raise
    BadImages, an InputError that names them, or are left out and listed in `skipped`.
    """
    labels: list[np.ndarray] = []
    greys: list[np.ndarray] = []
    result = Packed(np.empty(0, np.int32), [])
    groups: dict[bytes, list[int]] = defaultdict(list)
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
            pixels, codes, kept, grey = _read_block(source, shape, start, stop, pool, result)
            pixels = np.ascontiguousarray(pixels)
            handle.write(pixels.data)
            for i, image in enumerate(pixels):
                groups[hashlib.blake2b(image, digest_size=16).digest()].append(written + i)
            labels.append(codes)
            greys.append(grey)
            result.origins += [source.origin(i) for i in kept]
            result.kept += kept
            _note_levels(result, pixels, source.count)
            written += len(pixels)
            bar.advance(stop - start)
        if result.skipped and on_bad_image == "stop":
            raise BadImages(source.name, result.skipped)
        if not written:
            raise InputError(f"{source.name}: none of its {source.count} images can be read")
        # NumPy leaves room in the header for the count to change.
        handle.seek(0)
        _write_header(handle, written, shape)
    result.labels, result.grey = np.concatenate(labels).astype(np.int32), np.concatenate(greys)
    result.duplicates = [group for group in groups.values() if len(group) > 1]
    return result


class BadImages(InputError):
    """Images that cannot be read. skipped: {file, reason} of each."""

    def __init__(self, name: str, skipped: list[dict[str, str]]) -> None:
        self.skipped = skipped
        first, more = skipped[0], len(skipped) - 1
        if not more:
            what = f"{first['file']} in {name}: not a readable image ({first['reason']}); repair or remove it"
        else:
            others = ", ".join(bad["file"] for bad in skipped[1:NAMED])
            unnamed = f", and {more - NAMED + 1} more" if more >= NAMED else ""
            what = (
                f"{first['file']} in {name}: not a readable image ({first['reason']}), and {more} more are not: "
                f"{others}{unnamed}; repair or remove them"
            )
        super().__init__(f"{what}, or set `on_bad_image: skip`")


def warnings_of(packed: Packed, shape: Shape) -> list[str]:
    """What looks wrong with the packed images, a sentence each, with what to do about it."""
    count, sentences = len(packed.labels), []

    def such_as(names: Sequence[str]) -> str:
        return f", such as {names[0]}"

    if packed.skipped:
        sentences.append(f"{len(packed.skipped)} unreadable images were left out{such_as([packed.skipped[0]['file']])}")
    if packed.repeated():
        twins = [packed.origins[group[1]] for group in packed.duplicates]
        sentences.append(f"{packed.repeated()} images are exact duplicates of others{such_as(twins)}")
    if packed.one_colour:
        sentences.append(
            f"{len(packed.one_colour)} of {count} images are one colour{such_as(packed.one_colour)}: see whether "
            "another `background` or `range` shows what is in them"
        )
    if packed.elongated:
        sentences.append(
            f"{len(packed.elongated)} of {count} images are so long that their shorter side is 1 px"
            f"{such_as(packed.elongated)}: leave them out, or set `fit: crop`"
        )
    if packed.frames:
        sentences.append(
            f"of {len(packed.frames)} images only the first frame or page is read{such_as(packed.frames)}: save the "
            "others as files of their own if they belong to the set"
        )
    if 0 < len(packed.wide) < count:
        sentences.append(
            f"{len(packed.wide)} of {count} images hold values wider than bytes{such_as(packed.wide)}, unlike the "
            "others: one `range` suits one kind only; convert the other"
        )
    mixed = int(packed.grey.sum())
    if shape.channels == 3 and 0 < mixed < count:
        sentences.append(f"{mixed} of {count} images are grey, and were turned into RGB")
    low, high = np.searchsorted(packed.levels.cumsum(), packed.levels.sum() * np.array([0.001, 0.999]))
    if high - low < 256 * USED:
        sentences.append(
            f"the pixels use the levels {low} to {high} of 0 to 255: contrast is low. `range: set` scales by the set's "
            "own smallest and largest value, `range: [low, high]` by those given (12 bits in 16: [0, 4095])"
        )
    return sentences


def warnings_beside(
    audited: Mapping[str, Any], packed: Packed, shape: Shape, background: str, transparent: bool
) -> list[str]:
    """What sets samples apart from the training images that they are compared with, but for what they show.

    audited: the manifest of the latter; background, transparent: what is behind the samples, and whether that is seen.
    """
    sentences = []
    if transparent and not audited["transparent"]:
        sentences.append(
            f"The samples have transparent parts, which show on {background}; the training images have none: set "
            "`background` of the samples to what is behind the objects there."
        )
    if len(packed.enlarged) > len(packed.labels) / 2:
        sentences.append(
            f"{len(packed.enlarged):,} of {len(packed.labels):,} samples have fewer than {shape.resolution} px a side "
            "and were enlarged: lower `resolution` of the data set, since blurred copies lie farther off."
        )
    return sentences


def _note_levels(result: Packed, pixels: np.ndarray, count: int) -> None:
    """Note the images of one colour, and count the levels: in large sets, of one image in eight."""
    if not len(pixels):
        return
    flat = pixels.reshape(len(pixels), -1, pixels.shape[-1])
    plain = np.flatnonzero((flat.max(axis=1).astype(int) - flat.min(axis=1)).max(axis=1) <= ONE_COLOUR)
    first = len(result.origins) - len(pixels)
    result.one_colour += [result.origins[first + i] for i in plain]
    result.levels += np.bincount(pixels[:: 1 if count <= BLOCK else 8].ravel(), minlength=256)


def _write_header(handle: Any, count: int, shape: Shape) -> None:
    size = (count, shape.resolution, shape.resolution, shape.channels)
    np.lib.format.write_array_header_1_0(handle, {"descr": "|u1", "fortran_order": False, "shape": size})


def _read_block(
    source: Source, shape: Shape, start: int, stop: int, pool: ThreadPoolExecutor, result: Packed
) -> tuple[np.ndarray, np.ndarray, list[int], np.ndarray]:
    """Images, labels, the indices of those that could be read, and whether they were grey; notes are in `result`."""
    wanted = (shape.resolution, shape.resolution, shape.channels)
    if source.block is not None:
        pixels, codes = source.block(start, stop)
        if pixels.shape[1:] == wanted:
            return pixels, codes, list(range(start, stop)), np.zeros(len(codes), bool)
    by_type = Shape(**{**vars(shape), "range": None}) if source.block is not None else shape  # arrays scale themselves

    def read(i: int) -> _Decoded | str:
        try:
            image, label = source.read(i)
            with image:
                grey, frames, wide = is_grey(image), has_more_frames(image), is_deep(image)
                thin = shape.fit == "pad" and min(padded_size(*image.size, shape.resolution)) == 1
                thin, small = thin and max(image.size) > 1, min(image.size) < shape.resolution
                return _Decoded(fit_image(image, by_type), label, grey, thin, frames, wide, small)
        except MemoryError:
            raise
        except Exception as cause:  # a decoder raises whatever it trips over
            return reason(cause)

    rows = [range(first, min(first + ROW, stop)) for first in range(start, stop, ROW)]
    decoded = [image for part in pool.map(lambda row: [read(i) for i in row], rows) for image in part]
    good = [(i, image) for i, image in zip(range(start, stop), decoded, strict=True) if not isinstance(image, str)]
    for i, image in zip(range(start, stop), decoded, strict=True):
        if isinstance(image, str):
            result.skipped.append({"file": source.origin(i), "reason": image})
    result.frames += [source.origin(i) for i, image in good if image.frames]
    result.wide += [source.origin(i) for i, image in good if image.wide]
    result.enlarged += [source.origin(i) for i, image in good if image.enlarged]
    result.elongated += [source.origin(i) for i, image in good if image.elongated]
    pixels = np.stack([image.pixels for _, image in good]) if good else np.empty((0, *wanted), np.uint8)
    codes = np.array([image.label for _, image in good], dtype=np.int64)
    return pixels, codes, [i for i, _ in good], np.array([image.grey for _, image in good], dtype=bool)


def problems_text(source: Source, skipped: Sequence[dict[str, str]], packed: Packed | None = None) -> str:
    """Everything that is wrong or looks so, a line for each file, under a heading for each kind."""
    kinds = {"unreadable images": [f"{bad['file']}: {bad['reason']}" for bad in skipped]}
    if packed is not None:
        kinds["exact duplicates, a group in a line"] = [
            ", ".join(packed.origins[i] for i in group) for group in packed.duplicates
        ]
        kinds |= {"images of one colour": packed.one_colour, "images of 1 px in the shorter side": packed.elongated}
        kinds["images with more frames or pages than the first"] = packed.frames
        if len(packed.wide) < len(packed.origins):
            kinds["images of wider values among those of bytes"] = packed.wide
        if 0 < packed.grey.sum() < len(packed.grey):
            kinds["grey images among those in colour"] = [packed.origins[i] for i in np.flatnonzero(packed.grey)]
    return listing_of(kinds | source.left_out) or "nothing\n"


def listing_of(kinds: dict[str, list[str]]) -> str:
    """Names by kind, a line for each, under a heading for each kind with its number of names; empty without any."""
    parts = [
        f"{kind}: {len(names)}\n" + "".join(f"  {name}\n" for name in names) for kind, names in kinds.items() if names
    ]
    return "\n".join(parts)
