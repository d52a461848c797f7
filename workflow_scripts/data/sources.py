"""Where images come from: each source of the config, read image by image, from several threads.

A source knows how many images it has and gives image i with its label; nothing is decoded before it is asked for.
"""

import gzip
import inspect
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_json, sha256
from workflow_scripts.data import sprites

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class Source:
    """A collection of images that can be read one by one.

    read: i -> (image as PIL image, label), where the label is an index into `classes` or -1. It may raise OSError or
    ValueError for an image that cannot be decoded. origin: i -> where image i comes from, for people.
    block: (start, stop) -> (uint8 (n, H, W, C), labels (n,)), for sources whose images are of one size already.
    """

    name: str
    count: int
    classes: list[str]
    read: Callable[[int], tuple[Image.Image, int]]
    origin: Callable[[int], str]
    licence: str = "unknown: the source does not say"
    superclasses: dict[str, list[str]] = field(default_factory=dict)
    ignored: int = 0  # files that are no images
    block: Callable[[int, int], tuple[np.ndarray, np.ndarray]] | None = None


def open_source(dataset: dict[str, Any], shipped: str | os.PathLike[str]) -> Source:
    """The source that a validated `datasets` entry describes; `shipped` is the folder of the shipped image sets."""
    kind = dataset["source"]
    if kind == "shipped":
        return shipped_set(Path(shipped) / dataset["name"])
    if kind == "imagefolder":
        return image_folder(Path(dataset["path"]), dataset["tree"])
    if kind == "torchvision":
        return torchvision_set(dataset["name"], dataset["root"], dataset["splits"], dataset["download"])
    if kind == "sprites":
        return sprite_set(dataset)
    if kind == "idx":
        labels = None if dataset["labels"] is None else read_idx(Path(dataset["labels"]), 1)
        return array_set(dataset["images"], read_idx(Path(dataset["images"]), 3), labels)
    if kind == "npz":
        return npz_set(dataset["path"], dataset["images_key"], dataset["labels_key"])
    labels = None if dataset["labels"] is None else load_array(dataset["labels"])
    return array_set(dataset["images"], load_array(dataset["images"]), labels)


def require(path: Path, what: str) -> Path:
    """`path` if it is there, else an InputError that says what to put where."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; put {what} there, or correct the path in the config")
    return path


def shipped_set(folder: Path) -> Source:
    """An image set that comes with the repository, checked against its SHA-256."""
    about = read_json(require(folder, "the shipped image set") / "about.json")
    for name, digest in about["sha256"].items():
        if (found := sha256(folder / name)) != digest:
            raise InputError(
                f"{folder / name}: its SHA-256 is {found}, expected {digest}; the file is damaged or was changed. "
                f"Restore it: git checkout -- {folder / name}"
            )
    images, labels = (read_idx(folder / about[key], dimensions) for key, dimensions in (("images", 3), ("labels", 1)))
    source = array_set(about["name"], images, labels)
    return replace(source, licence=about["licence"], classes=about["classes"], superclasses=about["superclasses"])


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes (the format of MNIST), plain or gzip-compressed, with so many dimensions."""
    require(path, "the IDX file")
    try:
        opener: Any = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as handle:
            content = handle.read()
        zero, kind, found = struct.unpack(">HBB", content[:4])
        shape = struct.unpack(f">{found}I", content[4 : 4 + 4 * found])
        if zero != 0 or kind != 8 or found != dimensions:
            raise ValueError(f"expected unsigned bytes in {dimensions} dimension(s), found type {kind} in {found}")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * found).reshape(shape)
    except Exception as cause:  # what a parser raises on a broken file is of many unrelated types
        raise InputError(f"{path}: not a readable IDX file ({cause}); fetch it again or correct the path") from cause


def load_array(path: str | os.PathLike[str]) -> np.ndarray:
    """A .npy array, memory-mapped; pickled ones are refused."""
    require(Path(path), "the NumPy file")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as cause:
        raise InputError(f"{path}: not a readable NumPy file ({cause}); save it with numpy.save") from cause


def npz_set(path: str, images_key: str, labels_key: str | None) -> Source:
    """Images and labels from a NumPy archive."""
    require(Path(path), "the NumPy archive")
    wanted = [key for key in (images_key, labels_key) if key is not None]
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            arrays = {key: archive[key] for key in wanted if key in names}
    except Exception as cause:
        raise InputError(f"{path}: not a readable NumPy archive ({cause}); save it with numpy.savez") from cause
    if missing := [key for key in wanted if key not in arrays]:
        raise InputError(f"{path}: has no array {missing[0]!r}, only {', '.join(names)}; correct the key")
    return array_set(path, arrays[images_key], None if labels_key is None else arrays[labels_key])


def array_set(name: str, images: np.ndarray, labels: np.ndarray | None) -> Source:
    """Images uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3) in one array, with labels (N,) or none."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise InputError(
            f"{name}: holds {images.dtype} of shape {images.shape}, expected uint8 images (N, H, W), (N, H, W, 1) or "
            "(N, H, W, 3)"
        )
    images = images if images.ndim == 4 else images[..., None]
    if labels is not None and (labels.shape != (len(images),) or labels.dtype.kind not in "iu"):
        raise InputError(
            f"{name}: has {len(images)} images, but its labels are {labels.dtype} of shape {labels.shape}; expected "
            "one integer for each image"
        )
    values, given = (np.empty(0), None) if labels is None else np.unique(labels, return_inverse=True)
    codes = np.full(len(images), -1) if given is None else given

    def read(i: int) -> tuple[Image.Image, int]:
        pixels = np.asarray(images[i])
        return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), int(codes[i])

    def block(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(images[start:stop]), codes[start:stop]

    classes = [str(value) for value in values]
    return Source(name, len(images), classes, read, lambda i: str(i), block=block)


def image_folder(root: Path, tree: str = "auto") -> Source:
    """PNG, JPEG and WebP files below a folder, in the order of their relative paths.

    tree: `flat` (no classes), `classes` (class/file), `supers` (super-class/class/file), or `auto`: whichever it is.
    Links are followed only to files inside the folder. Raises InputError for an empty or missing folder, a class folder
    without images, and files at unequal depths.
    """
    if not require(root, "the folder of images").is_dir():
        raise InputError(f"{root}: is a file, expected a folder of images")
    paths, ignored, empty = _list_images(root)
    if not paths:
        raise InputError(f"{root}: holds no image; expected files ending in {', '.join(sorted(IMAGE_SUFFIXES))}")
    depths = {len(path.parts) - 1 for path in paths}
    wanted = {"flat": {0}, "classes": {1}, "supers": {2}}.get(tree, depths)
    if depths != wanted or len(depths) > 1 or max(depths) > 2:
        odd = next(path for path in paths if len(path.parts) - 1 != min(wanted)) if len(depths) > 1 else paths[0]
        raise InputError(
            f"{root / odd}: lies {len(odd.parts) - 1} folder(s) deep, expected all images "
            f"{'at one depth of at most 2' if tree == 'auto' else f'at depth {min(wanted)} (tree: {tree})'}; move it, "
            "or set `tree` to flat, classes or supers"
        )
    if empty and max(depths) > 0:
        raise InputError(f"{root / empty[0]}: a class folder without images; fill it or remove it")
    names = [path.parent.as_posix() for path in paths]
    classes = sorted(set(names)) if max(depths) > 0 else []
    codes = np.searchsorted(classes, names) if classes else np.full(len(paths), -1)
    supers: dict[str, list[str]] = {}
    if max(depths) == 2:
        for name in classes:
            supers.setdefault(name.split("/")[0], []).append(name)

    def read(i: int) -> tuple[Image.Image, int]:
        return Image.open(root / paths[i]), int(codes[i])

    return Source(
        root.name, len(paths), classes, read, lambda i: paths[i].as_posix(), superclasses=supers, ignored=ignored
    )


def _list_images(root: Path) -> tuple[list[Path], int, list[Path]]:
    """Relative paths of images in order, the number of other files, and folders without files or folders."""
    inside = root.resolve()
    images, ignored, empty = [], 0, []
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        if not files and not folders:
            empty.append(here.relative_to(root))
        for name in files:
            path = here / name
            reachable = not path.is_symlink() or path.resolve().is_relative_to(inside)
            if path.suffix.lower() in IMAGE_SUFFIXES and reachable:
                images.append(path.relative_to(root))
            else:
                ignored += 1
    return sorted(images), ignored, sorted(empty)


def sprite_set(dataset: dict[str, Any]) -> Source:
    """Sprites with the number of factors and classes of the config, drawn at the wanted resolution."""
    count, classes = dataset["count"], dataset["classes"]
    values = sprites.draw_factors(count, dataset["factors"], dataset["seed"])
    shapes = np.arange(count) % classes

    def block(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        part = {name: value[start:stop] for name, value in values.items()}
        channels = 1 if dataset["color"] == "grey" else 3
        return sprites.render(part, shapes[start:stop], dataset["resolution"], channels), shapes[start:stop]

    def read(i: int) -> tuple[Image.Image, int]:
        pixels, labels = block(i, i + 1)
        return Image.fromarray(pixels[0].squeeze()), int(labels[0])

    names = [name for name, _ in sprites.SHAPES[:classes]]
    return Source("sprites", count, names, read, lambda i: str(i), "MIT, drawn by Copycat", block=block)


def torchvision_set(name: str, root: str, splits: list[str], download: bool) -> Source:
    """A classification data set of torchvision by name; its splits one after the other."""
    import torchvision.datasets as library  # seconds to import, and not needed by the other sources

    kind = getattr(library, name, None)
    if not inspect.isclass(kind) or not issubclass(kind, library.VisionDataset):
        raise InputError(f"torchvision has no data set {name!r}; see torchvision.datasets for the names")
    parts = [_torchvision_part(kind, root, split, download) for split in splits]
    starts = np.cumsum([0, *map(len, parts)])
    names = getattr(parts[0], "classes", None)

    def read(i: int) -> tuple[Image.Image, int]:
        part = int(np.searchsorted(starts, i, side="right")) - 1
        image, target = parts[part][i - int(starts[part])]
        # Sets such as CelebA give attributes instead of one class.
        return image, int(target) if np.ndim(target) == 0 and target is not None else -1

    def origin(i: int) -> str:
        part = int(np.searchsorted(starts, i, side="right")) - 1
        return f"{splits[part]}/{i - int(starts[part])}"

    classes = [str(one) for one in names] if isinstance(names, list | tuple) else []
    return Source(f"torchvision {name}", int(starts[-1]), classes, read, origin)


def _torchvision_part(kind: Any, root: str, split: str, download: bool) -> Any:
    known = inspect.signature(kind.__init__).parameters
    options: dict[str, Any] = {"download": download} if "download" in known else {}
    if "train" in known:
        if split not in ("train", "test"):
            raise InputError(f"splits: {kind.__name__} has train and test, not {split!r}")
        options["train"] = split == "train"
    elif (key := next((key for key in ("split", "image_set") if key in known), None)) is not None:
        options[key] = split
    elif "classes" in known:  # LSUN: its parts are named bedroom_train, church_outdoor_val, ..
        options["classes"] = [split]
    try:
        if not download:
            return kind(root=root, **options)
        Path(root).mkdir(parents=True, exist_ok=True)
        with FileLock(Path(root) / f".{kind.__name__}.lock"):  # of several runs that share the folder, one fetches
            return kind(root=root, **options)
    except (RuntimeError, OSError, ValueError) as cause:
        raise InputError(
            f"torchvision {kind.__name__}, {split}: cannot be loaded from {root} ({cause}). Without a network, fetch "
            f"it elsewhere with torchvision.datasets.{kind.__name__}(root, download=True), copy that folder to {root}, "
            "and set `download: false`."
        ) from cause
