"""A look at a source before it is packed: the background that shows its transparent images, and its range of values."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.decoding import BACKGROUNDS, LARGEST, Shape, fit_image, is_deep, is_transparent
from workflow_scripts.data.formats import wide_colours
from workflow_scripts.data.source import Source

LOOKED_AT = 256  # images, at even places, that decide on the background
SHOWS = 24  # levels, 0..255, between what is visible and its background
SIDE = 64  # px, to which images are scaled down for it
BITS = 32  # of the widest values
OUTLIERS = 0.001  # share of values that may lie above those that show something


def background_of(source: Source, wanted: str, threads: int = 1) -> str:
    """The name of the background: `wanted`, or for `auto` the one before which most transparent images show.

    Of equals, black comes before white, and white before grey.
    """
    if wanted != "auto":
        return wanted
    return background_before(contrasts_of(source, threads))


def background_before(contrasts: list[list[float]]) -> str:
    """The name of the background before which most of the images of `contrasts_of` show."""
    if not contrasts:
        return "black"
    hidden = (np.array(contrasts) < SHOWS).sum(axis=0)
    return list(BACKGROUNDS)[int(hidden.argmin())]


def contrasts_of(source: Source, threads: int = 1) -> list[list[float]]:
    """Those of the images that have transparent parts, of as many as are looked at."""
    if source.block is not None:
        return []
    places = np.unique(np.linspace(0, source.count - 1, min(source.count, LOOKED_AT)).astype(int))
    return [contrast for contrast in _read_each(source, places, contrast_of, threads) if contrast is not None]


def contrast_of(image: Image.Image) -> list[float] | None:
    """Mean distance in levels of the visible parts from each of BACKGROUNDS; None for an image without transparency."""
    if not is_transparent(image):
        return None
    small = image.convert("RGBA")
    small.thumbnail((SIDE, SIDE))
    pixels = np.asarray(small, dtype=np.float64)
    alpha = pixels[..., 3]
    if alpha.min() >= 250 or alpha.max() <= 5:  # all of it is there, or none
        return None
    light = pixels[..., :3] @ [0.299, 0.587, 0.114]
    return [float((np.abs(light - level) * alpha).sum() / alpha.sum()) for level in BACKGROUNDS.values()]


def range_of(source: Source, wanted: str | Sequence[float], threads: int = 1) -> tuple[float, float] | None:
    """The values that become 0 and 255: as given, or for `set` the smallest and largest of all; None: by the type."""
    if not isinstance(wanted, str):
        return float(wanted[0]), float(wanted[1])
    if wanted == "type" or source.block is not None:
        return None
    extremes = [pair for pair in _read_each(source, np.arange(source.count), extremes_of, threads) if pair is not None]
    if not extremes:
        raise InputError(f"{source.name}: none of its {source.count} images can be read")
    low, high = min(pair[0] for pair in extremes), max(pair[1] for pair in extremes)
    return low, max(high, low + 1e-6)


def extremes_of(image: Image.Image) -> tuple[float, float] | None:
    """The smallest and largest finite value of an image, of its colours only."""
    values = values_of(image)
    return (float(values.min()), float(values.max())) if values.size else None


def values_of(image: Image.Image) -> np.ndarray:
    """The finite values of an image, of its colours only."""
    values = wide_colours(image)
    if values is None:
        if image.mode in ("P", "1") or is_transparent(image):
            image = image.convert("RGBA")
        elif image.mode not in ("L", "RGB") and not is_deep(image):
            image = image.convert("RGB")
        values = np.asarray(image)
    values = values[..., :3] if values.ndim == 3 else values
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values


def bits_of(values: np.ndarray) -> np.ndarray:
    """How many values need each number of bits, (BITS + 1,): 0 and less none, 1 one, 2 and 3 two, and so on."""
    bits = np.where(values > 0, np.frexp(values)[1], 0).clip(0, BITS)
    return np.bincount(bits.ravel(), minlength=BITS + 1)


def bits_in_use(counts: np.ndarray) -> int:
    """The bits that whole values use, by `bits_of` of all: but for outliers, as of a defective pixel or a mark."""
    largest = int(np.flatnonzero(counts).max(initial=0))
    few = counts.sum() - counts.cumsum() <= OUTLIERS * counts.sum()
    usual = max(8, int(np.argmax(few)))
    return usual if usual <= largest - 2 else largest


def packed_images(source: Source, places: np.ndarray, shape: Shape) -> np.ndarray:
    """The images at some places as packing makes them, uint8 (n, R, R, C), without those that cannot be read."""
    by_type = replace(shape, range=None) if source.block is not None else shape  # arrays scale themselves
    images = _read_each(source, places, lambda image: fit_image(image, by_type), 1)
    readable = [image for image in images if image is not None]
    return (
        np.stack(readable) if readable else np.empty((0, shape.resolution, shape.resolution, shape.channels), np.uint8)
    )


def _read_each(source: Source, places: np.ndarray, look: Callable[[Image.Image], Any], threads: int) -> list[Any]:
    """What `look` says of each image; None for those that cannot be read, which packing names."""

    def read(i: int) -> Any:
        try:
            image, _ = source.read(int(i))
            with image:
                return look(image) if image.width * image.height <= LARGEST else None
        except MemoryError:
            raise
        except Exception:
            return None

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(read, places))
