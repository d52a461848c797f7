"""The kinds of thresholds: up to which distance does a sample count as a replica? No numerics: the config imports this.

A threshold is a mapping of its kind to a number, {"calibrated": 0.01}. A new kind is an entry of `KINDS`, and a way to
its distance in `measures.distance_threshold`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Gt, Le, Lt


@dataclass(frozen=True)
class Kind:
    """limits: the type of its number; held_out: how many held-out images a number needs."""

    limits: Any
    example: float
    meaning: str
    pixels_only: bool = False
    held_out: Callable[[float], int] = lambda _: 0


KINDS = {
    "calibrated": Kind(
        limits=Annotated[float, Gt(0), Lt(1)],
        example=0.01,
        meaning="the distance at which this share of held-out images would count",
        held_out=lambda share: math.ceil(1 / share - 1e-6),
    ),
    "rms": Kind(
        limits=Annotated[float, Gt(0), Le(1)],
        example=0.1415,
        meaning="root-mean-square difference per value, pixel values in 0..1",
        pixels_only=True,
    ),
}


def kind_of(threshold: dict[str, float]) -> tuple[Kind, float]:
    """The kind of a threshold, and its number."""
    ((name, number),) = threshold.items()
    return KINDS[name], number


def threshold_label(threshold: dict[str, float]) -> str:
    """`calibrated-0.01` for {"calibrated": 0.01}: how tables and files name a threshold."""
    ((name, number),) = threshold.items()
    return f"{name}-{number:g}"


def thresholds_in(space: dict[str, Any], thresholds: list[dict[str, float]]) -> list[dict[str, float]]:
    """Those that mean something in a space: distances between pixels only where vectors are pixels."""
    return [threshold for threshold in thresholds if space["kind"] == "pixel" or not kind_of(threshold)[0].pixels_only]
