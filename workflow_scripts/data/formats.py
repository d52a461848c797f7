"""Image files: which ones are read, and how one is opened whose metadata is damaged while its pixels are fine."""

import io
import os
import re
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

# Not images, or read by running another program.
_NOT_READ = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}

Image.init()
FORMATS = tuple(kind for kind in Image.OPEN if kind not in _NOT_READ)
# MPO, the JPEG with further pictures of stereo cameras and phones, is opened as JPEG.
SUFFIXES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO"))
# Editors and generators write descriptions beyond Pillow's limit of 1 MiB for one; that for all of a file stays.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY

# How files begin that are images although their names have no suffix.
_BEGINNING = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|II[*+]\0|MM\0[*+]|RIFF....WEBP|BM....\0\0\0\0|....ftypavi[fs]"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    re.DOTALL,
)
# What lies under the names of images instead of them, and what to do about it.
_MISTAKEN = {
    rb"\Z": "the file is empty: fetch it again",
    rb"version https://git-lfs": "a pointer of Git LFS, not the image itself: run `git lfs pull`",
    rb"\s*<(!doctype )?html": "a web page, not an image: fetch it again",
    rb"\s*(<\?xml.{,400})?<svg": "an SVG drawing: draw it as PNG",
    rb"....ftyp(hei[cx]|mif1|msf1|hevc)": "an HEIC image: convert it to JPEG or PNG",
    rb"II[*+]\0|MM\0[*+]": "a TIFF file that is damaged, or of a kind that Pillow does not read, such as 64-bit floats "
    "or floats in colour: save it as PNG, or as 32-bit floats of one channel",
}
# What people have that Pillow does not read, and the way to what it does.
_ADVICE = {
    ".dcm": "convert DICOM to PNG of 16 bits, and set `range`",
    ".h5": "save its arrays with numpy.savez", ".hdf5": "save its arrays with numpy.savez",
    ".mat": "save its arrays with numpy.savez", ".pt": "save its arrays with numpy.savez",
    ".pkl": "save its arrays with numpy.savez", ".pickle": "save its arrays with numpy.savez",
    ".pth": "save its arrays with numpy.savez", ".tfrecord": "save its images as PNG",
    ".arrow": "save it as Parquet: Dataset.to_parquet", ".mdb": "save its images as PNG, or in a zip file",
    ".csv": "save the pixels in it as an array (N, H, W): numpy.save",
    ".heic": "convert them to JPEG or PNG", ".heif": "convert them to JPEG or PNG",
    ".cr2": "convert raw photographs to JPEG or TIFF", ".nef": "convert raw photographs to JPEG or TIFF",
    ".dng": "convert raw photographs to JPEG or TIFF", ".arw": "convert raw photographs to JPEG or TIFF",
    ".svg": "draw them as PNG", ".pdf": "save its pictures as PNG",
    ".mp4": "save its frames as PNG", ".avi": "save its frames as PNG", ".mov": "save its frames as PNG",
    ".npy": "stack them into one array (N, H, W, C): numpy.save",
    ".gz": "unpack it, and give the folder", ".tgz": "unpack it, and give the folder",
    ".bz2": "unpack it, and give the folder", ".xz": "unpack it, and give the folder",
    ".7z": "unpack it, and give the folder", ".rar": "unpack it, and give the folder",
    ".zip": "unpack it, and give the folder",
}  # fmt: skip
PICTURES_NOT_READ = {".arw", ".cr2", ".dcm", ".dng", ".heic", ".heif", ".nef", ".svg"}  # of them, pictures

# Data sets in files of their own, by how the names of these begin.
_KNOWN = {
    (
        "data_batch_",
        "test_batch",
        "batches.meta",
    ): "CIFAR-10's own files: `source: torchvision`, `name: CIFAR10`, `root` the folder above",
    ("train-images-idx", "train-labels-idx", "t10k-images-idx", "t10k-labels-idx"): "MNIST's own files: `source: idx`, "
    "`images` and `labels` these files",
}

_FOREIGN = "B" if sys.byteorder == "little" else "L"
_OTHER_ORDER = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", _FOREIGN))
}
_WHOLE = {1: "B", 3: "H", 4: "I"}  # types of EXIF entries that are whole numbers
_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def open_image(opener: Callable[[], Any]) -> Image.Image:
    """Open an image from a binary file or path that `opener` gives; its pixels are not decoded yet.

    Where Pillow refuses a PNG or JPEG, it is tried again without its metadata. Raises what Pillow raises.
    """
    try:
        return Image.open(opener(), formats=FORMATS)
    except Exception:
        content = _content(opener())
        bare = without_metadata(content)
        if bare is None:
            for beginning, what in _MISTAKEN.items():
                if re.match(beginning, content[:1000], re.IGNORECASE | re.DOTALL):
                    raise ValueError(what) from None
            raise
        return Image.open(io.BytesIO(bare), formats=FORMATS)


def wide_colours(image: Image.Image) -> np.ndarray | None:
    """Values (H, W, C) of a 16-bit colour image, not decoded yet, of which Pillow reads the high bytes; else None."""
    if not has_wide_colours(image):
        return None
    content = _whole_file(image)
    halves = []
    for order in ("high", "low"):
        with Image.open(io.BytesIO(content), formats=FORMATS) as half:
            if order == "low":  # read with the other order of bytes, the low ones are taken for the high ones
                half.tile = [tile._replace(args=_other_order(tile.args)) for tile in half.tile]
            halves.append(np.asarray(half, dtype=np.int32))
    return halves[0] * 256 + halves[1]


def has_wide_colours(image: Image.Image) -> bool:
    tiles = getattr(image, "tile", [])
    return bool(tiles) and all(_other_order(tile.args) is not None for tile in tiles)


def _other_order(args: Any) -> Any:
    """The arguments of a decoder with the bytes of 16-bit colours in the other order; None if there are none."""
    rawmode, *rest = (args,) if isinstance(args, str) else args or ("",)
    if rawmode not in _OTHER_ORDER:
        return None
    return (_OTHER_ORDER[rawmode], *rest) if rest else _OTHER_ORDER[rawmode]


def _whole_file(image: Any) -> bytes:
    """The file that an image is read from, which is read on where it was."""
    place = image.fp.tell()
    image.fp.seek(0)
    content = image.fp.read()
    image.fp.seek(place)
    return content


def begins_like_an_image(path: str | os.PathLike[str]) -> bool:
    """Whether a file without a suffix is an image, by its first bytes."""
    try:
        with open(path, "rb") as handle:
            return _BEGINNING.match(handle.read(16)) is not None
    except OSError:
        return False


def advice_for(name: str) -> str:
    """The way from a file that is not read to what is; empty if none is known."""
    file = os.path.basename(name)
    known = (way for beginnings, way in _KNOWN.items() if file.startswith(beginnings))
    return next(known, _ADVICE.get(os.path.splitext(file)[1].lower(), ""))


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none, or where the metadata cannot be read.

    EXIF data in the file's head is read here, since Pillow stops at the first damaged entry; others by Pillow.
    """
    exif = image.info.get("exif")
    if isinstance(exif, bytes) and (value := _orientation_in(exif)):
        return value
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # of damaged EXIF data, Pillow raises whatever its parser trips over
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _orientation_in(exif: bytes) -> int | None:
    """The orientation that EXIF data begin with, by its entry alone: a whole number of any type; None without one."""
    start = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    try:
        place = struct.unpack_from(f"{order}I", start, 4)[0]
        for i in range(struct.unpack_from(f"{order}H", start, place)[0]):
            tag, kind, _, *value = struct.unpack_from(f"{order}HHI4s", start, place + 2 + 12 * i)
            if tag == 0x0112 and kind in _WHOLE:
                number = struct.unpack_from(f"{order}{_WHOLE[kind]}", value[0])[0]
                return number if 1 <= number <= 8 else None
    except struct.error:  # it ends too early, or names no order of bytes
        pass
    return None


def without_metadata(content: bytes) -> bytes | None:
    """A PNG or JPEG file with only the parts that make its pixels; None for other files, and for broken ones."""
    try:
        if content.startswith(_PNG_SIGNATURE):
            return _bare_png(content)
        if content.startswith(b"\xff\xd8"):
            return _bare_jpeg(content)
    except (struct.error, IndexError):
        pass
    return None


def _content(file: Any) -> bytes:
    if hasattr(file, "read"):
        return file.read()
    with open(file, "rb") as handle:
        return handle.read()


def _bare_png(content: bytes) -> bytes:
    parts, place = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while place < len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        end = place + 12 + length
        if kind in _PNG_PIXELS:
            parts.append(content[place:end])
        place = end
    return b"".join(parts)


def _bare_jpeg(content: bytes) -> bytes:
    """Without the application segments and comments, but for Adobe's, which says how colours are coded."""
    parts, place = [b"\xff\xd8"], 2
    while content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # fill bytes
            place += 1
            continue
        if marker == 0xDA:  # the scan: all that follows is pixels
            break
        end = place + 2 + struct.unpack(">H", content[place + 2 : place + 4])[0]
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker == 0xEE:
            parts.append(content[place:end])
        place = end
    return b"".join([*parts, content[place:]])
