"""Sprites: one anti-aliased shape an image, drawn from k continuous factors, hence of known intrinsic dimension k."""

from typing import Any

import numpy as np
from PIL import Image

from workflow_scripts.data.source import Source

# Factors in the order in which they come into play: (name, lowest, highest); lengths in units of the image's side.
FACTORS = (
    ("x", 0.35, 0.65),
    ("y", 0.35, 0.65),
    ("radius", 0.14, 0.24),
    ("brightness", 0.4, 1.0),
    ("elongation", 1.0, 1.7),
    ("angle", 0.0, np.pi / 2),
)
FIXED = {"x": 0.5, "y": 0.5, "radius": 0.2, "brightness": 1.0, "elongation": 1.0, "angle": 0.6}
# One shape a class: the exponent p of |u|^p + |v|^p = 1 (2: ellipse, 8: nearly a rectangle, 1: diamond), and a ring.
SHAPES = (("ellipse", 2.0), ("rectangle", 8.0), ("diamond", 1.0), ("ring", 2.0))
EDGE = 0.06  # width of the blurred outline: images change smoothly with every factor


def draw_factors(count: int, factors: int, seed: int) -> dict[str, np.ndarray]:
    """Uniform values (count,) for the first `factors` factors and fixed values for the others."""
    random = np.random.default_rng([seed, factors])
    values = random.random((factors, count))
    free = {name: low + (high - low) * v for (name, low, high), v in zip(FACTORS, values, strict=False)}
    return {name: free.get(name, np.full(count, FIXED[name])) for name, _, _ in FACTORS}


def render(factors: dict[str, np.ndarray], shapes: np.ndarray, resolution: int, channels: int) -> np.ndarray:
    """Draw the sprites: uint8 (N, resolution, resolution, channels), bright on black.

    factors: each (N,); shapes: (N,) indices into SHAPES. In colour, all three channels are alike.
    """
    centre = (np.arange(resolution, dtype=np.float32) + 0.5) / resolution
    column = {name: value.astype(np.float32)[:, None, None] for name, value in factors.items()}
    dx, dy = centre[None, None, :] - column["x"], centre[None, :, None] - column["y"]
    cos, sin = np.cos(column["angle"]), np.sin(column["angle"])
    # The area stays the same while the shape grows longer.
    long, short = column["radius"] * np.sqrt(column["elongation"]), column["radius"] / np.sqrt(column["elongation"])
    u, v = np.abs(dx * cos + dy * sin) / long, np.abs(dy * cos - dx * sin) / short
    power = np.array([p for _, p in SHAPES], dtype=np.float32)[shapes][:, None, None]
    distance = (u**power + v**power) ** (1 / power) - 1
    ring = (np.array([name == "ring" for name, _ in SHAPES])[shapes])[:, None, None]
    distance = np.where(ring, np.abs(distance + 0.25) - 0.25, distance)
    light = column["brightness"] / (1 + np.exp(np.clip(distance * column["radius"] / EDGE * 4, -60, 60)))
    pixels = np.rint(light * 255).astype(np.uint8)
    return np.repeat(pixels[..., None], channels, axis=-1)


def sprite_set(dataset: dict[str, Any]) -> Source:
    """Sprites with the number of factors and classes of the config, drawn at the wanted resolution."""
    count, classes = dataset["count"], dataset["classes"]
    values = draw_factors(count, dataset["factors"], dataset["seed"])
    shapes = np.arange(count) % classes

    def block(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        part = {name: value[start:stop] for name, value in values.items()}
        channels = 1 if dataset["color"] == "grey" else 3
        return render(part, shapes[start:stop], dataset["resolution"], channels), shapes[start:stop]

    def read(i: int) -> tuple[Image.Image, int]:
        pixels, labels = block(i, i + 1)
        return Image.fromarray(pixels[0].squeeze()), int(labels[0])

    names = [name for name, _ in SHAPES[:classes]]
    return Source("sprites", count, names, read, str, "MIT, drawn by Copycat", block=block)
