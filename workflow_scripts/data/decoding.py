"""One image into a square of bytes: orientation, range, transparency, colours, geometry."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from workflow_scripts.data.formats import has_wide_colours, orientation, wide_colours

LARGEST = 2**27  # pixels of an image before it is scaled down; a bigger header is taken for damage or an attack
GREY_MODES = {"1", "L", "LA", "La", "F"}  # and all that begin with I
OVERSHOOT = 0.1  # of floats in 0..1
BACKGROUNDS = {"black": 0, "white": 255, "grey": 128}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Shape:
    """What every packed image is.

    background: level, 0..255, behind transparency and of the borders of `pad`. range: the values that become 0 and
    255; None: those of the file's type, 0 to 255, 0 to 65,535, or 0.0 to 1.0.
    """

    resolution: int  # px, height and width
    channels: Literal[1, 3]
    fit: Literal["crop", "pad"]
    background: int = 0
    range: tuple[float, float] | None = None


def is_grey(image: Image.Image) -> bool:
    return image.mode in GREY_MODES or image.mode.startswith("I")


def is_deep(image: Image.Image) -> bool:
    """Whether the values of an image, not decoded yet, are wider than bytes."""
    return image.mode == "F" or image.mode.startswith("I") or has_wide_colours(image)


def is_transparent(image: Image.Image) -> bool:
    """Whether an image may have transparent parts."""
    return image.mode in ("PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info


def has_more_frames(image: Image.Image) -> bool:
    """Whether a file holds more than the image that is read: an animation, or several pages.

    The further pictures of a photograph (MPO) are previews, depth or brightness, and do not count.
    """
    if image.format == "MPO":
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # what comes after the first frame is damaged
        return True


def is_unit(low: float, high: float) -> bool:
    """Whether the smallest and largest float say that 0 is black and 1 is white: scaling images overshoots a little."""
    return low >= -OVERSHOOT and high <= 1 + OVERSHOOT


def to_bytes(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Values of any type, scaled so that limits become 0 and 255, uint8; beyond them they are clipped."""
    low, high = limits
    scaled = (np.asarray(values, dtype=np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.rint(np.nan_to_num(scaled, nan=0.0).clip(0, 255)).astype(np.uint8)


def fit_image(image: Image.Image, shape: Shape) -> np.ndarray:
    """Decode an image into uint8 (resolution, resolution, channels).

    The EXIF orientation is applied; of an animation the first frame counts; transparency is laid on the background;
    wide values are reduced to 8 bits. `crop` takes the central square, `pad` adds borders and keeps at least 1 px of
    the shorter side; scaling is anti-aliased bilinear. Raises ValueError for an image larger than LARGEST pixels or of
    floats beyond 0..1 without a range, and whatever the decoder raises.
    """
    if image.width * image.height > LARGEST:
        raise ValueError(f"{image.width} x {image.height} pixels, more than the limit of {LARGEST}")
    side = shape.resolution
    if image.format == "JPEG":
        image.draft(None, (2 * side, 2 * side))  # decode at a fraction of the size, still at least twice what is needed
    colours = wide_colours(image) if shape.range is not None else None
    image.load()
    turn = _TURNS.get(orientation(image))
    if deep := colours is not None or is_deep(image):
        image = Image.fromarray(_deep_to_bytes(np.asarray(image) if colours is None else colours, shape.range))
    if turn is not None:
        image = image.transpose(turn)
    if is_transparent(image):
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if shape.range is not None and not deep:
        bands = len(image.getbands()) - (image.mode == "RGBA")
        scale = to_bytes(np.arange(256), shape.range).tolist()
        image = image.point(scale * bands + list(range(256)) * (image.mode == "RGBA"))
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*[shape.background] * 3, 255)), image)
    wanted = "L" if shape.channels == 1 else "RGB"
    image = image if image.mode == wanted else image.convert(wanted)
    width, height = image.size
    if shape.fit == "crop":
        square = min(width, height)
        left, top = (width - square) // 2, (height - square) // 2
        image = image if width == height else image.crop((left, top, left + square, top + square))
        image = image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)
    else:
        size = padded_size(width, height, side)
        image = image.resize(size, Image.Resampling.BILINEAR)
        if size != (side, side):
            whole = Image.new(wanted, (side, side), (shape.background,) * shape.channels)
            whole.paste(image, (round((side - size[0]) * 0.5), round((side - size[1]) * 0.5)))
            image = whole
    return np.asarray(image, dtype=np.uint8).reshape(side, side, shape.channels)


def padded_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Size, px, of an image within a square of `side` px that it touches: at least 1 px both ways."""
    if width >= height:
        return side, max(1, round(height / width * side))
    return max(1, round(width / height * side)), side


def _deep_to_bytes(values: np.ndarray, limits: tuple[float, float] | None) -> np.ndarray:
    if limits is not None and values.ndim == 3 and values.shape[2] == 4:  # the last one says what is transparent
        return np.dstack([to_bytes(values[..., :3], limits), (values[..., 3:] >> 8).astype(np.uint8)])
    if limits is not None:
        return to_bytes(values, limits)
    if values.dtype.kind != "f":
        return (values.astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if not is_unit(low, high):
        raise ValueError(f"floats from {low:g} to {high:g}, expected 0 to 1; set `range: [low, high]` or `range: set`")
    return to_bytes(values, (0, 1))
