"""Which axis of an array counts the images, and which their colours: as NumPy, PyTorch or MATLAB users store them."""

from collections.abc import Collection
from math import isqrt

import numpy as np

from workflow_scripts.core.errors import InputError

CHANNELS = (1, 3, 4)
EXPECTED = "expected images (N, H, W), (N, H, W, C) or (N, C, H, W) of 1, 3 or 4 channels"
ROW, COLUMN = 4, 2  # beyond: more than the channels of one image; longer, in sides, than sets of images as wide
_ORDERS: dict[tuple[int, ...], str] = {
    (0, 1, 2, 3): "",
    (0, 2, 3, 1): "its channels came first, and are put last",
    (3, 0, 1, 2): "its last axis counts the images, and is put first",
}


def orders(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """How the axes of an array can be put as (N, H, W) or (N, H, W, C): the usual order first; none if it is no set."""
    if len(shape) == 3:
        return [(0, 1, 2), (2, 0, 1)]
    if len(shape) != 4:
        return []
    put = [(order, [shape[axis] for axis in order]) for order in _ORDERS]
    return [
        order
        for order, (_, height, width, channels) in put
        if channels in CHANNELS and (order == (0, 1, 2, 3) or channels < min(height, width))
    ]


def order_of(shape: tuple[int, ...], counts: Collection[int] = ()) -> tuple[int, ...] | None:
    """The order in which as many images are counted as there are labels (`counts`), else the usual one."""
    fitting = orders(shape)
    return next((order for order in fitting if shape[order[0]] in counts), fitting[0] if fitting else None)


def stacked(name: str, images: np.ndarray, counts: Collection[int] = ()) -> tuple[np.ndarray, list[str]]:
    """The images as (N, H, W, C), and what is to be said of their axes. counts: how many labels there are.

    Raises InputError for what is no image set, and where its axes could be meant in two ways.
    """
    shape = images.shape
    if not images.size and shape[:1] == (0,):
        raise InputError(f"{name}: holds no image; its shape is {shape}")
    order = order_of(shape, counts)
    if images.dtype.kind not in "buif" or order is None or not min(shape):
        raise InputError(f"{name}: holds {images.dtype} of shape {shape}, {EXPECTED}{flat_advice(shape)}")
    if len(shape) == 3:
        if shape[2] in CHANNELS and min(shape[:2]) > ROW:
            raise InputError(f"{name}: holds one image of shape {shape}, {EXPECTED}; stack all into one array")
        if shape[0] == shape[1] and shape[2] > COLUMN * shape[0] and not (counts and shape[order[0]] in counts):
            raise InputError(
                f"{name}: its shape {shape} reads as {shape[0]} images of {shape[1]} x {shape[2]} px; if the last axis "
                "counts them, save numpy.moveaxis(images, -1, 0), and if not, images[..., None]"
            )
        note = "" if order[0] == 0 else _ORDERS[3, 0, 1, 2]
        return images.transpose(order)[..., None], [note] if note else []
    return images.transpose(order), [_ORDERS[order]] if _ORDERS[order] else []


def flat_advice(shape: tuple[int, ...]) -> str:
    """How rows of values become square images, if they can be such; else nothing."""
    if len(shape) != 2:
        return ""
    sides = {channels: isqrt(shape[1] // channels) for channels in (1, 3)}
    if sides[1] > 1 and sides[1] ** 2 == shape[1]:
        return f"; if each row is an image, save images.reshape(-1, {sides[1]}, {sides[1]})"
    if sides[3] > 1 and 3 * sides[3] ** 2 == shape[1]:
        return (
            f"; if each row is an image, save images.reshape(-1, 3, {sides[3]}, {sides[3]}) where one colour follows "
            f"the other, as in CIFAR's, else images.reshape(-1, {sides[3]}, {sides[3]}, 3)"
        )
    return ""
