"""How a folder, an archive or a table of images is read: which keys of `datasets` suit what it holds."""

import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.archives import members_of
from workflow_scripts.data.arrays import extremes, load_array, single
from workflow_scripts.data.decoding import is_unit
from workflow_scripts.data.folder_contents import Listing, list_images, list_names
from workflow_scripts.data.folder_names import (
    DRAWN,
    FEWEST_CASES,
    PICTURES,
    are_buckets,
    are_cases,
    drawn_beside,
    splits_in,
    without_wrappers,
)
from workflow_scripts.data.folders import are_classes, labels_of
from workflow_scripts.data.formats import SUFFIXES, advice_for
from workflow_scripts.data.layouts import EXPECTED, flat_advice, order_of
from workflow_scripts.data.survey import bits_in_use, bits_of
from workflow_scripts.data.tables import class_names, fields_of

INNERMOST = "([^/]+)/[^/]*$"  # of a path: the folder that the file is in
# What a file's name begins with, one word or two: 00012 of 00012_003.png, case-07 of case-07-side.png.
BEGINNINGS = ("[^/ ._-]+", "[^/ ._-]+[ ._-]+[^/ ._-]+")
FEWEST_TOGETHER, LARGEST_GROUP = 0.5, 0.2  # shares of the images: in groups of several, and in the largest group
ONE_IMAGE = "give the folder that it lies in, or save the pages of a stack as files of their own"
LABELS = {"label", "labels", "target", "targets", "y", "class", "classes"}  # words in keys of arrays
LABEL_COLUMNS = {"label", "labels", "class", "fine_label", "target", "category", "digit"}


def settings_for(path: Path) -> dict[str, Any]:
    """How a folder or file of images is read, the keys of `datasets`. Raises InputError for what is no image set."""
    kinds = {".zip": "zip", ".tar": "webdataset", ".parquet": "parquet", ".npz": "npz", ".npy": "npy"}
    where = {"path": str(path)}
    if path.is_dir():
        listing = list_images(path)
        suffixes = {os.path.splitext(name)[1] for name in listing.other}
        if not listing.images and (kind := next((kinds[end] for end in (".parquet", ".tar") if end in suffixes), "")):
            return {"source": kind, **where} | (_parquet_keys(path) if kind == "parquet" else {})
        return {"source": "imagefolder", **where, **_labels_or_tree(listing, lambda name: (path / name).read_bytes())}
    kind = kinds.get(path.suffix.lower(), "")
    if path.exists() and not kind:
        known = advice_for(path.name) or (ONE_IMAGE if path.suffix.lower() in SUFFIXES else "")
        way = f"; {known}" if known else ""
        raise InputError(f"{path}: is a file, expected a folder of images, or a file ending in {', '.join(kinds)}{way}")
    if kind == "npy":
        return {"source": kind, "images": str(path)} | (_array_range(load_array(path)) if path.exists() else {})
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give the folder of your images")
    keys = {"zip": _zip_tree, "parquet": _parquet_keys, "npz": _npz_keys}.get(kind)
    return {"source": kind, **where} | (keys(path) if keys else {})


def _tree(paths: Iterable[str]) -> dict[str, Any]:
    """The keys `splits` and `tree` of image files in folders, where they need other values than their defaults."""
    paths = kept = list(paths)
    depth, splits = splits_in(paths)
    folders = [path.split("/")[:-1] for path in paths]
    tops = {parts[0] for parts in folders if parts}
    if not splits and (drawn := drawn_beside(tops)) and all(folders):
        splits = sorted(tops - set(drawn))
        kept, folders = _within(splits, paths)
    chosen: dict[str, Any] = {"splits": splits} if splits else {}
    if splits and depth == 0 and (labelled := _labelled(folders)):
        chosen["splits"] = splits = labelled
        kept, folders = _within(splits, paths)
    rest = without_wrappers([tuple(parts[:depth] + parts[depth + 1 :] if splits else parts) for parts in folders])
    if are_cases(rest):
        tops = {parts[0] for parts in rest}
        in_classes = min(map(len, rest)) > 1 and 2 <= len(tops) <= len(set(rest)) / 2
        return chosen | {"tree": "tops" if in_classes else "flat", "group_pattern": INNERMOST}
    last = sorted({parts[-1] for parts in rest if parts})
    pictures = len(last) == 1 and last[0].lower() in PICTURES
    buckets = are_buckets(last) and not _are_numbered_classes(paths, rest)
    if len({len(parts) for parts in rest}) > 1 or max(map(len, rest), default=0) > 2 or buckets or pictures:
        chosen["tree"] = "flat"
    if pattern := _groups_in(kept, [()] * len(rest) if "tree" in chosen else rest):
        chosen["group_pattern"] = pattern
    return chosen


def _within(splits: list[str], paths: list[str]) -> tuple[list[str], list[list[str]]]:
    """The paths that lie in the outermost folders `splits`, and the folders of each."""
    kept = [path for path in paths if path.split("/")[0] in splits]
    return kept, [path.split("/")[:-1] for path in kept]


def _groups_in(paths: list[str], classes: list[tuple[str, ...]]) -> str:
    """The pattern by which names begin with the number of a patient or another case, several images each; else none.

    It finds no classes: many groups are in each folder of `classes`, and none holds a large part of the images. Where
    names come again in several folders, numbers are taken to be given anew in each, and the folder tells them apart.
    """
    anew = len({path.rpartition("/")[2] for path in paths}) < len(paths)
    for beginning in BEGINNINGS:
        pattern = f"({'[^/]+/' if anew else ''}{beginning})[^/]*$"
        matches = [re.search(pattern, path) for path in paths]
        groups = [tuple(match[1].split("/")) for match in matches if match]
        counts = Counter(groups)
        together = sum(count for count in counts.values() if count > 1)
        if (
            len(groups) == len(paths)
            and are_cases(groups)
            and together >= FEWEST_TOGETHER * len(paths)
            and max(counts.values()) <= LARGEST_GROUP * len(paths)
            and len(set(zip(classes, groups, strict=True))) >= FEWEST_CASES * len(set(classes))
        ):
            return pattern
    return ""


def _are_numbered_classes(paths: list[str], folders: list[tuple[str, ...]]) -> bool:
    """Whether numbered folders hold unequal numbers of images that are counted anew in each: parts of a set do not."""
    counts = sorted(Counter(folders).values())
    names = Counter(path.rpartition("/")[2] for path in paths)
    return counts[1] < counts[-1] and max(names.values()) > len(counts) / 2


def _labelled(folders: list[list[str]]) -> list[str]:
    """The splits of which all images lie in class folders, where those of the others lie in none: train beside test."""
    depths: dict[str, set[int]] = {}
    for parts in folders:
        depths.setdefault(parts[0], set()).add(len(parts))
    labelled = sorted(name for name, levels in depths.items() if levels == {2})
    return labelled if all(levels in ({1}, {2}) for levels in depths.values()) and len(labelled) < len(depths) else []


def _labels_or_tree(listing: Listing, read: Callable[[str], bytes]) -> dict[str, Any]:
    """The keys of image files by StyleGAN's labels, if these are classes, else by their folders."""
    try:
        labels = labels_of("", listing, read)
    except InputError:  # the reader says what is wrong with it
        return {}
    if labels is None:
        return _tree(listing.images)
    return {} if are_classes(labels.values()) else {"tree": "flat"}


def _zip_tree(path: Path) -> dict[str, Any]:
    try:
        archive = zipfile.ZipFile(path)
        members = members_of(archive)
        return _labels_or_tree(list_names(members), lambda name: archive.read(members[name]))
    except Exception:  # the reader says what is wrong with it
        return {}


def _npz_keys(path: Path) -> dict[str, Any]:
    """The archive's arrays of images and of labels, by their shapes; MedMNIST's splits are put together."""
    arrays, pickled = {}, []
    try:
        with np.load(path, allow_pickle=False) as archive:
            for key in archive.files:
                try:
                    arrays[key] = archive[key]
                except ValueError:
                    pickled.append(f"{key} (Python objects, which are never opened: save one array of numbers)")
    except Exception:  # the reader says what is wrong with it
        return {}
    shapes = {key: array.shape for key, array in arrays.items()}
    others = [key for key, array in arrays.items() if _names_classes(array, named=bool(LABELS & _words(key)))]
    others.sort(key=lambda key: not LABELS & _words(key))
    counts = {key: len(single(arrays[key])) for key in others}
    axes = {key: order for key, shape in shapes.items() if (order := order_of(shape, counts.values()))}
    # Masks have the shape of images, too; they are taken only if nothing else is there.
    images = [key for key in axes if not DRAWN & set(key.lower().split("_"))] or list(axes)
    if not images:
        held = ", ".join([*(f"{key} {shape}" for key, shape in shapes.items()), *pickled])
        why = f"only {held}" if held else "it is empty"
        raise InputError(
            f"{path}: holds no array of images, {why}; {EXPECTED}{''.join(map(flat_advice, shapes.values()))}"
        )
    sizes = {key: [shapes[key][axis] for axis in axes[key]] for key in images}
    images = [key for key in images if sizes[key][1:] == sizes[images[0]][1:]]
    labels = []
    for key in images:
        fitting = [other for other in others if counts[other] == sizes[key][0] and other not in labels]
        labels += [other for other in fitting if _words(key) & _words(other)][:1] or fitting[:1]  # x_train, y_train
    keys: dict[str, Any] = {"images_key": images if len(images) > 1 else images[0]}
    if len(labels) == len(images):
        keys["labels_key"] = labels if len(labels) > 1 else labels[0]
    return keys | _array_range(*(arrays[key] for key in images))


def unread_labels(path: Path, settings: dict[str, Any], count: int) -> tuple[str, ...]:
    """A note of labels that name several classes for an image, or are more or fewer than the images."""
    if settings["source"] not in ("npz", "parquet") or "labels_key" in settings:
        return ()
    if settings["source"] == "parquet":
        columns, _ = _columns(path)
        several = [f"{name} ({columns[name]})" for name in _label_columns(columns)]
    else:
        used = np.hstack([settings["images_key"]]).tolist()
        with np.load(path, allow_pickle=False) as archive:
            shapes = {key: archive[key].shape for key in archive.files if key not in used}
        several = [
            f"{key} {shape}"
            for key, shape in shapes.items()
            if (len(shape) == 2 and shape[1] > 1 and 0 < shape[0] <= count)
            or (len(shape) == 1 and key.lower().rsplit("_", 1)[-1] in LABELS)
        ]
    if not several:
        return ()
    return (f"{', '.join(several)}: not read as labels, since they do not name one class for each image",)


def _names_classes(labels: np.ndarray, named: bool) -> bool:
    """Whether an array may hold one class for each image: whole numbers or text, or a matrix with a single 1 in a row.

    One that is not named like labels has a class for at least two images each: numbers of images, or ages, have not.
    """
    if labels.ndim == 2 and 1 not in labels.shape:
        return labels.dtype.kind in "buif" and bool((np.sort(labels)[:, -2:] == [0, 1]).all())
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "buifUS":
        return False
    values = labels.ravel()
    whole = labels.dtype.kind != "f" or bool((values == np.rint(values)).all())
    return whole and (named or len(np.unique(values)) <= len(values) / 2)


def _words(key: str) -> set[str]:
    """The parts of an array's name."""
    return set(key.lower().split("_"))


def _array_range(*arrays: np.ndarray) -> dict[str, Any]:
    """The key `range` of arrays whose type does not say which values are black and white."""
    if any(array.dtype.kind not in "uif" or array.dtype == np.uint8 or not array.size for array in arrays):
        return {}
    lows, highs = zip(*map(extremes, arrays), strict=True)
    low, high = min(lows), max(highs)
    unit = arrays[0].dtype.kind == "f" and is_unit(low, high)
    if not np.isfinite([low, high]).all() or unit or (low >= 0 and high <= 255):  # refused, or taken as they are
        return {}
    if arrays[0].dtype.kind == "f":
        return {"range": [-1.0, 1.0] if -1 <= low < 0 and high <= 1 else [low, high]}
    if low < 0:
        return {"range": [low, high]}
    parts = [part for array in arrays for part in np.array_split(array, -(-len(array) // 512))]
    bits = bits_in_use(np.sum([bits_of(part) for part in parts], axis=0))
    return {"range": [0, 2**bits - 1]}


def _parquet_keys(path: Path) -> dict[str, Any]:
    """The columns of images, by the usual names before others, and of classes, by Hugging Face's before others."""
    import pyarrow as arrow

    columns, metadata = _columns(path)
    if not columns:
        return {}
    images = [name for name, kind in columns.items() if _is_encoded(kind)]
    if not images:
        held = ", ".join(f"{name} ({kind})" for name, kind in columns.items() if "." not in name)
        raise InputError(f"{path}: no column holds encoded images, as bytes or as {{bytes, path}}, only {held}")
    named = [name for name in images if name.rpartition(".")[2].lower() in PICTURES] or images
    labels = [name for name in columns if class_names(metadata, name)]
    labels += [name for name in _label_columns(columns) if not arrow.types.is_nested(columns[name])]
    return {"images_key": named[0]} | ({"labels_key": labels[0]} if labels else {})


def _label_columns(columns: Iterable[str]) -> list[str]:
    return [name for name in columns if name.rpartition(".")[2].lower() in LABEL_COLUMNS]


def _columns(path: Path) -> tuple[dict[str, Any], dict[bytes, bytes] | None]:
    """Types of the columns and of their fields in a Parquet file, or the first one of a folder, and its description.

    None where it cannot be read.
    """
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    file = next(iter(sorted(path.rglob("*.parquet"))), path) if path.is_dir() else path
    try:
        schema = parquet.read_schema(file)
    except (arrow.ArrowException, OSError):  # the reader says what is wrong with it
        return {}, None
    columns = {}
    for column in schema:
        columns[column.name] = column.type
        if not _is_encoded(column.type):
            columns |= {f"{column.name}.{field.name}": field.type for field in fields_of(column.type)}
    return columns, schema.metadata


def _is_encoded(kind: Any) -> bool:
    """Whether cells of this type can be encoded images: bytes, or {bytes, path}."""
    import pyarrow as arrow

    if arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind):
        return True
    return any(field.name == "bytes" and _is_encoded(field.type) for field in fields_of(kind))
