"""Archives and tables of image files: zip files, StyleGAN's among them, tars of WebDataset, and Parquet files."""

import io
import json
import tarfile
import threading
import zipfile
from collections import defaultdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.folders import LABELS_FILE, Listing, arrange, is_junk, labels_in, list_names
from workflow_scripts.data.formats import SUFFIXES, open_image
from workflow_scripts.data.source import Source, printable, require


def zip_set(path: Path, tree: str = "auto", splits: list[str] | None = None) -> Source:
    """The images of a zip file: with the labels of StyleGAN's dataset.json if it has one, else by their folders."""
    require(path, "the zip file")
    try:
        archive = zipfile.ZipFile(path)
        encrypted = [entry.filename for entry in archive.infolist() if entry.flag_bits & 1]
        names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        content = archive.read(LABELS_FILE) if LABELS_FILE in names else None
    except Exception as cause:  # a damaged archive raises whatever its parser trips over
        raise InputError(f"{path}: not a readable zip file ({cause}); copy or make it again") from cause
    if encrypted:
        raise InputError(f"{path}: {printable(encrypted[0])} is encrypted; unpack it and give the folder")
    listing = list_names(names)
    if not listing.images:
        raise InputError(f"{path}: holds no image{_held(listing)}; expected files ending in .png, .jpg, ..")
    labels = None if content is None or tree != "auto" else labels_in(content, f"{path}/{LABELS_FILE}")
    arranged = arrange(str(path), listing, tree, splits or [], labels)

    def read(i: int) -> tuple[Image.Image, int]:
        return open_image(partial(_in_memory, archive.read, arranged.paths[i])), int(arranged.codes[i])

    return Source(
        path.name, len(arranged.paths), arranged.classes, read, lambda i: printable(arranged.paths[i]),
        superclasses=arranged.superclasses, left_out=listing.left_out(), notes=arranged.notes,
    )  # fmt: skip


def webdataset_set(path: Path, labels_key: str | None = None) -> Source:
    """The images of a tar file, or of a folder of them, in the form of WebDataset: files of one name are one sample.

    The class of a sample is in its file .cls, or in its .json under `labels_key`; without both there are no classes.
    """
    samples: list[tuple[Path, str, int, int]] = []  # shard, name of the image, its offset and length, bytes
    texts: dict[tuple[Path, str], bytes] = {}
    left_out: dict[str, list[str]] = defaultdict(list)
    wanted = ".json" if labels_key else ".cls"
    for shard in _files(path, (".tar",), "the tar file"):
        try:
            with tarfile.open(shard, "r:") as archive:
                for member in archive:
                    stem, suffix = _sample(member.name)
                    if not member.isfile():
                        continue
                    if any(map(is_junk, member.name.split("/"))):
                        left_out["junk"].append(printable(member.name))
                    elif "." + suffix.rsplit(".", 1)[-1] in SUFFIXES:
                        samples.append((shard, member.name, member.offset_data, member.size))
                    elif suffix == wanted:
                        texts[shard, stem] = archive.extractfile(member).read()  # type: ignore[union-attr]
                    else:
                        left_out["other files"].append(printable(member.name))
        except Exception as cause:
            hint = "; unpack its compression first" if shard.suffix in (".gz", ".tgz", ".xz", ".bz2") else ""
            raise InputError(f"{shard}: not a readable tar file ({cause}){hint}") from cause
    if not samples:
        raise InputError(f"{path}: holds no image; expected .jpg, .png, .. members")
    values = [
        _label(texts.get((shard, _sample(name)[0])), labels_key, f"{shard}/{name}") for shard, name, *_ in samples
    ]
    classes, codes = _sorted_classes(values)

    def content(i: int) -> io.BytesIO:
        shard, _, offset, length = samples[i]
        with open(shard, "rb") as handle:
            handle.seek(offset)
            return io.BytesIO(handle.read(length))

    def read(i: int) -> tuple[Image.Image, int]:
        return open_image(partial(content, i)), int(codes[i])

    def origin(i: int) -> str:
        return printable(f"{samples[i][0].name}/{samples[i][1]}")

    return Source(path.name, len(samples), classes, read, origin, left_out=dict(left_out))


def parquet_set(path: Path, images_key: str, labels_key: str | None) -> Source:
    """The images of a Parquet file, or of a folder of them, as Hugging Face's datasets are stored.

    The column `images_key` holds encoded images, as bytes or as {bytes, path}; `labels_key` whole numbers, whose names
    are in the file's own description if Hugging Face wrote it, or text.
    """
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    shards = _files(path, (".parquet",), "the Parquet file")
    starts, groups, values, names = [0], [], [], None
    for shard in shards:
        try:
            file = parquet.ParquetFile(shard)
            for key in filter(None, (images_key, labels_key)):
                if key not in file.schema_arrow.names:
                    raise InputError(
                        f"{shard}: has no column {key!r}, only {', '.join(file.schema_arrow.names)}; correct the key"
                    )
            for group in range(file.num_row_groups):
                groups.append((shard, group))
                starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
            if labels_key:
                values += file.read(columns=[labels_key]).column(labels_key).to_pylist()
                names = names or _class_names(file.schema_arrow.metadata, labels_key)
        except (arrow.ArrowException, OSError) as cause:
            raise InputError(f"{shard}: not a readable Parquet file ({cause}); fetch it again") from cause
    if not starts[-1]:
        raise InputError(f"{path}: holds no row")
    odd = next((value for value in values if not isinstance(value, int | str | None)), None)
    if odd is not None:
        raise InputError(f"{path}: labels_key: {labels_key} holds {type(odd).__name__}, expected whole numbers or text")
    if names and all(isinstance(value, int) and -1 <= value < len(names) for value in values if value is not None):
        values = [None if value in (None, -1) else names[value] for value in values]
    classes, codes = _sorted_classes(values, names) if labels_key else ([], np.full(starts[-1], -1))
    lock = threading.Lock()

    @lru_cache(maxsize=2)
    def cells(group: int) -> Any:
        shard, number = groups[group]
        return parquet.ParquetFile(shard).read_row_group(number, columns=[images_key]).column(images_key)

    def read(i: int) -> tuple[Image.Image, int]:
        group = int(np.searchsorted(starts, i, side="right")) - 1
        with lock:
            cell = cells(group)[i - starts[group]].as_py()
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(content, bytes):
            raise ValueError(f"the column {images_key} holds no encoded image here")
        return open_image(partial(io.BytesIO, content)), int(codes[i])

    def origin(i: int) -> str:
        group = int(np.searchsorted(starts, i, side="right")) - 1
        return printable(f"{groups[group][0].name}/row {i - starts[group]} of part {groups[group][1]}")

    return Source(path.name, starts[-1], classes, read, origin)


def _in_memory(read: Any, name: str) -> io.BytesIO:
    return io.BytesIO(read(name))


def _files(path: Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    if not require(path, what).is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix in suffixes and file.is_file())
    if not files:
        raise InputError(f"{path}: holds no file ending in {', '.join(suffixes)}")
    return files


def _held(listing: Listing) -> str:
    return f", but {len(listing.other)} others, such as {printable(listing.other[0])}" if listing.other else ""


def _sample(name: str) -> tuple[str, str]:
    """WebDataset's key, up to the first dot of the file's name, and the rest, in small letters."""
    folder, _, file = name.rpartition("/")
    stem, dot, suffix = file.partition(".")
    return f"{folder}/{stem}", (dot + suffix).lower()


def _label(text: bytes | None, key: str | None, name: str) -> str | int | None:
    """The class of a sample of WebDataset; whole numbers as such, so that 10 comes after 9."""
    if text is None:
        return None
    try:
        value = json.loads(text)[key] if key else text.decode().strip()
        return int(value) if str(value).lstrip("-").isdecimal() else str(value)
    except Exception as cause:
        raise InputError(f"{printable(name)}: its class cannot be read ({type(cause).__name__}: {cause})") from cause


def _sorted_classes(values: list[Any], names: list[str] | None = None) -> tuple[list[str], np.ndarray]:
    """Class names in order, as `names` has them or sorted, and the class of each image, -1 for None."""
    distinct = sorted(
        {value for value in values if value is not None}, key=lambda value: (isinstance(value, str), value)
    )
    if names:
        distinct = [name for name in names if name in set(distinct)]
    place = {value: i for i, value in enumerate(distinct)} | {None: -1}
    return [str(value) for value in distinct], np.array([place[value] for value in values], dtype=np.int64)


def _class_names(metadata: dict[bytes, bytes] | None, key: str) -> list[str] | None:
    """The names of a column's classes, as Hugging Face's `datasets` writes them into the file's description."""
    try:
        names = json.loads((metadata or {})[b"huggingface"])["info"]["features"][key]["names"]
        return [str(name) for name in names]
    except (KeyError, TypeError, ValueError):
        return None
