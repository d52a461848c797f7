"""The sources of the config by name. A new one is a function here, a model in config/datasets.py, and its reader."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.archives import files_of, webdataset_set, zip_set
from workflow_scripts.data.arrays import array_set, load_array, npz_set, read_idx, shipped_set
from workflow_scripts.data.folders import image_folder
from workflow_scripts.data.source import Source, printable, twin_notes, with_held_out
from workflow_scripts.data.sprites import sprite_set
from workflow_scripts.data.tables import parquet_set
from workflow_scripts.data.torchvision_sets import torchvision_set

ROOT = Path(__file__).parents[2]


def _arrays(dataset: dict[str, Any], images: Callable[..., np.ndarray], labels: Callable[..., np.ndarray]) -> Source:
    return array_set(
        dataset["images"],
        images(dataset["images"]),
        None if dataset["labels"] is None else labels(dataset["labels"]),
        dataset.get("range", "type"),
    )


OPENERS: dict[str, Callable[[dict[str, Any]], Source]] = {
    "shipped": lambda dataset: shipped_set(ROOT / "resources" / dataset["name"]),
    "imagefolder": lambda dataset: image_folder(
        Path(dataset["path"]), dataset["tree"], dataset["splits"], dataset["follow_links"]
    ),
    "zip": lambda dataset: zip_set(Path(dataset["path"]), dataset["tree"], dataset["splits"]),
    "webdataset": lambda dataset: webdataset_set(Path(dataset["path"]), dataset["labels_key"]),
    "parquet": lambda dataset: parquet_set(Path(dataset["path"]), dataset["images_key"], dataset["labels_key"]),
    "torchvision": lambda dataset: torchvision_set(
        dataset["name"], dataset["root"], dataset["splits"], dataset["download"]
    ),
    "sprites": sprite_set,
    "idx": lambda dataset: _arrays(dataset, lambda path: read_idx(Path(path), 3), lambda path: read_idx(Path(path), 1)),
    "npz": lambda dataset: npz_set(
        dataset["path"], dataset["images_key"], dataset["labels_key"], dataset.get("range", "type")
    ),
    "npy": lambda dataset: _arrays(dataset, load_array, load_array),
}


def open_source(dataset: dict[str, Any]) -> Source:
    """The source that a validated `datasets` entry describes, with its held-out images if it has some of its own."""
    source = OPENERS[dataset["source"]](dataset)
    source = replace(source, notes=(*source.notes, *twin_notes(source.classes)))
    if not (path := dataset.get("held_out_path")):
        return source
    held_out = OPENERS[dataset["source"]]({**dataset, "path": path, "splits": []})
    _check_apart(dataset, source, held_out)
    if held_out.count < dataset["held_out"]:
        raise InputError(
            f"held_out: {dataset['held_out']} given, but {path} has only {held_out.count} images; lower it"
        )
    return with_held_out(source, replace(held_out, superclasses={}))


def _check_apart(dataset: dict[str, Any], source: Source, held_out: Source) -> None:
    """Raises InputError if files of `held_out_path` are among those of `path`."""
    root, other = (Path(os.path.realpath(dataset[key])) for key in ("path", "held_out_path"))
    if suffix := {"webdataset": ".tar", "parquet": ".parquet"}.get(dataset["source"]):
        shared = len({*files_of(root, (suffix,), "the file")} & {*files_of(other, (suffix,), "the file")})
    elif other.is_relative_to(root):
        shared = _below(source, other.relative_to(root))
    elif root.is_relative_to(other):
        shared = _below(held_out, root.relative_to(other))
    else:
        return
    if shared:
        raise InputError(
            f"held_out_path: {shared} files of {dataset['held_out_path']} are in {dataset['path']}, too, and would be "
            "trained on; move them out, or name the others by `splits`"
        )


def _below(source: Source, folder: Path) -> int:
    """How many of its images lie in a folder below its own, which may be that itself."""
    start = printable(f"{folder}/") if folder != Path() else ""
    return sum(source.origin(i).startswith(start) for i in range(source.count))
