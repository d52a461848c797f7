"""Archives of image files: zip files, StyleGAN's among them, and tars of WebDataset."""

import io
import json
import re
import tarfile
import zipfile
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.folder_contents import Listing, inner_path, is_junk, list_names
from workflow_scripts.data.folder_names import SPLIT, are_buckets
from workflow_scripts.data.folders import USUAL, arrange, labels_of
from workflow_scripts.data.formats import SUFFIXES, open_image
from workflow_scripts.data.source import Source, printable, require

LIKELY = (".jpg", ".jpeg", ".webp", ".png")  # the image of a sample, before further ones


def zip_set(path: Path, tree: str = "auto", splits: list[str] | None = None) -> Source:
    """The images of a zip file: with the labels of StyleGAN's dataset.json if it has one, else by their folders."""
    require(path, "the zip file")
    try:
        archive = zipfile.ZipFile(path)
        encrypted = [entry.filename for entry in archive.infolist() if entry.flag_bits & 1]
        members = members_of(archive)
    except Exception as cause:  # a damaged archive raises whatever its parser trips over
        raise InputError(f"{path}: not a readable zip file ({cause}); copy or make it again") from cause
    if encrypted:
        raise InputError(f"{path}: {printable(encrypted[0])} is encrypted; unpack it and give the folder")
    listing = list_names(members)
    if not listing.images:
        raise InputError(f"{path}: holds no image{_held(listing)}; expected files ending in {USUAL}")
    labels = None if tree != "auto" else labels_of(str(path), listing, lambda name: archive.read(members[name]))
    arranged = arrange(str(path), listing, tree, splits or [], labels)

    def read(i: int) -> tuple[Image.Image, int]:
        return open_image(partial(_in_memory, archive.read, members[arranged.paths[i]])), int(arranged.codes[i])

    return Source(
        path.name, len(arranged.paths), arranged.classes, read, lambda i: printable(arranged.paths[i]),
        superclasses=arranged.superclasses, left_out=listing.left_out(), notes=arranged.notes,
    )  # fmt: skip


def members_of(archive: zipfile.ZipFile) -> dict[str, str]:
    """The files of a zip by their inner paths, divided by slashes, also where Windows wrote backslashes."""
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    divided = any("/" in name for name in names)
    return {inner_path(name if divided else name.replace("\\", "/")): name for name in names}


def webdataset_set(path: Path, labels_key: str | None = None) -> Source:
    """The images of a tar file, or of a folder of them, in the form of WebDataset: files of one name are one sample.

    The class of a sample is in its file .cls, or in its .json under `labels_key`; without both its folder is the class,
    if there are several that are neither splits nor numbered parts.
    """
    samples: list[tuple[Path, str, int, int]] = []  # shard, name of the image, its offset and length, bytes
    texts: dict[tuple[Path, str], bytes] = {}
    left_out: dict[str, list[str]] = defaultdict(list)
    wanted = ".json" if labels_key else ".cls"
    shards = files_of(path, (".tar",), "the tar file")
    for shard in shards:
        try:
            with tarfile.open(shard, "r:") as archive:
                for member in archive:
                    name = inner_path(member.name)
                    stem, suffix = _sample(name)
                    if not member.isfile():
                        continue
                    if any(map(is_junk, name.split("/"))):
                        left_out["junk"].append(printable(name))
                    elif "." + suffix.rsplit(".", 1)[-1] in SUFFIXES:
                        samples.append((shard, name, member.offset_data, member.size))
                    elif suffix == wanted:
                        texts[shard, stem] = archive.extractfile(member).read()  # type: ignore[union-attr]
                    else:
                        left_out["other files"].append(printable(name))
        except Exception as cause:
            with open(shard, "rb") as handle:
                compressed = handle.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0"))
            hint = "; it is compressed: unpack it, and give the folder" if compressed else ""
            raise InputError(f"{shard}: not a readable tar file ({cause}){hint}") from cause
    plain: dict[tuple[Path, str], list[str]] = defaultdict(list)
    for shard, name, *_ in samples:
        stem, suffix = _sample(name)
        if suffix.count(".") == 1:
            plain[shard, stem].append(suffix)
    shown = {sample: min(suffixes, key=_likely) for sample, suffixes in plain.items()}
    pictures = samples
    samples = []
    for picture in pictures:
        stem, suffix = _sample(picture[1])
        if suffix != shown.get((picture[0], stem), suffix):  # x.seg.png, or the mask x.png, beside x.jpg
            left_out["further images of a sample"].append(printable(picture[1]))
        else:
            samples.append(picture)
    if not samples:
        raise InputError(f"{path}: holds no image; expected .jpg, .png, .. members")
    values = [
        _label(texts.get((shard, _sample(name)[0])), labels_key, f"{shard}/{name}") for shard, name, *_ in samples
    ]
    notes = split_notes(shards)
    if not texts and not labels_key and (folders := _folders([name for _, name, *_ in samples])):
        values = folders
        notes += ("its samples have no .cls, and their folders count as classes",)
    classes, codes = sorted_classes(values)

    def content(i: int) -> io.BytesIO:
        shard, _, offset, length = samples[i]
        with open(shard, "rb") as handle:
            handle.seek(offset)
            return io.BytesIO(handle.read(length))

    def read(i: int) -> tuple[Image.Image, int]:
        return open_image(partial(content, i)), int(codes[i])

    def origin(i: int) -> str:
        return printable(f"{samples[i][0].name}/{samples[i][1]}")

    return Source(path.name, len(samples), classes, read, origin, left_out=dict(left_out), notes=notes)


def _folders(names: list[str]) -> list[str | int | None]:
    """The last folder of each sample, if these can be classes; else none."""
    folders = [printable(name.rpartition("/")[0].rpartition("/")[2]) for name in names]
    distinct = sorted(set(folders))
    classes = len(distinct) > 1 and all(distinct) and not are_buckets(distinct)
    return [*folders] if classes and not all(map(SPLIT.fullmatch, distinct)) else []


def _in_memory(read: Any, name: str) -> io.BytesIO:
    return io.BytesIO(read(name))


def files_of(path: Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    if not require(path, what).is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix in suffixes and file.is_file())
    if not files:
        raise InputError(f"{path}: holds no file ending in {', '.join(suffixes)}")
    return files


def split_notes(files: list[Path]) -> tuple[str, ...]:
    """A note of several files whose names begin with train, test, ..: they are put together."""
    there = sorted({first for file in files if SPLIT.fullmatch(first := re.split("[-_.]", file.stem)[0])})
    return (f"its files of {', '.join(there)} are put together",) if len(there) > 1 else ()


def _held(listing: Listing) -> str:
    return f", but {len(listing.other)} others, such as {printable(listing.other[0])}" if listing.other else ""


def _sample(name: str) -> tuple[str, str]:
    """WebDataset's key, up to the first dot of the file's name, and the rest, in small letters."""
    folder, _, file = name.rpartition("/")
    stem, dot, suffix = file.partition(".")
    return f"{folder}/{stem}", (dot + suffix).lower()


def _likely(suffix: str) -> int:
    """The place of a suffix among those of one sample: photographs before drawings, which may be their masks."""
    return LIKELY.index(suffix) if suffix in LIKELY else len(LIKELY)


def _label(text: bytes | None, key: str | None, name: str) -> str | int | None:
    """The class of a sample of WebDataset; whole numbers as such, so that 10 comes after 9."""
    if text is None:
        return None
    try:
        value = json.loads(text)[key] if key else text.decode().strip()
        if value in (None, ""):
            return None
        if not isinstance(value, int | str):
            raise ValueError(f"a {type(value).__name__}, expected a whole number or text")
        return int(value) if str(value).lstrip("-").isdecimal() else str(value)
    except Exception as cause:
        raise InputError(f"{printable(name)}: its class cannot be read ({type(cause).__name__}: {cause})") from cause


def sorted_classes(values: list[Any], names: list[str] | None = None) -> tuple[list[str], np.ndarray]:
    """Class names in order, as `names` has them or sorted, and the class of each image, -1 for None."""
    distinct = sorted(
        {value for value in values if value is not None}, key=lambda value: (isinstance(value, str), value)
    )
    if names:
        distinct = [name for name in names if name in set(distinct)]
    place = {value: i for i, value in enumerate(distinct)} | {None: -1}
    return [printable(str(value)) for value in distinct], np.array([place[value] for value in values], dtype=np.int64)
