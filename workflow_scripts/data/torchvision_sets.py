"""Torchvision's classification data sets by name."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.source import Source

GIVEN = {
    "self",
    "root",
    "download",
    "train",
    "split",
    "image_set",
    "classes",
    "transform",
    "target_transform",
    "transforms",
}


def torchvision_set(name: str, root: str, splits: list[str], download: bool) -> Source:
    """A classification data set of torchvision by name; its splits one after the other."""
    import torchvision.datasets as library  # seconds to import, and not needed by the other sources

    kind = getattr(library, name, None)
    if not inspect.isclass(kind) or not issubclass(kind, library.VisionDataset):
        raise InputError(f"torchvision has no data set {name!r}; see torchvision.datasets for the names")
    parts = [_part(kind, root, split, download, len(splits)) for split in splits]
    starts = np.cumsum([0, *map(len, parts)])
    names = getattr(parts[0], "classes", None) or getattr(parts[0], "categories", None)
    _check_first(name, parts[0])

    def read(i: int) -> tuple[Image.Image, int]:
        part = int(np.searchsorted(starts, i, side="right")) - 1
        image, target = parts[part][i - int(starts[part])]
        return image, _label(target)

    def origin(i: int) -> str:
        part = int(np.searchsorted(starts, i, side="right")) - 1
        return f"{splits[part]}/{i - int(starts[part])}"

    classes = [str(name) for name in names] if isinstance(names, list | tuple) else []
    return Source(f"torchvision {name}", int(starts[-1]), classes, read, origin)


def _label(target: Any) -> int:
    """The class of an image; -1 where a set gives something else, such as CelebA's attributes."""
    try:
        return int(target) if np.ndim(target) == 0 else -1
    except (TypeError, ValueError):
        return -1


def _check_first(name: str, part: Any) -> None:
    try:
        image, _ = part[0]
    except Exception:  # a broken image is named when it is packed
        return
    if not isinstance(image, Image.Image):
        raise InputError(f"torchvision {name}: gives {type(image).__name__}, not images with classes; take another set")


def _part(kind: Any, root: str, split: str, download: bool, wanted: int) -> Any:
    known = inspect.signature(kind.__init__).parameters
    needed = [
        key
        for key, parameter in known.items()
        if key not in GIVEN
        and parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    if needed or "root" not in known:
        what = f"needs {', '.join(needed)}" if needed else "is not read from a folder"
        raise InputError(
            f"torchvision {kind.__name__}: no classification set that can be read by its name alone ({what}); take "
            "another, or save its images into a folder and use `source: imagefolder`"
        )
    options: dict[str, Any] = {"download": download} if "download" in known else {}
    if "train" in known:
        if split not in ("train", "test"):
            raise InputError(f"splits: {kind.__name__} has train and test, not {split!r}")
        options["train"] = split == "train"
    elif (key := next((key for key in ("split", "image_set") if key in known), None)) is not None:
        options[key] = split
    elif "classes" in known:  # LSUN: its parts are named bedroom_train, church_outdoor_val, ..
        options["classes"] = [split]
    elif wanted > 1 or split != "train":
        raise InputError(f"splits: {kind.__name__} has none; leave `splits` out")
    try:
        if not download:
            return kind(root=root, **options)
        Path(root).mkdir(parents=True, exist_ok=True)
        with FileLock(Path(root) / f".{kind.__name__}.lock"):  # of several runs that share the folder, one fetches
            return kind(root=root, **options)
    except Exception as cause:  # torchvision's sets raise whatever a missing file or package makes them
        raise InputError(
            f"torchvision {kind.__name__}, {split}: cannot be loaded from {root} ({type(cause).__name__}: {cause}). "
            f"Without a network, fetch it elsewhere with torchvision.datasets.{kind.__name__}(root, download=True), "
            f"copy that folder to {root}, and set `download: false`."
        ) from cause
