"""A contact sheet: what packing makes of twelve images of a set, so that crops, colours and ranges are seen at once."""

from typing import Any

import numpy as np
from PIL import Image

from workflow_scripts.data.decoding import BACKGROUNDS, Shape
from workflow_scripts.data.source import Source
from workflow_scripts.data.sources import open_source
from workflow_scripts.data.survey import background_of, packed_images, range_of

COLUMNS, ROWS = 4, 3
SIDE = 160  # px of an image on the sheet, about
GAP = 6  # px between two
PAPER = 96  # level of the sheet, so that black and white borders are seen


def contact_sheet(dataset: dict[str, Any]) -> Image.Image:
    """The sheet of a validated `datasets` entry: images at even places, enlarged by whole factors."""
    source = open_source(dataset)
    shape = Shape(
        dataset["resolution"],
        1 if dataset["color"] == "grey" else 3,
        dataset["fit"],
        BACKGROUNDS[background_of(source, dataset["background"])],
        range_of(source, dataset["range"]),
    )
    return drawn_sheet(_chosen(source, shape))


def drawn_sheet(images: np.ndarray) -> Image.Image:
    """Images uint8 (n, R, R, C), at most COLUMNS * ROWS of them, row by row on one sheet."""
    factor = max(1, round(SIDE / images.shape[1]))
    side = images.shape[1] * factor
    sheet = Image.new("RGB", (COLUMNS * (side + GAP) + GAP, ROWS * (side + GAP) + GAP), (PAPER,) * 3)
    for i, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("RGB")
        place = (GAP + i % COLUMNS * (side + GAP), GAP + i // COLUMNS * (side + GAP))
        sheet.paste(picture.resize((side, side), Image.Resampling.NEAREST), place)
    return sheet


def _chosen(source: Source, shape: Shape) -> np.ndarray:
    """Up to twelve images that can be read, among twice as many at even places."""
    wanted = COLUMNS * ROWS
    places = np.unique(np.linspace(0, source.count - 1, min(source.count, 2 * wanted)).astype(int))
    images = packed_images(source, places, shape)
    return images[np.unique(np.linspace(0, len(images) - 1, min(len(images), wanted)).astype(int))]
