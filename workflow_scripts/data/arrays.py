"""Arrays as sources of images: IDX files, NumPy files and archives, and the image set that comes with Copycat."""

import gzip
import os
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_json, sha256
from workflow_scripts.data.decoding import is_unit, to_bytes
from workflow_scripts.data.layouts import stacked
from workflow_scripts.data.source import Source, printable, require

Range = str | Sequence[float]  # `type`, `set`, or the values that become 0 and 255


def shipped_set(folder: Path) -> Source:
    """An image set that comes with the repository, checked against its SHA-256."""
    facts = read_json(require(folder, "the shipped image set") / "about.json")
    for name, digest in facts["sha256"].items():
        if (actual := sha256(folder / name)) != digest:
            raise InputError(
                f"{folder / name}: its SHA-256 is {actual}, expected {digest}; the file is damaged or was changed. "
                f"Restore it: git checkout -- {folder / name}"
            )
    images, labels = (read_idx(folder / facts[key], dimensions) for key, dimensions in (("images", 3), ("labels", 1)))
    source = array_set(facts["name"], images, labels)
    return replace(source, licence=facts["licence"], classes=facts["classes"], superclasses=facts["superclasses"])


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Unsigned bytes from an IDX file, the format of MNIST, plain or gzipped."""
    require(path, "the IDX file")
    try:
        opener: Any = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as handle:
            content = handle.read()
        zero, kind, there = struct.unpack(">HBB", content[:4])
        shape = struct.unpack(f">{there}I", content[4 : 4 + 4 * there])
        if zero != 0 or kind != 8 or there != dimensions:
            raise ValueError(f"expected unsigned bytes in {dimensions} dimension(s), found type {kind} in {there}")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * there).reshape(shape)
    except Exception as cause:  # what a parser raises on a broken file is of many unrelated types
        raise InputError(f"{path}: not a readable IDX file ({cause}); fetch it again or correct the path") from cause


def load_array(path: str | os.PathLike[str]) -> np.ndarray:
    """A .npy array, memory-mapped; pickled ones are refused."""
    require(Path(path), "the NumPy file")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as cause:
        raise InputError(f"{path}: not a readable NumPy file ({_why(cause)}); save it with numpy.save") from cause


def _why(cause: Exception) -> str:
    """NumPy takes any other file for a pickle, and then advises to open it."""
    return "it is something else, or a pickle, which is never opened" if "pickle" in str(cause) else str(cause)


def npz_set(
    path: str, images_key: str | list[str], labels_key: str | list[str] | None, limits: Range = "type"
) -> Source:
    """Images and labels from a NumPy archive; the arrays of several keys one after the other."""
    require(Path(path), "the NumPy archive")
    images_keys, labels_keys = ([key] if isinstance(key, str) else list(key or []) for key in (images_key, labels_key))
    wanted = [*images_keys, *labels_keys]
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            arrays = {key: archive[key] for key in wanted if key in names}
    except Exception as cause:
        raise InputError(f"{path}: not a readable NumPy archive ({_why(cause)}); save it with numpy.savez") from cause
    if missing := [key for key in wanted if key not in arrays]:
        raise InputError(f"{path}: has no array {missing[0]!r}, only {', '.join(names)}; correct the key")
    labels = _joined(path, [single(arrays[key]) for key in labels_keys], labels_keys) if labels_keys else None
    counts = [size for key in labels_keys for size in single(arrays[key]).shape[:1]]
    put = [stacked(f"{path}, {key}", arrays[key], counts) for key in images_keys]
    source = array_set(path, _joined(path, [images for images, _ in put], images_keys), labels, limits)
    return replace(source, notes=(*dict.fromkeys(note for _, notes in put for note in notes), *source.notes))


def array_set(name: str, images: np.ndarray, labels: np.ndarray | None, limits: Range = "type") -> Source:
    """Images (N, H, W), (N, H, W, C) or (N, C, H, W) of 1, 3 or 4 channels in one array, with labels or none.

    As MATLAB has them, the last axis may count the images, where the channels or the number of labels show it.
    Bytes count as they are; booleans, 16-bit values and floats in 0..1 are reduced to bytes, as any others are by their
    `limits`. labels: (N,), (N, 1) or (1, N) whole numbers or text, or (N, K) with a single 1 in each row.
    Raises InputError for what is no image set.
    """
    images, notes = stacked(name, images, () if labels is None else single(labels).shape[:1])
    if images.shape[3] == 4 and images.dtype.kind == "f" and extremes(images)[0] < 0:
        raise InputError(
            f"{name}: its four channels are floats, some below 0, as an autoencoder's latents are; expected images: "
            "decode the latents, and save what they become"
        )
    low, high, note = _limits(name, images, limits)
    notes += note
    classes, codes = ([], np.full(len(images), -1)) if labels is None else _classes(name, len(images), labels)
    if classes[:2] == ["-1", "0"]:
        notes.append(f"its label -1 ({int((codes == 0).sum())} images) counts as a class like the others")

    def block(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.asarray(images[start:stop])
        if (low, high) != (0, 255) or pixels.dtype != np.uint8:
            pixels = to_bytes(pixels, (low, high))
        return pixels, codes[start:stop]

    def read(i: int) -> tuple[Image.Image, int]:
        pixels = np.ascontiguousarray(block(i, i + 1)[0][0])
        return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), int(codes[i])

    return Source(
        name, len(images), classes, read, str, block=None if images.shape[3] == 4 else block, notes=tuple(notes)
    )


def _joined(path: str, arrays: list[np.ndarray], keys: list[str]) -> np.ndarray:
    try:
        return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
    except ValueError as cause:
        shapes = ", ".join(f"{key} {array.shape}" for key, array in zip(keys, arrays, strict=True))
        raise InputError(f"{path}: {shapes}: expected arrays that differ in their first size only") from cause


def _limits(name: str, images: np.ndarray, limits: Range) -> tuple[float, float, list[str]]:
    """The values that become 0 and 255, and what is to be said of them."""
    if not isinstance(limits, str):
        return float(limits[0]), float(limits[1]), []
    if limits == "type" and images.dtype == np.uint8:
        return 0, 255, []
    if limits == "type" and images.dtype.kind == "u" and images.dtype.itemsize == 2:  # of either byte order
        return 0, 65_535, ["its 16-bit values are reduced to 8 bits"]
    if images.dtype == np.bool_:
        return 0, 1, ["its booleans become black and white"]
    low, high = extremes(images)
    if not np.isfinite([low, high]).all():
        raise InputError(f"{name}: holds values that are not finite numbers; replace them")
    if limits == "set":
        return low, max(high, low + 1e-6), [f"its values from {low:g} to {high:g} become 0 to 255"]
    if images.dtype.kind == "f" and is_unit(low, high):
        return 0, 1, ["its floats in 0..1 become 0 to 255"]
    if low >= 0 and high <= 255 and (images.dtype.kind in "iu" or high > 1):
        return 0, 255, [f"its {images.dtype} values from {low:g} to {high:g} are taken as bytes"]
    raise InputError(
        f"{name}: its {images.dtype} values go from {low:g} to {high:g}, expected bytes, or floats in 0..1; say by "
        f"`range: [{low:g}, {high:g}]` which become black and white"
    )


def extremes(images: np.ndarray) -> tuple[float, float]:
    """The smallest and largest value of an array, read in parts; NaN if it holds one."""
    parts = [(float(np.min(part)), float(np.max(part))) for part in np.array_split(images, -(-len(images) // 512))]
    lows, highs = zip(*parts, strict=True)
    return float(np.min(lows)), float(np.max(highs))


def single(labels: np.ndarray) -> np.ndarray:
    """Labels in a column or a row as (N,); others as they are."""
    return labels.ravel() if labels.ndim == 2 and 1 in labels.shape else labels


def _classes(name: str, count: int, labels: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Class names, and the class of each image."""
    values = single(labels)
    if values.ndim == 2 and labels.dtype.kind in "buif" and (np.sort(labels, axis=1) == _single_one(labels)).all():
        values = labels.argmax(axis=1)
    if values.dtype.kind == "f" and (values == np.rint(values)).all():
        values = values.astype(np.int64)
    if values.shape != (count,) or values.dtype.kind not in "iubUS":
        raise InputError(
            f"{name}: has {count} images, but its labels are {labels.dtype} of shape {labels.shape}; expected "
            "one integer for each image"
        )
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "backslashreplace")
    distinct, codes = np.unique(values, return_inverse=True)
    return [printable(str(value)) for value in distinct], codes


def _single_one(labels: np.ndarray) -> np.ndarray:
    """A sorted row of one-hot labels."""
    return np.array([0] * (labels.shape[1] - 1) + [1])
