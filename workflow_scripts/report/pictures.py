"""The nearest pairs of samples and training images, for the slider of the report."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from workflow_scripts.core import figures
from workflow_scripts.core.files import read_npy, read_parquet
from workflow_scripts.replication.drawing import at_even_quantiles
from workflow_scripts.replication.tables import by_rank
from workflow_scripts.report.study import Study

PAIRS, FEWEST_PAIRS = 24, 8  # shown of each generator, size and space
ALL_PAIRS = 1200  # of all of them together: beyond, fewer of each
TILE = 64  # px of a thumbnail
LARGE = 200_000  # bytes of pixels from which on a sheet is kept as JPEG, which is far smaller


@dataclass(frozen=True)
class Gallery:
    """Nearest pairs of every generator, data set, size and space, as the page's script reads them.

    entries: for each, what it is, a sheet of thumbnails (sample above training image), its pairs with their distances,
    all distances of its samples, the key of its controls, and the thresholds of the study. controls: by that key,
    distances of held-out images. Distances are little-endian float64 in base64, so that shares agree with the study's.
    """

    entries: list[dict[str, Any]]
    controls: dict[str, str]


def gallery(study: Study) -> Gallery:
    settings = study.config["replication"]
    chosen = [
        (dataset, generator, space, size)
        for dataset in study.replicated
        for generator in settings["generators"]
        for space in settings["spaces"]
        for size in settings["datasets"][dataset]["sizes"]
    ]
    pairs = int(np.clip(ALL_PAIRS // max(len(chosen), 1), FEWEST_PAIRS, PAIRS))
    entries, controls = [], {}
    for dataset, generator, space, size in chosen:
        run, seed = study.run_of(generator, dataset, size), settings["seeds"][0]
        images = read_npy(study.folder / f"data/{dataset}/images.npy")
        samples = read_npy(study.folder / f"samples/{run}/images.npy")
        nearest = by_rank(read_parquet(study.folder / f"neighbours/{space}/{run}.parquet"), 1)
        distance, index = nearest["distance"].to_numpy(), nearest["index"].to_numpy()
        shown = at_even_quantiles(distance, min(pairs, len(distance)))
        control = f"{space}/{dataset}/size-{size}/seed-{seed}"
        if control not in controls:
            rows = read_parquet(study.folder / f"controls/{control}.parquet")
            held_out = by_rank(rows[rows["kind"] == "held_out"], 1)["distance"]
            controls[control] = _numbers(held_out.to_numpy())
        measured = study.json(f"replication/{space}/{run}.json")
        sheet = np.concatenate([_tiles(samples[shown]), _tiles(images[index[shown]])])
        entries.append(
            {
                "dataset": dataset,
                "generator": generator,
                "space": space,
                "size": size,
                "sheet": _uri(figures.mosaic(sheet, columns=len(shown), gap=0)),
                "pairs": [
                    {
                        "sample": int(nearest.index[place]),
                        "training": int(index[place]),
                        "distance": float(distance[place]),
                    }
                    for place in shown
                ],
                "distances": _numbers(distance),
                "control": control,
                "thresholds": [
                    {"label": threshold["label"], "distance": threshold["threshold"]["rms"]}
                    for threshold in measured["thresholds"]
                ],
            }
        )
    return Gallery(entries, controls)


def _tiles(images: np.ndarray) -> np.ndarray:
    """Images, uint8 (n, H, W, C), no larger than TILE px."""
    height, width = images.shape[1:3]
    scale = TILE / max(height, width)
    if scale >= 1:
        return np.asarray(images)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = [np.asarray(_pillow(image).resize(size, Image.Resampling.BOX)) for image in images]
    return np.stack(small).reshape(len(small), size[1], size[0], -1)


def _pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image))


def _uri(image: np.ndarray) -> str:
    file = io.BytesIO()
    kind, settings = ("JPEG", {"quality": 85}) if image.nbytes > LARGE else ("PNG", {"optimize": True})
    _pillow(image).save(file, kind, **settings)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _numbers(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode()
