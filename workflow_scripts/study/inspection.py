"""What is in a set of images: how many, how large, of which colours and classes, which are broken or repeated."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.config.datasets import SOURCES
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.progress import progress
from workflow_scripts.data.archives import members_of
from workflow_scripts.data.arrays import extremes, load_array, single
from workflow_scripts.data.decoding import Shape, fit_image, has_more_frames, is_deep, is_grey, is_transparent, is_unit
from workflow_scripts.data.folders import (
    DRAWN,
    LABELS_FILE,
    PICTURES,
    are_buckets,
    are_cases,
    are_classes,
    drawn_beside,
    labels_in,
    list_images,
    list_names,
    splits_in,
)
from workflow_scripts.data.formats import advice_for, orientation
from workflow_scripts.data.layouts import EXPECTED, flat_advice, order_of
from workflow_scripts.data.packing import BLOCK
from workflow_scripts.data.source import Source, reason
from workflow_scripts.data.sources import open_source
from workflow_scripts.data.survey import background_of, extremes_of

MOST = 20_000  # images that are looked at; of more, a sample at even places
SIDE = 64  # px that an image is decoded to for it
INNERMOST = "([^/]+)/[^/]*$"  # of a path: the folder that the file is in
LABELS = {"label", "labels", "target", "targets", "y"}  # last words of keys of arrays
GREY = 128  # level behind transparent parts, where dark and bright ones are seen


@dataclass
class Inspection:
    """A set of images.

    settings: how it is read, the keys of `datasets`. count: images; looked_at: of them, those that were opened.
    classes: images by class. sides: int (n, 2), width and height of the readable ones, turned as their EXIF says. grey,
    coloured: images whose files are grey, and that show a colour. limits: smallest and largest value by kind, `wide` or
    `bytes`. transparent: images that may have transparent parts. frames: images of which only the first frame or page
    is read. broken: reason by file. repeated: images that are equal to another one. left_out: names by kind of what is
    no image. seconds_an_image: what it took to open one, by all threads at once.
    """

    root: Path
    settings: dict[str, Any]
    count: int
    looked_at: int
    classes: dict[str, int]
    sides: np.ndarray
    grey: int
    coloured: int
    limits: dict[str, tuple[float, float]]
    transparent: int
    background: str
    seconds_an_image: float
    frames: int = 0
    left_out: dict[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    broken: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, str] = field(default_factory=dict)

    @property
    def usable(self) -> int:
        """About how many images can be read: of a sample, the same share of all."""
        return self.count - round(len(self.broken) * self.count / max(self.looked_at, 1))

    def lines(self) -> list[str]:
        """What a person is told, a line for each finding."""
        sampled = "" if self.looked_at == self.count else f" ({self.looked_at:,} of them looked at)"
        lines = [f"{self.count:,} images in {self.root}{sampled}"]
        if len(self.sides):
            lines.append(f"sizes: {_sizes(self.sides)}")
        files = len(self.sides) - self.grey
        kinds = [f"{files:,} in colour" * bool(files), f"{self.grey:,} grey" * bool(self.grey)]
        content = ", all of them grey in content" * (files > 0 and not self.coloured)
        lines.append(f"colours: {', '.join(filter(None, kinds))}{content}")
        if self.transparent:
            lines.append(f"transparency: {self.transparent:,}; most of them show on {self.background}")
        if self.frames:
            lines.append(f"animations or several pages: {self.frames:,}; only the first frame of each is read")
        for kind, (darkest, brightest) in self.limits.items():
            if kind == "wide":
                lines.append(f"values: wider than bytes, from {darkest:g} to {brightest:g}")
            elif brightest - darkest < 128:
                lines.append(f"values: only from {darkest:g} to {brightest:g} of 0 to 255")
        if self.classes:
            named = sorted(self.classes.items(), key=lambda item: item[1])
            few, many = named[0], named[-1]
            lines.append(f"classes: {len(named)}, from {few[1]:,} images ({few[0]}) to {many[1]:,} ({many[0]})")
        else:
            lines.append("classes: none")
        if self.settings.get("group_pattern") == INNERMOST:
            lines.append("groups: the innermost folders look like patients or other cases; each is kept together")
        if self.broken:
            lines.append(f"broken: {len(self.broken):,}, such as {_first(self.broken)}")
        if self.repeated:
            lines.append(
                f"exact duplicates: {len(self.repeated):,}, such as {_first(self.repeated, 'equals')}; better removed: "
                "where one is held out and its twin trained on, copying looks like chance"
            )
        for kind, names in self.left_out.items():
            lines.append(f"{kind}: {len(names):,}, which are left alone, such as {names[0]}")
        return lines + [f"note: {note}" for note in self.notes]


def settings_for(path: Path) -> dict[str, Any]:
    """How a folder or file of images is read, the keys of `datasets`. Raises InputError for what is no image set."""
    kinds = {".zip": "zip", ".tar": "webdataset", ".parquet": "parquet", ".npz": "npz", ".npy": "npy"}
    where = {"path": str(path)}
    if path.is_dir():
        listing = list_images(path)
        suffixes = {os.path.splitext(name)[1] for name in listing.other}
        if not listing.images and (kind := next((kinds[end] for end in (".parquet", ".tar") if end in suffixes), "")):
            return {"source": kind, **where} | (_parquet_keys(path) if kind == "parquet" else {})
        return {"source": "imagefolder", **where, **_tree(listing.images)}
    kind = kinds.get(path.suffix.lower(), "")
    if path.exists() and not kind:
        way = f"; {known}" if (known := advice_for(path.name)) else ""
        raise InputError(f"{path}: is a file, expected a folder of images, or a file ending in {', '.join(kinds)}{way}")
    if kind == "npy":
        return {"source": kind, "images": str(path)} | (_array_range(load_array(path)) if path.exists() else {})
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give the folder of your images")
    keys = {"zip": _zip_tree, "parquet": _parquet_keys, "npz": _npz_keys}.get(kind)
    return {"source": kind, **where} | (keys(path) if keys else {})


def inspect(path: Path, threads: int = os.cpu_count() or 1) -> Inspection:
    """Open the images of a folder or file with the readers of the workflow. Raises InputError as these do."""
    settings = settings_for(path)
    model = SOURCES[settings["source"]].model_validate({**settings, "resolution": SIDE})
    source = open_source(model.model_dump(mode="json"))
    places = np.unique(np.linspace(0, source.count - 1, min(source.count, MOST)).astype(int))
    sides: list[tuple[int, int]] = []
    labels: Counter[int] = Counter()
    tally: Counter[str] = Counter()
    limits: dict[str, tuple[float, float]] = {}
    broken: dict[str, str] = {}
    repeated: dict[str, str] = {}
    first: dict[bytes, str] = {}

    started = time.monotonic()
    with ThreadPoolExecutor(threads) as pool, progress(len(places), "images", label="looking at") as bar:
        for start in range(0, len(places), BLOCK):
            part = places[start : start + BLOCK].tolist()
            for i, seen in zip(part, pool.map(lambda i: _look(source, i), part), strict=True):
                name = source.origin(i)
                if isinstance(seen, str):
                    broken[name] = seen.replace(str(path / name), "the file")
                    continue
                sides.append(seen.size)
                labels[seen.label] += 1
                tally.update({key: getattr(seen, key) for key in ("grey", "coloured", "transparent", "frames")})
                kind = "wide" if seen.wide else "bytes"
                low, high = limits.get(kind, seen.limits)
                limits[kind] = min(low, seen.limits[0]), max(high, seen.limits[1])
                if (original := first.setdefault(seen.digest, name)) != name:
                    repeated[name] = original
            bar.advance(len(part))
    seconds = (time.monotonic() - started) / max(len(places), 1)
    share = source.count / len(places)
    return Inspection(
        root=path,
        settings=settings,
        count=source.count,
        looked_at=len(places),
        classes={name: round(labels[i] * share) for i, name in enumerate(source.classes)},
        sides=np.array(sides, dtype=int).reshape(-1, 2),
        grey=tally["grey"],
        coloured=tally["coloured"],
        limits=limits,
        transparent=tally["transparent"],
        frames=tally["frames"],
        background=background_of(source, "auto", threads) if tally["transparent"] else "black",
        seconds_an_image=seconds,
        left_out=source.left_out,
        notes=source.notes + _unread_labels(path, settings, source.count),
        broken=broken,
        repeated=repeated,
    )


@dataclass(frozen=True)
class _Seen:
    label: int
    size: tuple[int, int]
    grey: bool
    coloured: bool
    transparent: bool
    frames: bool
    wide: bool
    limits: tuple[float, float]
    digest: bytes


def _look(source: Source, i: int) -> _Seen | str:
    """One image, or why it cannot be read."""
    try:
        image, label = source.read(i)
        with image:
            grey, transparent, wide, frames = (
                is_grey(image), is_transparent(image), is_deep(image), has_more_frames(image),
            )  # fmt: skip
            size = image.size if orientation(image) < 5 else image.size[::-1]
            limits = (extremes_of(image) or (0.0, 0.0)) if wide else None
            spread = None if limits is None else (limits[0], max(limits[1], limits[0] + 1e-6))
            pixels = fit_image(image, Shape(SIDE, 3, "pad", GREY if transparent else 0, spread))
    except MemoryError:
        raise
    except Exception as cause:  # a decoder raises whatever it trips over
        return reason(cause)
    coloured = not grey and bool((pixels != pixels[..., :1]).any())
    if limits is None:  # what is seen through transparent parts is not the image's
        limits = (0.0, 255.0) if transparent else (float(pixels.min()), float(pixels.max()))
    digest = hashlib.blake2b(pixels.data, digest_size=16, key=repr((size, limits)).encode()).digest()
    return _Seen(label, size, grey, coloured, transparent, frames, wide, limits, digest)


def _tree(paths: Iterable[str]) -> dict[str, Any]:
    """The keys `splits` and `tree` of image files in folders, where they need other values than their defaults."""
    paths = list(paths)
    depth, splits = splits_in(paths)
    folders = [path.split("/")[:-1] for path in paths]
    tops = {parts[0] for parts in folders if parts}
    if not splits and (drawn := drawn_beside(tops)) and all(folders):
        splits = sorted(tops - set(drawn))
        folders = [parts for parts in folders if parts[0] in splits]
    chosen: dict[str, Any] = {"splits": splits} if splits else {}
    if splits and depth == 0 and (labelled := _labelled(folders)):
        chosen["splits"] = splits = labelled
        folders = [parts for parts in folders if parts[0] in splits]
    rest = [tuple(parts[:depth] + parts[depth + 1 :] if splits else parts) for parts in folders]
    if are_cases(rest):
        tops = {parts[0] for parts in rest}
        in_classes = min(map(len, rest)) > 1 and 2 <= len(tops) <= len(set(rest)) / 2
        return chosen | {"tree": "tops" if in_classes else "flat", "group_pattern": INNERMOST}
    last = sorted({parts[-1] for parts in rest if parts})
    pictures = len(last) == 1 and last[0].lower() in PICTURES
    if len({len(parts) for parts in rest}) > 1 or max(map(len, rest), default=0) > 2 or are_buckets(last) or pictures:
        chosen["tree"] = "flat"
    return chosen


def _labelled(folders: list[list[str]]) -> list[str]:
    """The splits of which all images lie in class folders, where those of the others lie in none: train beside test."""
    depths: dict[str, set[int]] = {}
    for parts in folders:
        depths.setdefault(parts[0], set()).add(len(parts))
    labelled = sorted(name for name, levels in depths.items() if levels == {2})
    return labelled if all(levels in ({1}, {2}) for levels in depths.values()) and len(labelled) < len(depths) else []


def _zip_tree(path: Path) -> dict[str, Any]:
    import zipfile

    try:
        archive = zipfile.ZipFile(path)
        names = members_of(archive)
        content = archive.read(names[LABELS_FILE]) if LABELS_FILE in names else None
        labels = None if content is None else labels_in(content, LABELS_FILE)
    except Exception:  # the reader says what is wrong with it
        return {}
    if labels is None:
        return _tree(list_names(names).images)
    return {} if are_classes(labels.values()) else {"tree": "flat"}


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
    others = [key for key, array in arrays.items() if array.ndim == 1 or (array.ndim == 2 and _names_classes(array))]
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
        stem = key.rsplit("_", 1)[0]
        labels += [other for other in fitting if other.startswith(stem)][:1] or fitting[:1]
    keys: dict[str, Any] = {"images_key": images if len(images) > 1 else images[0]}
    if len(labels) == len(images):
        keys["labels_key"] = labels if len(labels) > 1 else labels[0]
    return keys | _array_range(*(arrays[key] for key in images))


def _unread_labels(path: Path, settings: dict[str, Any], count: int) -> tuple[str, ...]:
    """A note of labels that name several classes for an image, or are more or fewer than the images."""
    if settings["source"] not in ("npz", "parquet") or "labels_key" in settings:
        return ()
    if settings["source"] == "parquet":
        several = [f"{column.name} ({column.type})" for column in _label_columns(path)]
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


def _names_classes(labels: np.ndarray) -> bool:
    """Whether a matrix has one column or row, or a single 1 in each row."""
    return 1 in labels.shape or (labels.dtype.kind in "buif" and bool((np.sort(labels)[:, -2:] == [0, 1]).all()))


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
    return {"range": [0, 2 ** int(high).bit_length() - 1] if low >= 0 else [low, high]}


def _parquet_keys(path: Path) -> dict[str, Any]:
    import pyarrow as arrow

    fields = _columns(path)
    images = [column.name for column in fields if arrow.types.is_struct(column.type) or _is_binary(column.type)]
    if fields and not images:
        held = ", ".join(f"{column.name} ({column.type})" for column in fields)
        raise InputError(f"{path}: no column holds encoded images, as bytes or as {{bytes, path}}, only {held}")
    labels = [column.name for column in _label_columns(path) if not arrow.types.is_nested(column.type)]
    return {"images_key": images[0]} | ({"labels_key": labels[0]} if labels else {}) if images else {}


def _label_columns(path: Path) -> list[Any]:
    return [column for column in _columns(path) if column.name in ("label", "labels", "class", "fine_label", "target")]


def _columns(path: Path) -> list[Any]:
    """The columns of a Parquet file, or of the first one in a folder; none where it cannot be read."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    file = next(iter(sorted(path.rglob("*.parquet"))), path) if path.is_dir() else path
    try:
        return list(parquet.read_schema(file))
    except (arrow.ArrowException, OSError):  # the reader says what is wrong with it
        return []


def _is_binary(kind: Any) -> bool:
    import pyarrow as arrow

    return arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)


def _sizes(sides: np.ndarray) -> str:
    """Of images (n, 2), width and height: the smallest, the largest and the middle one, and how many stand upright."""
    order = np.argsort(sides.prod(axis=1), kind="stable")
    low, middle, high = (f"{width} x {height}" for width, height in sides[order[[0, len(sides) // 2, -1]]])
    alike = (np.sort(sides) == np.sort(sides[:1])).all()  # but for being turned
    told = f"{low} px" if alike else f"{low} to {high} px, half below {middle}"
    kinds = {"wider than high": sides[:, 0] > sides[:, 1], "higher than wide": sides[:, 0] < sides[:, 1]}
    mixed = [f"{chosen.sum():,} {kind}" for kind, chosen in kinds.items() if chosen.any()]
    return f"{told} ({', '.join(mixed)})" if len(mixed) > 1 else told


def _first(names: dict[str, str], word: str = "") -> str:
    name, what = next(iter(names.items()))
    return f"{name} {word} {what}" if word else f"{name} ({what})"
